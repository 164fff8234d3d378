"""DVS128 Gesture: eleven gestures of 29 people (Amir et al., CVPR 2017), as published or as tonic unpacks it."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

from conversion.errors import InvalidInput
from tasks.base import Split, TaskInfo
from tasks.disk import text_of
from tasks.events.base import RecordedEvents, Recording, with_encodings
from tasks.events.encoding import Events, Sensor
from tasks.events.files import read_aedat3, read_npy

LISTS: dict[Split, str] = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
UNPACKED: dict[Split, str] = {"train": "ibmGestureTrain", "test": "ibmGestureTest"}


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
            split: [Recording(path, self._label(path.stem, path)) for path in _by_number(self.root / name)]
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
        try:
            with table.open(newline="") as file:
                rows = [
                    (row["class"], int(row["startTime_usec"]), int(row["endTime_usec"])) for row in csv.DictReader(file)
                ]
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"The table {table} is not read: it needs the columns class, startTime_usec and endTime_usec, of whole "
                "numbers."
            ) from error
        return [Recording(path, self._label(str(int(number) - 1), table), begin, end) for number, begin, end in rows]

    def _label(self, number: str, path: Path) -> int:
        """The index of a class; the publisher counts classes from 1, tonic's files from 0."""
        if not number.isdigit() or int(number) >= len(self.classes):
            raise InvalidInput(f"{path} names the class {number} counted from 0; there are {len(self.classes)}.")
        return int(number)


def _trials(path: Path) -> list[Path]:
    return [path.parent / line.strip() for line in text_of(path).splitlines() if line.strip()]


def _table(path: Path) -> Path:
    return path.with_name(f"{path.stem}_labels.csv")


def _by_number(folder: Path) -> list[Path]:
    return sorted(folder.glob("user*/*.npy"), key=lambda path: (path.parent.name, len(path.stem), path.stem))


@lru_cache(maxsize=1)
def _whole(path: Path) -> Events:
    """A recording of all gestures of a person, kept for the next of its samples."""
    return read_aedat3(path)
