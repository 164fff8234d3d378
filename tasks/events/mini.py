"""Simulated events of moving digits: event cameras without data on disk. Its figures say nothing of other data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.base import Split, TaskInfo
from tasks.events.base import EventTask, with_encodings
from tasks.events.encoding import EVENT, Events, Sensor, dense
from tasks.images.base import LabelledImages
from tasks.images.digits import Digits

SIDE = 16
# In sixteenths of a pixel: how far the digit moves from one look to the next, in three strokes as in N-MNIST.
UNIT, STROKE, LOOKS = 16, 4, 8
STROKES = np.array([[STROKE, STROKE // 2], [-STROKE // 2, -STROKE], [-STROKE // 2, STROKE // 2]])
PATH = np.cumsum(np.repeat(STROKES, LOOKS, axis=0), axis=0)
INTERVAL = 1000
"""Microseconds between two looks."""
# Integers throughout, so that events are the same on every machine: logarithms are in units of 1/256.
THRESHOLD, DARK, SCALE = 90, 24, 256


@with_encodings("mini_events")
class MiniEvents(EventTask):
    """Digits of scikit-learn, twice as large, moved in three strokes before a simulated event camera of 16x16 pixels.

    A pixel stores the logarithm of the brightness at its last event. When the present one differs by a threshold or
    more, it fires an event for every threshold in between, at times interpolated between two looks (Gallego et al.,
    "Event-based Vision: A Survey", 2022, section 2.4). Splits are those of the task `digits`.
    """

    info = TaskInfo("Simulated events of moving digits")
    classes = tuple("0123456789")
    sensor = Sensor(SIDE, SIDE)
    upright = True
    layout = "nothing; the events are simulated."

    def missing(self) -> str | None:
        return None

    def split(self, name: Split) -> LabelledImages:
        return _encoded(type(self), name)

    def digest(self) -> str:
        return _digest()


@lru_cache(maxsize=6)
def _encoded(task: type[MiniEvents], split: Split) -> LabelledImages:
    recordings, labels = simulated(split)
    encoded = np.stack([dense(task.encoding.cells(events, task.sensor), task.input_shape) for events in recordings])
    narrow = np.float32 if encoded.dtype.kind == "f" else np.uint8 if encoded.max() < 256 else np.int16
    return LabelledImages(torch.from_numpy(encoded.astype(narrow)), labels)


@lru_cache(maxsize=3)
def simulated(split: Split) -> tuple[list[Events], Tensor]:
    """The recordings of a split, and their classes."""
    digits = Digits().split(split)
    return list(simulate_camera(digits.images[:, 0].numpy())), digits.labels


@lru_cache(maxsize=1)
def _digest() -> str:
    state = hashlib.sha256()
    splits: tuple[Split, ...] = ("train", "validation", "test")
    for split in splits:
        recordings, labels = simulated(split)
        state.update(labels.numpy().tobytes())
        for events in recordings:
            state.update(events.tobytes())
    return state.hexdigest()


def simulate_camera(images: NDArray[np.uint8]) -> Iterator[Events]:
    """The events of the camera for each image, uint8 of shape (N, 8, 8), in the order of time."""
    table = np.round(SCALE * np.log(DARK + np.arange(256))).astype(np.int32)
    last = table[_brightness(images, (0, 0))]
    found: list[tuple[NDArray[Any], ...]] = [(np.empty(0, np.int64),) * 5]  # Where all is dark nothing comes.
    for look, offset in enumerate(PATH):
        now = table[_brightness(images, (int(offset[0]), int(offset[1])))]
        change = now - last
        fired = np.abs(change) // THRESHOLD
        for nth in range(1, int(fired.max()) + 1):
            sample, y, x = np.nonzero(fired >= nth)
            size = np.abs(change[sample, y, x])
            t = INTERVAL * look + INTERVAL * nth * THRESHOLD // size
            found.append((sample, t, x, y, change[sample, y, x] > 0))
        last = last + np.sign(change) * fired * THRESHOLD
    sample, t, x, y, p = (np.concatenate(parts) for parts in zip(*found, strict=True))
    events = np.empty(len(sample), EVENT)
    events["t"], events["x"], events["y"], events["p"] = t, x, y, p
    order = np.lexsort((x, y, t, sample))
    bounds = np.searchsorted(sample[order], np.arange(len(images) + 1))
    for first, end in pairwise(bounds):
        yield events[order[first:end]]


def _brightness(images: NDArray[np.uint8], offset: tuple[int, int]) -> NDArray[np.int64]:
    """Brightness at every pixel, 0 to 255, with the digit moved by an offset (x, y) in sixteenths of a pixel.

    Bilinear in whole numbers: a pixel of the digit is two of the camera wide, and it is dark around.
    """
    step = 2 * UNIT
    spread: list[NDArray[np.float32]] = []
    # By axis, the position of a camera pixel, in sixteenths of a pixel from the centre of the digit's first pixel.
    for shift in reversed(offset):
        place = UNIT * np.arange(SIDE) - UNIT // 2 - shift
        cell, part = place // step, place % step
        weight = np.zeros((SIDE, 8), np.float32)
        for source, share in ((cell, step - part), (cell + 1, part)):
            inside = (source >= 0) & (source < 8)
            weight[np.flatnonzero(inside), source[inside]] += share[inside]
        spread.append(weight)
    rows, columns = spread
    # Products are below 2^24, so exact in float32, whose matrix product is many times as fast.
    return (rows @ images.astype(np.float32) @ columns.T).astype(np.int64) // step**2
