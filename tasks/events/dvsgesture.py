"""DVS128 Gesture: eleven gestures of 29 people (Amir et al., CVPR 2017), as published or as tonic unpacks it."""

from __future__ import annotations

import csv
import re
from functools import lru_cache
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from conversion.errors import InvalidInput
from tasks.base import Split, TaskInfo
from tasks.disk import text_of
from tasks.events.base import RecordedEvents, Recording, with_encodings
from tasks.events.encoding import Events, Sensor
from tasks.events.files import read_aedat3, read_npy
from tasks.typed import Record, WrittenWhole, name_fault

LISTS: dict[Split, str] = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
UNPACKED: dict[Split, str] = {"train": "ibmGestureTrain", "test": "ibmGestureTest"}


class Trial(Record):
    """A row of the table beside a recording: a class counted from 1, and the first and last microsecond."""

    number: WrittenWhole = Field(alias="class", description="a whole number")
    begin: WrittenWhole = Field(alias="startTime_usec", description="a whole number")
    end: WrittenWhole = Field(alias="endTime_usec", description="a whole number")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.begin > self.end:
            raise ValueError(f"it begins at {self.begin} and ends at {self.end}, before that")
        return self


@with_encodings("dvsgesture")
class DvsGesture(RecordedEvents):
    """DVS128 Gesture: 23 people for training and 6 for testing, 128x128 pixels.

    The publisher's recordings hold all gestures of a person one after the other; a table of labels says when each
    sample begins and ends. A tenth of the training samples validates.
    """

    info = TaskInfo(
        "DVS128 Gesture: eleven gestures of 29 people",
        'Amir et al., "A Low Power, Fully Event-Based Gesture Recognition System", CVPR 2017',
        "https://research.ibm.com/interactive/dvsgesture/",
    )
    folders = ("DVSGesture",)
    classes = (
        "hand clapping", "right hand wave", "left hand wave", "right arm clockwise", "right arm counter-clockwise",
        "left arm clockwise", "left arm counter-clockwise", "arm roll", "air drums", "air guitar", "other gestures",
    )  # fmt: skip
    sensor = Sensor(128, 128)
    upright = True
    layout = (
        "DVSGesture/DvsGesture/ with trials_to_{train,test}.txt, *.aedat and *_labels.csv, as published; or "
        "DVSGesture/ibmGesture{Train,Test}/user*/<class>.npy, as tonic unpacks it."
    )

    def gap(self) -> str | None:
        published = self.root / "DvsGesture"
        if published.is_dir():
            for name in LISTS.values():
                if not (published / name).is_file():
                    return f"The file {published / name} is not there."
                for path in _trials(published / name):
                    for needed in (path, _table(path)):
                        if not needed.is_file():
                            return f"The file {needed} is not there."
            return None
        for name in UNPACKED.values():
            if not any((self.root / name).glob("user*/*.npy")):
                return f"The folder {self.root / name} holds no user*/*.npy file."
        return None

    def listing(self) -> dict[Split, list[Recording]]:
        published = self.root / "DvsGesture"
        if published.is_dir():
            return {
                split: [part for path in _trials(published / name) for part in self._parts(path)]
                for split, name in LISTS.items()
            }
        return {
            split: [Recording(path, self._label(whole(path.stem), str(path))) for path in _by_number(self.root / name)]
            for split, name in UNPACKED.items()
        }

    def load(self, sample: Recording) -> Events:
        if sample.path.suffix == ".npy":
            return read_npy(sample.path, "xypt", microseconds=1000)
        events = _whole(sample.path)
        return events[(events["t"] >= sample.begin) & (events["t"] <= sample.end)]

    def _parts(self, path: Path) -> list[Recording]:
        """The samples of one recording."""
        table = _table(path)
        rows = csv.DictReader(text_of(table).splitlines())
        found: list[Recording] = []
        try:
            columns = rows.fieldnames or ()
            if len({*columns}) < len(columns):
                raise InvalidInput(f"{table}, line 1: a column is there twice, of {', '.join(columns):.120}.")
            for row in rows:
                where = f"{table}, line {rows.line_num}"
                trial = Trial.of(row, where)
                found.append(Recording(path, self._label(trial.number - 1, f"{where},"), trial.begin, trial.end))
        except csv.Error as error:
            raise InvalidInput(f"{table}, line {rows.line_num}, is no row of a table: {error}.") from error
        if not found:
            raise InvalidInput(f"{table} has no row, and without one the recording has no sample; unpack it again.")
        return found

    def _label(self, number: int | None, where: str) -> int:
        """The index of a class; the publisher counts classes from 1, tonic's files from 0."""
        if number is None or not 0 <= number < len(self.classes):
            raise InvalidInput(f"{where} names the class {number} counted from 0; there are {len(self.classes)}.")
        return number


def whole(text: str | None) -> int | None:
    """The whole number that a text is; None for anything else."""
    return int(text) if text is not None and re.fullmatch(r"\s*[0-9]{1,18}\s*", text) else None


def _trials(path: Path) -> list[Path]:
    """The recordings on a list. Raises InvalidInput, with its line, for what is no name of a file or is there twice."""
    found: dict[str, int] = {}
    for line, name in enumerate(map(str.strip, text_of(path).splitlines()), 1):
        if not name:
            continue
        fault = name_fault(name)
        if fault is not None or name in found:
            raise InvalidInput(f"{path}, line {line}: '{name:.60}' {fault or f'is on line {found[name]}, too'}.")
        found[name] = line
    return [path.parent / name for name in found]


def _table(path: Path) -> Path:
    return path.with_name(f"{path.stem}_labels.csv")


def _by_number(folder: Path) -> list[Path]:
    return sorted(folder.glob("user*/*.npy"), key=lambda path: (path.parent.name, len(path.stem), path.stem))


@lru_cache(maxsize=1)
def _whole(path: Path) -> Events:
    """A recording of all gestures of a person, kept for the next of its samples."""
    return read_aedat3(path)
