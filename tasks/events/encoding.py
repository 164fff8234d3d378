"""Recordings of event cameras as tensors of counts: voxel grids, frames, and tonic's own (docs/events.md).

An event is a time in microseconds, a column x, a row y and a polarity p, 1 where it became brighter and 0 where darker.
Time runs from the first event of a recording to its last, and both ends count: no event falls out of a grid of ours, so
that the counts sum up to the number of events.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from conversion.errors import InvalidInput

Events = NDArray[np.void]
EVENT = np.dtype([("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", np.int8)])
# Events per cell below which sorting the events is faster than counting in all cells.
SPARSE = 1 / 8


class Sensor(NamedTuple):
    """Columns and rows of a camera."""

    width: int
    height: int


@dataclass(frozen=True)
class Cells:
    """The values of an encoded recording that are not zero: flat indices, ascending, and the value at each."""

    index: NDArray[np.int64]
    value: NDArray[Any]


class Encoding(Protocol):
    """Makes a tensor of a recording.

    Attributes:
        temporal: whether the first axis is time, so that frame after frame can be fed to a network.
    """

    @property
    def temporal(self) -> bool: ...

    def shape(self, sensor: Sensor) -> tuple[int, ...]:
        """The shape of an encoded recording: (channels, height, width), or (frames, polarities, height, width)."""
        ...

    def cells(self, events: Events, sensor: Sensor) -> Cells:
        """The encoded recording; `events` are on the sensor and in the order of time."""
        ...


def library(module: str) -> Any:
    """Imports a module that only tasks of event cameras need.

    Raises:
        InvalidInput: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise InvalidInput(f"This needs {name}, which is not installed: pip install -e '.[events]'.") from error


def dense(cells: Cells, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """An encoded recording as an array of a shape, zeros included."""
    found = np.zeros(shape, cells.value.dtype)
    found.reshape(-1)[cells.index] = cells.value
    return found


def time_bins(t: NDArray[np.int64], bins: int) -> NDArray[np.int64]:
    """The bin of each event: bin i holds i/bins <= (t - first) / (last - first) < (i + 1)/bins, the last bin its end.

    Args:
        t: times in ascending order, at least one; if all are the same, all events are in the first bin.
        bins: number of bins, of equal length.
    """
    elapsed = t - t[0]
    found: NDArray[np.int64] = np.minimum(elapsed * bins // max(int(elapsed[-1]), 1), bins - 1)
    return found


def count_cells(cell: NDArray[np.int64], size: int) -> Cells:
    """Counts the events in each of `size` cells; cells without events are left out."""
    if len(cell) < SPARSE * size:
        return Cells(*np.unique(cell, return_counts=True))
    counts = np.bincount(cell, minlength=size)
    index = np.flatnonzero(counts)
    return Cells(index, counts[index])


def _counted(events: Events, sensor: Sensor, bins: int) -> Cells:
    """Counts events by time bin, polarity and pixel."""
    plane = 2 * time_bins(events["t"], bins) + events["p"]
    cell = (plane * sensor.height + events["y"]) * sensor.width + events["x"]
    return count_cells(cell, 2 * bins * sensor.height * sensor.width)


@dataclass(frozen=True)
class VoxelGrid:
    """The paper's encoding: counts by time bin and polarity as channels, bin after bin, darker before brighter.

    The released code divides times by their maximum and bins i/9 < t <= (i + 1)/9, so that an event at 0 is lost.
    """

    bins: int = 9
    temporal: ClassVar[bool] = False

    def shape(self, sensor: Sensor) -> tuple[int, ...]:
        return 2 * self.bins, sensor.height, sensor.width

    def cells(self, events: Events, sensor: Sensor) -> Cells:
        return _counted(events, sensor, self.bins)


@dataclass(frozen=True)
class EventFrames:
    """Counts by polarity in frames of equal length, a network's input one after the other."""

    count: int = 16
    temporal: ClassVar[bool] = True

    def shape(self, sensor: Sensor) -> tuple[int, ...]:
        return self.count, 2, sensor.height, sensor.width

    def cells(self, events: Events, sensor: Sensor) -> Cells:
        return _counted(events, sensor, self.count)


@dataclass(frozen=True)
class TonicFrames:
    """tonic's ToFrame with a fixed number of frames, of equal length or of equally many events.

    tonic drops events that do not fill the last slice.

    Attributes:
        n_time_bins, n_event_bins: one of them, as tonic names them.
        overlap: tonic's overlap of slices.
    """

    n_time_bins: int | None = None
    n_event_bins: int | None = None
    overlap: float = 0.0
    temporal: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if (self.n_time_bins is None) == (self.n_event_bins is None):
            raise InvalidInput("tonic's ToFrame needs n_time_bins or n_event_bins, one of them, to be fed in time.")

    def shape(self, sensor: Sensor) -> tuple[int, ...]:
        return self.n_time_bins or self.n_event_bins or 0, 2, sensor.height, sensor.width

    def cells(self, events: Events, sensor: Sensor) -> Cells:
        to_frame = library("tonic.functional").to_frame_numpy
        options = {"n_time_bins": self.n_time_bins, "n_event_bins": self.n_event_bins, "overlap": self.overlap}
        return _cells(to_frame(events, (*sensor, 2), **options).astype(np.int64))


@dataclass(frozen=True)
class TonicVoxels:
    """tonic's ToVoxelGrid: polarities of -1 and 1, each split between the two nearest time bins; no counts."""

    n_time_bins: int = 9
    temporal: ClassVar[bool] = False

    def shape(self, sensor: Sensor) -> tuple[int, ...]:
        return self.n_time_bins, sensor.height, sensor.width

    def cells(self, events: Events, sensor: Sensor) -> Cells:
        if events["t"][0] == events["t"][-1]:
            raise InvalidInput("tonic's ToVoxelGrid divides by the length of a recording, and this one has none.")
        to_voxels = library("tonic.functional").to_voxel_grid_numpy
        # A copy, because tonic writes -1 into the polarities that it is given.
        return _cells(to_voxels(events.copy(), (*sensor, 2), n_time_bins=self.n_time_bins))


def _cells(encoded: NDArray[Any]) -> Cells:
    flat = encoded.reshape(-1)
    index = np.flatnonzero(flat)
    return Cells(index, flat[index])
