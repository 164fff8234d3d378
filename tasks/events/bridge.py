"""Any dataset of tonic as a task (docs/bridges.md)."""

from __future__ import annotations

import hashlib

import numpy as np

from conversion.errors import InvalidInput
from tasks.events.base import EncodedEvents
from tasks.events.encoding import EVENT, Events
from tasks.events.files import checked, polarity, whole_numbers
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
        if events.ndim != 1:
            raise InvalidInput(
                f"The recording {self.place(sample)} is an array of shape {events.shape}; it should be (events,)."
            )
        # Wide, so that a pixel off the sensor does not wrap around to one on it.
        wide = np.empty(len(events), [(name, np.int64) for name in EVENT.fields or ()])
        for name in EVENT.fields or ():
            wide[name] = whole_numbers(events[name], name, self.place(sample))
        wide["p"] = polarity(wide["p"], self.place(sample))
        return checked(wide, self.sensor, self.place(sample)).astype(EVENT)

    def label(self, sample: Item) -> int:
        label = super().label(sample)
        return self.pair(sample)[1] if label is None else label

    def place(self, sample: Item) -> str:
        return f"{self.key(sample)} of task {self.name}"

    def content(self, sample: Item) -> bytes:
        return (
            f"{self.key(sample)} {self.label(sample)} ".encode() + hashlib.sha256(self.load(sample).tobytes()).digest()
        )
