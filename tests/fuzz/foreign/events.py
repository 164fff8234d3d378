"""Recordings of event cameras, and the tables beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tasks.events.aedat4 import read_aedat4
from tasks.events.dvsgesture import DvsGesture
from tasks.events.encoding import Events, Sensor, TonicVoxels, VoxelGrid
from tasks.events.files import checked, davis346, dvs128, read_aedat2, read_aedat3, read_bin, read_dat, read_npy
from tests.fuzz.foreign.parser import Parser, written
from tests.tasks.events import recorded


def recordings(sensor: Sensor, write: Callable[..., Path], **options: Any) -> Callable[[Path], list[Path]]:
    return lambda folder: [write(folder / "a.rec", recorded.drawn(sensor, 40, seed=1), **options)]


def encoded(sensor: Sensor, read: Callable[[Path], Events]) -> Callable[[Path], object]:
    """Reads a recording and does with it what tasks do."""

    def go(path: Path) -> object:
        events = checked(read(path), sensor, path)
        cells = VoxelGrid(9).cells(events, sensor)
        assert cells.value.sum() == len(events)
        return cells if events["t"][0] == events["t"][-1] else TonicVoxels(9).cells(events, sensor)

    return go


def arrays(folder: Path) -> list[Path]:
    events = recorded.drawn(Sensor(34, 34), 40, seed=1)
    rows = recorded.table(events, "xytp").astype(np.float64)
    rows[:, 3] = 2 * rows[:, 3] - 1
    wholes = recorded.table(events, "xytp")
    return [recorded.npy(folder / "0.npy", rows), recorded.npy(folder / "1.npy", wholes.astype(np.int16))]


def gestures(path: Path) -> object:
    """The samples of a recording by the table beside it."""
    return DvsGesture(path.parent)._parts(path.with_name("user01.aedat"))


def trials(path: Path) -> object:
    from tasks.events.dvsgesture import _trials

    return _trials(path)


SENSORS = {"dvs": Sensor(128, 128), "cars": Sensor(120, 100), "digits": Sensor(34, 34), "davis": Sensor(346, 260)}
PARSERS: tuple[Parser, ...] = (
    Parser("dat", "a.dat", recordings(SENSORS["cars"], recorded.dat), encoded(SENSORS["cars"], read_dat)),
    Parser("bin", "a.bin", recordings(SENSORS["digits"], recorded.mnist_bin), encoded(SENSORS["digits"], read_bin)),
    Parser("aedat2", "a.aedat", recordings(SENSORS["dvs"], recorded.dvs128),
           encoded(SENSORS["dvs"], lambda path: read_aedat2(path, dvs128))),
    Parser("davis", "a.aedat", recordings(SENSORS["davis"], recorded.davis346),
           encoded(SENSORS["davis"], lambda path: read_aedat2(path, davis346))),
    Parser("aedat3", "a.aedat", recordings(SENSORS["dvs"], recorded.aedat3, packet=15),
           encoded(SENSORS["dvs"], read_aedat3)),
    *(Parser(f"aedat4 {kind}", "a.aedat4", recordings(SENSORS["dvs"], recorded.aedat4, packet=15, compression=kind),
             encoded(SENSORS["dvs"], lambda path: read_aedat4(path, SENSORS["dvs"])))
      for kind in ("none", "lz4", "zstd")),
    Parser("npy", "a.npy", arrays, encoded(SENSORS["digits"], lambda path: read_npy(path, "xytp"))),
    Parser("gestures", "user01_labels.csv",
           written("x.csv", "class,startTime_usec,endTime_usec\n1,100,200\n11,300,400\n"), gestures),
    Parser("trials", "trials_to_train.txt", written("x.txt", "user01.aedat\nuser 02.aedat\n\n"), trials),
)  # fmt: skip
