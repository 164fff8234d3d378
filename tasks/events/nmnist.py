"""N-MNIST: digits seen by a moving event camera (Orchard et al., Frontiers in Neuroscience 9:437, 2015)."""

from __future__ import annotations

from tasks.base import Split, TaskInfo
from tasks.events.base import RecordedEvents, Recording, by_class, class_gap, with_encodings
from tasks.events.encoding import Events, Sensor
from tasks.events.files import read_bin

FOLDERS: dict[Split, str] = {"train": "Train", "test": "Test"}


@with_encodings("nmnist")
class NMnist(RecordedEvents):
    """N-MNIST: the digits of MNIST in three saccades of 0.1 s, 34x34 pixels; a tenth of the training set validates."""

    info = TaskInfo(
        "N-MNIST: digits before a moving event camera",
        'Orchard et al., "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades", '
        "Frontiers in Neuroscience 9:437, 2015",
        "https://www.garrickorchard.com/datasets/n-mnist",
        "CC BY-SA 4.0",
    )
    folders = ("NMNIST",)
    classes = tuple("0123456789")
    sensor = Sensor(34, 34)
    upright = True
    layout = "NMNIST/{Train,Test}/<digit>/*.bin, the archives unpacked."

    def gap(self) -> str | None:
        gaps = (class_gap(self.root / folder, self.classes, ".bin") for folder in FOLDERS.values())
        return next((gap for gap in gaps if gap is not None), None)

    def listing(self) -> dict[Split, list[Recording]]:
        return {split: by_class(self.root / folder, self.classes, ".bin") for split, folder in FOLDERS.items()}

    def load(self, sample: Recording) -> Events:
        return read_bin(sample.path)
