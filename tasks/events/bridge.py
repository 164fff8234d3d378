"""Any dataset of tonic as a task (docs/bridges.md)."""

from __future__ import annotations

import hashlib

import numpy as np

from conversion.errors import InvalidInput
from tasks.events.base import EncodedEvents
from tasks.events.encoding import EVENT, Events
from tasks.library import Item, LibraryTask


class TonicTask(EncodedEvents[Item], LibraryTask):
    """Recordings and their classes, as a dataset of tonic gives them, encoded.

    Subclasses set `dataset`, `classes`, `sensor` and, unless it is the paper's voxel grid, `encoding`.
    """

    root_argument = "save_to"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if hasattr(cls, "sensor"):
            cls.input_shape = cls.encoding.shape(cls.sensor)

    def load(self, sample: Item) -> Events:
        events, _ = self.pair(sample)
        fields = getattr(getattr(events, "dtype", None), "names", None) or ()
        gone = [name for name in EVENT.fields or () if name not in fields]
        if gone:
            raise InvalidInput(
                f"The recording {self.place(sample)} has no field {' and no '.join(gone)}; events have x, y, t and p."
            )
        found = np.empty(len(events), EVENT)
        for name in ("t", "x", "y"):
            found[name] = events[name]
        found["p"] = events["p"] > 0
        return found

    def label(self, sample: Item) -> int:
        label = super().label(sample)
        return self.pair(sample)[1] if label is None else label

    def place(self, sample: Item) -> str:
        return f"{self.key(sample)} of task {self.name}"

    def content(self, sample: Item) -> bytes:
        return (
            f"{self.key(sample)} {self.label(sample)} ".encode() + hashlib.sha256(self.load(sample).tobytes()).digest()
        )
