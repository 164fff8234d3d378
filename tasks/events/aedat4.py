"""AEDAT 4, as DV writes it: a header that describes streams, then packets, flatbuffers that may be compressed.

The library aedat reads these files, too, but ends the process for some damage; tests hold this reader against it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from conversion.errors import InvalidInput
from tasks.events.encoding import EVENT, Events, Sensor
from tasks.events.files import events_of
from tasks.events.headers import Camera
from tasks.markup import Element, parsed

MAGIC = b"#!AER-DAT4.0\r\n"
COMPRESSIONS = (None, "lz4", "lz4", "zstd", "zstd")
"""By the number in the header; numbers 2 and 4 are higher levels of the same."""
PACKED = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("on", "u1"), ("padding", "V3")])
LARGEST_PACKET = 2**28
"""Bytes of a packet without compression; DV's have some hundred thousand."""


def read_aedat4(path: Path, sensor: Sensor) -> Events:
    """The events of the stream with the smallest number.

    Args:
        sensor: the camera that the file has to be of.

    Raises:
        InvalidInput: the file is damaged, has no stream of events, or is of another camera.
    """
    content = path.read_bytes()
    if not content.startswith(MAGIC):
        raise InvalidInput(f"The file {path} does not begin with #!AER-DAT4.0; only AEDAT 4 is read here.")
    try:
        return _events(content, path, sensor)
    except struct.error as error:
        raise InvalidInput(f"The file {path} ends within a packet or is damaged; copy it again.") from error


@dataclass(frozen=True)
class Table:
    """A table of a flatbuffer; reading outside of the buffer raises struct.error."""

    buffer: bytes
    at: int

    @classmethod
    def root(cls, buffer: bytes, identifier: bytes) -> Table:
        """The outermost table of a buffer that begins with its size."""
        if buffer[8:12] != identifier:
            raise struct.error
        return cls(buffer, 4 + _number("<I", buffer, 4))

    def field(self, index: int) -> int | None:
        """Where a field is; None if it has its default."""
        layout = self.at - _number("<i", self.buffer, self.at)
        if 4 + 2 * index >= _number("<H", self.buffer, layout):
            return None
        offset = _number("<H", self.buffer, layout + 4 + 2 * index)
        return self.at + offset if offset else None

    def number(self, index: int, form: str, default: int) -> int:
        place = self.field(index)
        return default if place is None else _number(form, self.buffer, place)

    def vector(self, index: int, size: int) -> bytes:
        """The bytes of a vector or text whose elements have a size."""
        place = self.field(index)
        if place is None:
            return b""
        place += _number("<I", self.buffer, place)
        length = size * _number("<I", self.buffer, place)
        if place + 4 + length > len(self.buffer):
            raise struct.error
        return self.buffer[place + 4 : place + 4 + length]


def _number(form: str, buffer: bytes, at: int) -> int:
    if at < 0:  # struct counts these from the end.
        raise struct.error
    value: int = struct.unpack_from(form, buffer, at)[0]
    return value


def _events(content: bytes, path: Path, sensor: Sensor) -> Events:
    start = len(MAGIC)
    length = _number("<I", content, start) + 4
    header = Table.root(content[start : start + length], b"IOHE")
    number, described = header.number(0, "<i", 0), header.number(1, "<q", -1)
    if not 0 <= number < len(COMPRESSIONS):
        raise struct.error
    stream = _stream(parsed(header.vector(2, 1), path), path, sensor)
    # Behind the packets of a finished file is a table of them.
    end = described if start + length <= described <= len(content) else len(content)
    position, parts = start + length, [np.empty(0, PACKED)]
    while position < end:
        of, size = _number("<i", content, position), _number("<i", content, position + 4)
        position += 8
        if size < 0 or position + size > len(content):
            raise struct.error
        if of == stream:
            packet = _decompressed(content[position : position + size], COMPRESSIONS[number], path)
            parts.append(np.frombuffer(Table.root(packet, b"EVTS").vector(0, PACKED.itemsize), PACKED))
        position += size
    found: NDArray[Any] = np.concatenate(parts)
    return events_of(found["t"], found["x"], found["y"], found["on"], path) if len(found) else np.empty(0, EVENT)


def _decompressed(packet: bytes, compression: str | None, path: Path) -> bytes:
    if compression is None:
        return packet
    try:
        with pa.CompressedInputStream(pa.BufferReader(packet), compression) as stream:
            content: bytes = stream.read(LARGEST_PACKET + 1)
    except (OSError, pa.ArrowInvalid) as error:
        raise InvalidInput(f"The file {path} ends within a packet or is damaged ({error}); copy it again.") from error
    if len(content) > LARGEST_PACKET:
        raise InvalidInput(f"The file {path} has a packet of more than {LARGEST_PACKET:,} bytes; it is damaged.")
    return content


def _stream(root: Element, path: Path, sensor: Sensor) -> int:
    """The smallest number of a stream of events."""
    streams = {
        int(node.attributes["name"]): node
        for group in root.all("node") if group.attributes.get("name") == "outInfo"
        for node in group.all("node")
        if node.attributes.get("name", "").isdecimal() and _attribute(node, "typeIdentifier") == "EVTS"
    }  # fmt: skip
    if not streams:
        raise InvalidInput(f"The file {path} has no stream of events.")
    first = min(streams)
    info = next((node for node in streams[first].all("node") if node.attributes.get("name") == "info"), None)
    told = {key: _attribute(info, key) for key in Camera.names()} if info is not None else {}
    camera = Camera.of({key: value for key, value in told.items() if value is not None}, f"{path}, stream {first}")
    if (camera.width, camera.height) != (sensor.width, sensor.height):
        raise InvalidInput(
            f"The file {path} is of a camera of {camera.width}x{camera.height} pixels, not of "
            f"{sensor.width}x{sensor.height}."
        )
    return first


def _attribute(node: Element, key: str) -> str | None:
    return next((each.text.strip() for each in node.all("attr") if each.attributes.get("key") == key), None)
