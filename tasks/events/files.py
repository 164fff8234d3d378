"""Files of event cameras: Prophesee's .dat, the 40-bit .bin of N-MNIST, .aedat 2.0 and 3.1, arrays of events.

Every reader gives events in the order of the file, and looks at the numbers as they are stored, before any of them is
unwrapped or narrowed. Errors name the file: it ends within an event, has an unknown header or no event at all, times
run backwards, a polarity is neither of two, or the camera does not have a pixel.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conversion.errors import InvalidInput
from tasks.events.encoding import EVENT, Events, Sensor
from tasks.events.headers import PACKET, DatHeader, Packet

TICKS = 1_000_000
LONGEST_GAP = 2**28
"""Microseconds without an event, 4.5 minutes, up to which a clock of 32 bits that steps back has begun anew."""
LONGEST = 2**48
"""Microseconds that a recording may take, nine years: beyond, products of times overflow."""
Address = NDArray[np.uint32]
Decoded = tuple[NDArray[np.bool_], NDArray[Any], NDArray[Any], NDArray[Any]]
"""Decoded addresses: a mask of those that are events; columns, rows and polarities."""


def checked(events: Events, sensor: Sensor, path: Path | str) -> Events:
    """Returns the events unchanged if they can be a recording of this camera.

    Raises:
        InvalidInput: there is none; a time is before the one in front of it; or a pixel is not on the sensor.
    """
    if not len(events):
        raise InvalidInput(f"The recording {path} holds no event.")
    backwards = events["t"][1:] < events["t"][:-1]
    if backwards.any():
        first = int(backwards.argmax()) + 1
        raise InvalidInput(
            f"The recording {path} runs backwards at event {first}: time {events['t'][first]} follows "
            f"{events['t'][first - 1]}."
        )
    if int(events["t"][-1]) - int(events["t"][0]) > LONGEST:
        raise InvalidInput(
            f"The recording {path} runs from time {events['t'][0]} to {events['t'][-1]}, which are microseconds and "
            "would be years; correct its times."
        )
    for axis, size in (("x", sensor.width), ("y", sensor.height)):
        low, high = int(events[axis].min()), int(events[axis].max())
        if low < 0 or high >= size:
            raise InvalidInput(
                f"The recording {path} has an event at {axis} = {low if low < 0 else high}; the sensor of "
                f"{sensor.width}x{sensor.height} pixels has {axis} from 0 to {size - 1}."
            )
    return events


def read_dat(path: Path) -> Events:
    """Prophesee's .dat, version 2: lines that begin with %, two bytes (kind and size of an event), 8 bytes an event."""
    content = path.read_bytes()
    position, version = 0, ""
    while content[position : position + 1] == b"%":
        end = content.find(b"\n", position)
        line = content[position : end if end >= 0 else len(content)].decode("latin-1")
        version = line.partition("Version")[2].strip() or version
        position = end + 1 if end >= 0 else len(content)
    size = next(iter(content[position + 1 : position + 2]), None)
    DatHeader.of({"version": version, "event_bytes": size}, f"{path}, header")
    position += 2
    _refuse_rest(len(content) - position, 8, path)
    raw = np.frombuffer(content, np.dtype([("t", "<u4"), ("data", "<u4")]), offset=position)
    data = raw["data"]
    return events_of(_unwrapped(raw["t"], path), data & 0x3FFF, data >> 14 & 0x3FFF, data >> 28, path)


def _unwrapped(t: NDArray[np.uint32], path: Path) -> NDArray[np.int64]:
    """Times of a clock of 32 bits that begins anew at 2^32.

    Raises:
        InvalidInput: a time is before the one in front of it, and the clock cannot have begun anew between them.
    """
    times = t.astype(np.int64)
    back = np.flatnonzero(t[1:] < t[:-1]) + 1
    wrong = back[times[back] + 2**32 - times[back - 1] > LONGEST_GAP]
    if len(wrong):
        event = int(wrong[0])
        raise InvalidInput(
            f"The recording {path} runs backwards at event {event}: time {t[event]} follows {t[event - 1]}, and that "
            "is no clock of 32 bits that begins anew; correct the file."
        )
    if len(back):
        times[1:] += np.cumsum(t[1:] < t[:-1]) << 32
    return times


def read_bin(path: Path) -> Events:
    """The 40 bits an event of N-MNIST and N-Caltech101: x, y, polarity and 23 bits of time; y = 240 is an overflow.

    An overflow adds 2^13 microseconds to all times after it, as in the authors' reader.
    """
    content = path.read_bytes()
    _refuse_rest(len(content), 5, path)
    raw = np.frombuffer(content, np.uint8).reshape(-1, 5)
    overflow = raw[:, 1] == 240
    t = (raw[:, 2].astype(np.int64) & 127) << 16 | raw[:, 3].astype(np.int64) << 8 | raw[:, 4]
    if overflow.any():
        t += np.cumsum(overflow) << 13
        raw, t = raw[~overflow], t[~overflow]
    return events_of(t, raw[:, 0], raw[:, 1], raw[:, 2] >> 7, path)


def read_aedat2(path: Path, decode: Callable[[Address], Decoded]) -> Events:
    """jAER's AEDAT 2.0: lines that begin with #, then 32 bits of address and 32 of time in microseconds, big-endian.

    Args:
        decode: decodes the addresses of the camera.
    """
    content, position = _past_comments(path)
    if not content.startswith(b"#!AER-DAT2.0"):
        raise InvalidInput(f"The file {path} does not begin with #!AER-DAT2.0; only AEDAT 2.0 is read here.")
    _refuse_rest(len(content) - position, 8, path)
    raw = np.frombuffer(content, np.dtype([("address", ">u4"), ("t", ">u4")]), offset=position)
    events, *columns = decode(raw["address"].astype(np.uint32))
    x, y, p = (column[events] for column in columns)
    return events_of(raw["t"][events], x, y, p, path)


def dvs128(address: Address) -> Decoded:
    """Addresses of a DVS128, with the image upright as SpikingJelly has it (github.com/jackd/events-tfds/pull/1)."""
    return np.ones(len(address), bool), 127 - (address >> 8 & 0x7F), 127 - (address >> 1 & 0x7F), 1 - (address & 1)


def davis346(address: Address) -> Decoded:
    """Addresses of a DAVIS346; jAER counts its pixels from the lower right corner.

    Frames and inertia (bit 31) and triggers (bit 10) are no changes of brightness.
    """
    signed = address.astype(np.int64)
    events: NDArray[np.bool_] = (address & (1 << 31 | 1 << 10)) == 0
    return events, 345 - (signed >> 12 & 0x3FF), 259 - (signed >> 22 & 0x1FF), signed >> 11 & 1


def read_aedat3(path: Path) -> Events:
    """AEDAT 3.1 as DVS Gesture has it: a header of lines, then packets; those of polarity events are read.

    A packet has 28 bytes of header (kind, source, size of an event, offset of its time, overflows of time, capacity,
    events, valid events), and of each event 32 bits (bit 0 valid, bit 1 polarity, bits 2 to 16 y, 17 to 31 x) and 32
    bits of time, little-endian.
    """
    content, position = _past_comments(path)
    if not content.startswith(b"#!AER-DAT3.1"):
        raise InvalidInput(f"The file {path} does not begin with #!AER-DAT3.1; only AEDAT 3.1 is read here.")
    parts = []
    while position < len(content):
        if len(content) - position < PACKET.itemsize:
            raise InvalidInput(f"The file {path} ends within the header of a packet; copy it again.")
        (values,) = np.frombuffer(content, PACKET, 1, position).tolist()
        packet = Packet.of(dict(zip(PACKET.names or (), values, strict=True)), f"{path}, packet at byte {position}")
        position += PACKET.itemsize
        if position + packet.size * packet.number > len(content):
            raise InvalidInput(f"The file {path} ends within a packet of {packet.number} events; copy it again.")
        if packet.kind == 1 and packet.size == 8:
            raw = np.frombuffer(content, np.dtype([("data", "<u4"), ("t", "<u4")]), packet.number, position)
            raw = raw[raw["data"] & 1 == 1]
            data = raw["data"]
            if (raw["t"] >> 31).any():
                raise InvalidInput(f"The file {path} has a packet of times below zero; correct or replace it.")
            t = raw["t"].astype(np.int64) + (packet.overflow << 31)
            parts.append(events_of(t, data >> 17, data >> 2 & 0x7FFF, data >> 1 & 1, path))
        position += packet.size * packet.number
    return np.concatenate(parts) if parts else np.empty(0, EVENT)


def read_npy(path: Path, columns: str, microseconds: int = 1) -> Events:
    """An array of events in NumPy's format, one a row.

    Args:
        columns: names of the columns, "xytp" for instance; a polarity above zero is brighter.
        microseconds: length of the unit of integer times. Floating-point times have no known unit: they are spread over
            a million ticks.
    """
    rows = _array(path)
    if rows.ndim != 2 or rows.shape[1] != len(columns):
        raise InvalidInput(f"The array in {path} has shape {rows.shape}; it should be (events, {len(columns)}).")
    found = {name: rows[:, column] for column, name in enumerate(columns)}
    x, y, p = (whole_numbers(found[name], name, str(path)) for name in "xyp")
    t = found["t"].astype(np.int64) * microseconds if rows.dtype.kind in "iu" else _ticks(found["t"], path)
    return events_of(t, x, y, polarity(p, str(path)), path)


HEADER = re.compile(
    rb"\{'descr': '([<>|=]?(?:b1|[iu][1248]|f[248]))', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,18}L?(?:, \d{1,18}L?)*,?)?)\), \}\s*"
)
"""How NumPy describes an array of numbers, in versions 1 and 2 of its format."""


def _array(path: Path) -> NDArray[Any]:
    """The array of numbers in a .npy file, whose size is checked against that of the file before it is made."""
    content = path.read_bytes()
    length = {b"\x93NUMPY\1\0": 2, b"\x93NUMPY\2\0": 4}.get(content[:8], 0)
    start = 8 + length + int.from_bytes(content[8 : 8 + length], "little")
    header = HEADER.fullmatch(content[8 + length : start]) if length else None
    if header is None:
        raise InvalidInput(f"The file {path} is no readable array of NumPy that holds numbers; copy it again.")
    kind, fortran = np.dtype(header[1].decode()), header[2] == b"True"
    shape = tuple(int(side) for side in re.findall(rb"\d+", header[3]))
    if math.prod(shape) * kind.itemsize != len(content) - start:
        raise InvalidInput(f"The file {path} ends within its array of shape {shape}, or after it; copy it again.")
    return np.frombuffer(content, kind, offset=start).reshape(shape, order="F" if fortran else "C")


def whole_numbers(values: NDArray[Any], name: str, where: str) -> NDArray[np.int64]:
    """One field of events as int64.

    Raises:
        InvalidInput: a value is no number, not finite, not whole or too large; the message names the event.
    """
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise InvalidInput(f"The field {name} of {where} is {values.dtype} of shape {values.shape}; give one number.")
    # 2^63 is the first number above int64; as a float it is exact.
    wrong = ~(np.abs(values.astype(np.float64)) < 2.0**63)
    if values.dtype.kind == "f":
        wrong |= values != np.trunc(values)
    if wrong.any():
        first = int(wrong.argmax())
        unit = "numbers"
        if name == "t":
            unit = "microseconds: give the dataset a transform that multiplies seconds by 1e6 and rounds"
        raise InvalidInput(f"Event {first} of {where} has {name} = {values[first]}; {name} is in whole {unit}.")
    return values.astype(np.int64)


def polarity(values: NDArray[np.int64], where: str) -> NDArray[np.bool_]:
    """Whether events are brighter, of polarities 0 and 1, or -1 and 1.

    Raises:
        InvalidInput: there is another, or both of 0 and -1; the message names the event.
    """
    negative = bool((values < 0).any())
    wrong = (values != 1) & (values != (-1 if negative else 0))
    if wrong.any():
        first = int(wrong.argmax())
        raise InvalidInput(
            f"Event {first} of {where} has polarity {values[first]}; polarities are 0 and 1, or -1 and 1."
        )
    return values > 0


def _ticks(t: NDArray[Any], path: Path) -> NDArray[Any]:
    if t.dtype.kind != "f" or not np.isfinite(t).all():
        raise InvalidInput(f"The times in {path} are no finite numbers.")
    elapsed = t.astype(np.float64) - (t.min() if len(t) else 0)
    return np.round(elapsed * (TICKS / max(float(elapsed.max(initial=0)), 1e-300)))


def events_of(
    t: NDArray[np.generic], x: NDArray[np.generic], y: NDArray[np.generic], p: NDArray[Any], path: Path
) -> Events:
    """Events of fields of any width; raises InvalidInput for a polarity other than 0 and 1."""
    if len(p) and int(p.max()) > 1:
        first = int((p > 1).argmax())
        raise InvalidInput(
            f"Event {first} of {path} has polarity {p[first]}; polarities are 0 and 1. Replace the file."
        )
    found = np.empty(len(t), EVENT)
    found["t"], found["p"] = t, p
    for name, column in (("x", x), ("y", y)):
        # Clipped, so that values outside of any sensor do not wrap around to valid ones.
        found[name] = np.clip(column.astype(np.int64), -(2**15), 2**15 - 1)
    return found


def _past_comments(path: Path) -> tuple[bytes, int]:
    """A file's bytes, and the position behind its lines of text that begin with #.

    An event may begin with that byte, too; it is told from text by the first byte of its time, which is small.
    """
    content = path.read_bytes()
    position = 0
    while content[position : position + 1] == b"#":
        end = content.find(b"\n", position)
        line = content[position : end if end >= 0 else len(content)].removesuffix(b"\r")
        if any(byte < 32 and byte != 9 for byte in line):
            break
        position = end + 1 if end >= 0 else len(content)
        if line.startswith(b"#!END-HEADER"):
            break
    return content, position


def _refuse_rest(size: int, of_event: int, path: Path) -> None:
    if size < 0 or size % of_event:
        raise InvalidInput(
            f"The file {path} ends within an event: {max(size, 0)} bytes are no multiple of {of_event}; copy it again."
        )
