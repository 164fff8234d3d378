"""Small datasets of random events, in the layouts and byte formats of the real ones."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow
from numpy.typing import NDArray

from tasks import TASKS
from tasks.events.encoding import EVENT, Events, Sensor

# A DAVIS also sends samples of its pixels (bit 31) and triggers (bit 10).
PIXEL, TRIGGER = 1 << 31, 1 << 10


def drawn(sensor: Sensor, count: int, seed: int, first: int = 0, interval: int = 40) -> Events:
    """Random events in the order of time."""
    random = np.random.default_rng(seed)
    events = np.empty(count, EVENT)
    events["t"] = first + np.cumsum(random.integers(0, interval, count))
    events["x"] = random.integers(0, sensor.width, count)
    events["y"] = random.integers(0, sensor.height, count)
    events["p"] = random.integers(0, 2, count)
    return events


def dat(path: Path, events: Events, version: str = "2", size: int = 8) -> Path:
    """Prophesee's .dat, version 2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = f"% Data file containing Event2D events.\n% Version {version}\n% Date 2017-10-31 11:27:54\n".encode()
    data = events["x"].astype("<u4") | events["y"].astype("<u4") << 14 | events["p"].astype("<u4") << 28
    body = np.stack([events["t"].astype("<u4"), data], 1).tobytes()
    path.write_bytes(header + bytes([0, size]) + body)
    return path


def mnist_bin(path: Path, events: Events) -> Path:
    """The 40 bits an event of N-MNIST, with an overflow in front of every 2^13 microseconds beyond 23 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, added = [], 0
    for t, x, y, p in events.tolist():
        while t - added >= 2**23:
            rows.append(bytes([0, 240, 0, 0, 0]))
            added += 2**13
        t -= added
        rows.append(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]))
    path.write_bytes(b"".join(rows))
    return path


def aedat2(path: Path, addresses: NDArray[np.int64], times: NDArray[np.int64], version: str = "2.0") -> Path:
    """jAER's AEDAT 2.0 of given addresses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = f"#!AER-DAT{version}\r\n# This is a raw AE data file\r\n# Creation time: Sat Nov 21 2015\r\n".encode()
    path.write_bytes(header + np.stack([addresses, times], 1).astype(">u4").tobytes())
    return path


def dvs128(path: Path, events: Events) -> Path:
    """Events of CIFAR10-DVS, whose image stands on its side in the camera."""
    x, y, p = (events[name].astype(np.int64) for name in "xyp")
    return aedat2(path, (127 - x) << 8 | (127 - y) << 1 | (1 - p), events["t"])


def davis346(path: Path, events: Events, between: Sequence[int] = (PIXEL | 5, TRIGGER)) -> Path:
    """Events of a DAVIS346, with other data between them."""
    x, y, p = (events[name].astype(np.int64) for name in "xyp")
    addresses = (259 - y) << 22 | (345 - x) << 12 | p << 11
    times = events["t"]
    for address in between:
        addresses, times = np.insert(addresses, 1, address), np.insert(times, 1, times[0])
    return aedat2(path, addresses, times)


def aedat3(path: Path, events: Events, packet: int = 50, version: str = "3.1") -> Path:
    """AEDAT 3.1 in packets, one of them of another kind, and one event that is not valid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [f"#!AER-DAT{version}\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n".encode()]
    parts.append(struct.pack("<hhiiiiii", 0, 1, 8, 4, 0, 1, 1, 1) + struct.pack("<II", 1, 0))
    for first in range(0, len(events), packet):
        rows = events[first : first + packet]
        overflow = int(rows["t"][0] >> 31)
        # The first is there twice, once as not valid.
        parts.append(struct.pack("<hhiiiiii", 1, 1, 8, 4, overflow, len(rows) + 1, len(rows) + 1, len(rows)))
        for valid, (t, x, y, p) in [(0, rows[0].tolist()), *((1, row) for row in rows.tolist())]:
            parts.append(struct.pack("<II", x << 17 | y << 2 | p << 1 | valid, t - (overflow << 31)))
    path.write_bytes(b"".join(parts))
    return path


def aedat4(path: Path, events: Events, packet: int = 50, compression: str = "none", side: int = 128) -> Path:
    """AEDAT 4 in packets: flatbuffers as DV writes them, compressed or not, without the table at the end.

    Stream 0 is of triggers, of which there are none; stream 1 has the events.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    streams = "".join(
        f'<node name="{number}" path="/outInfo/{number}/"><attr key="typeIdentifier" type="string">{kind}</attr>'
        f'<node name="info" path="/outInfo/{number}/info/"><attr key="sizeX" type="int">{side}</attr>'
        f'<attr key="sizeY" type="int">{side}</attr></node></node>'
        for number, kind in enumerate(("TRIG", "EVTS"))
    )
    info = f'<dv version="2.0"><node name="outInfo" path="/outInfo/">{streams}</node></dv>'.encode()
    # A table of three fields: compression, the string's offset, and -1 where a finished file has its table.
    table = struct.pack(
        "<6x5HiIIq", 10, 20, 4, 12, 8, 10, ("none", "lz4", "lz4_high", "zstd").index(compression), 12, -1
    )
    header = struct.pack("<I4s", 24, b"IOHE") + table + struct.pack("<I", len(info)) + info + b"\0"
    parts = [b"#!AER-DAT4.0\r\n", struct.pack("<I", len(header)), header]
    for first in range(0, len(events), packet):
        rows = events[first : first + packet]
        packed = np.zeros(len(rows), [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("on", "u1"), ("padding", "V3")])
        for name, own in (("t", "t"), ("x", "x"), ("y", "y"), ("on", "p")):
            packed[name] = rows[own]
        body = struct.pack("<I4s2x3HiII", 16, b"EVTS", 6, 8, 4, 6, 4, len(rows)) + packed.tobytes()
        body = struct.pack("<I", len(body)) + body
        if compression != "none":
            body = pyarrow.Codec(compression.removesuffix("_high")).compress(body, asbytes=True)
        parts.append(struct.pack("<ii", 1, len(body)) + body)
    path.write_bytes(b"".join(parts))
    return path


def npy(path: Path, columns: NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, columns)
    return path


def table(events: Events, order: str, microseconds: int = 1) -> NDArray[np.int64]:
    """Events as rows of an array, times in units of so many microseconds."""
    scaled = {**{name: events[name].astype(np.int64) for name in "xyp"}, "t": events["t"] // microseconds}
    return np.stack([scaled[name] for name in order], 1)


def nmnist(root: Path, train: int = 6, test: int = 2) -> Path:
    for folder, count, seed in (("Train", train, 0), ("Test", test, 1)):
        for label in range(10):
            for number in range(count):
                events = drawn(Sensor(34, 34), 60, seed=hash((seed, label, number)) % 2**32)
                mnist_bin(root / f"NMNIST/{folder}/{label}/{number:05}.bin", events)
    return root


def ncars(root: Path, train: int = 20, test: int = 6) -> Path:
    for folder, count, seed in (("n-cars_train", train, 0), ("n-cars_test", test, 1)):
        for label, name in enumerate(("background", "cars")):
            for number in range(count):
                events = drawn(Sensor(120, 100), 80, seed=hash((seed, label, number)) % 2**32)
                dat(root / f"Prophesee_Dataset_n_cars/{folder}/{name}/obj_{number:06}_td.dat", events)
    return root


def cifar10dvs(root: Path, count: int = 12, suffix: str = ".aedat") -> Path:
    """As published (.aedat), or as tonic downloads it (.aedat4)."""
    write = dvs128 if suffix == ".aedat" else aedat4
    for label, name in enumerate(TASKS["cifar10dvs"].classes):
        for number in range(count):
            events = drawn(Sensor(128, 128), 80, seed=hash((label, number)) % 2**32)
            write(root / f"CIFAR10DVS/{name}/cifar10_{name}_{number}{suffix}", events)
    return root


def action_recognition(root: Path, count: int = 8) -> Path:
    for label, name in enumerate(TASKS["action_recognition"].classes):
        for number in range(count):
            events = drawn(Sensor(346, 260), 80, seed=hash((label, number)) % 2**32)
            davis346(root / f"Action_Recognition/{name.replace('_', ' ').title()}/{number}.aedat", events)
    return root


def ncaltech101(root: Path) -> Path:
    """The release of EST: one recording of every class in each part."""
    for part in ("training", "validation", "testing"):
        for label, name in enumerate(TASKS["ncaltech101"].classes):
            events = drawn(Sensor(240, 180), 40, seed=hash((part == "testing", part == "training", label)) % 2**32)
            columns = table(events, "xytp").astype(np.float64)
            columns[:, 2] /= 1e6
            columns[:, 3] = 2 * columns[:, 3] - 1
            npy(root / f"N-Caltech101/{part}/{name}/{name}_0.npy", columns)
    return root


def dvsgesture(root: Path) -> Path:
    """Recordings of all gestures of a person, one after the other, and a table of their times, as published."""
    base = root / "DVSGesture/DvsGesture"
    for name, users in (("train", range(1, 7)), ("test", range(24, 26))):
        trials = [f"user{user:02}_fluorescent.aedat" for user in users]
        for user, trial in zip(users, trials, strict=True):
            rows, events = ["class,startTime_usec,endTime_usec"], []
            for label in range(11):
                first = 100_000 * (label + 1)
                part = drawn(Sensor(128, 128), 50, seed=100 * user + label, first=first)
                events.append(part)
                rows.append(f"{label + 1},{part['t'][0]},{part['t'][-1]}")
            aedat3(base / trial, np.concatenate(events))
            (base / trial.replace(".aedat", "_labels.csv")).write_text("\n".join(rows) + "\n")
        (base / f"trials_to_{name}.txt").write_text("\n".join(trials) + "\n\n")
    return root
