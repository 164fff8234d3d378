"""CIFAR10-DVS: images of CIFAR-10, moved before an event camera (Li et al., Frontiers in Neuroscience 11:309, 2017)."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.base import Split, TaskInfo
from tasks.events.aedat4 import read_aedat4
from tasks.events.base import RecordedEvents, Recording, by_class, class_gap, with_encodings
from tasks.events.encoding import Events, Sensor
from tasks.events.files import dvs128, read_aedat2
from tasks.images.cifar import Cifar10

TRAINING_SHARE = 0.9
SUFFIXES = (".aedat", ".aedat4")


@with_encodings("cifar10dvs")
class Cifar10Dvs(RecordedEvents):
    """CIFAR10-DVS: 1,000 recordings of each class, 128x128 pixels.

    There is no official split. As in the paper's released code the first 90 % of every class, by number, are the
    training set; a tenth of it validates, where the released code selects on the test set. The publisher's recordings
    are AEDAT 2.0, those that tonic downloads AEDAT 4; each file says which it is.
    """

    info = TaskInfo(
        "CIFAR10-DVS: images of CIFAR-10 moved before an event camera",
        'Li et al., "CIFAR10-DVS: An Event-Stream Dataset for Object Classification", '
        "Frontiers in Neuroscience 11:309, 2017",
    )
    folders = ("CIFAR10DVS",)
    classes = Cifar10.classes
    sensor = Sensor(128, 128)
    layout = (
        "CIFAR10DVS/<class>/*.aedat, the ten archives of the publisher unpacked side by side; or "
        "CIFAR10DVS/<class>/*.aedat4, as tonic unpacks its own."
    )

    def gap(self) -> str | None:
        found = self._suffixes()
        if len(found) > 1:
            return f"{self.root} holds {' and '.join(found)} files, two forms of one dataset; move one of them away."
        return class_gap(self.root, self.classes, *found or SUFFIXES[:1])

    def listing(self) -> dict[Split, list[Recording]]:
        train: list[Recording] = []
        test: list[Recording] = []
        recordings = by_class(self.root, self.classes, *self._suffixes())
        for label in range(len(self.classes)):
            members = sorted((r for r in recordings if r.label == label), key=lambda r: _number(r.path))
            first = int(TRAINING_SHARE * len(members))
            train += members[:first]
            test += members[first:]
        return {"train": train, "test": test}

    def load(self, sample: Recording) -> Events:
        with sample.path.open("rb") as file:
            start = file.read(12)
        if start == b"#!AER-DAT4.0":
            return read_aedat4(sample.path, self.sensor)
        return read_aedat2(sample.path, dvs128)

    def _suffixes(self) -> list[str]:
        """The suffixes of recordings that there are in the folders of classes."""
        found = {path.suffix.lower() for name in self.classes for path in (self.root / name).glob("*.aedat*")}
        return [suffix for suffix in SUFFIXES if suffix in found]


def _number(path: Path) -> tuple[int, str]:
    """The last number in a name: cifar10_airplane_2 comes before cifar10_airplane_10."""
    numbers = re.findall(r"\d+", path.stem)
    return int(numbers[-1]) if numbers else 0, path.stem
