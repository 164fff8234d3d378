"""N-Cars: cars or background, seen from a driving car (Sironi et al., "HATS", CVPR 2018)."""

from __future__ import annotations

from tasks.base import Split, TaskInfo
from tasks.events.base import RecordedEvents, Recording, by_class, class_gap, with_encodings
from tasks.events.encoding import Events, Sensor
from tasks.events.files import read_dat

FOLDERS: dict[Split, str] = {"train": "n-cars_train", "test": "n-cars_test"}


@with_encodings("ncars")
class NCars(RecordedEvents):
    """N-Cars: recordings of 0.1 s and at most 120x100 pixels.

    A tenth of the training set validates, where the paper's released code selects on the test set.
    """

    info = TaskInfo(
        "N-Cars: cars or background, from a driving car",
        'Sironi et al., "HATS: Histograms of Averaged Time Surfaces for Robust Event-based Object Classification", '
        "CVPR 2018",
        "https://www.prophesee.ai/2018/03/13/dataset-n-cars/",
    )
    folders = ("Prophesee_Dataset_n_cars",)
    classes = ("background", "cars")
    sensor = Sensor(120, 100)
    layout = "Prophesee_Dataset_n_cars/n-cars_{train,test}/{background,cars}/*.dat, the archive unpacked."

    def gap(self) -> str | None:
        gaps = (class_gap(self.root / folder, self.classes, ".dat") for folder in FOLDERS.values())
        return next((gap for gap in gaps if gap is not None), None)

    def listing(self) -> dict[Split, list[Recording]]:
        return {split: by_class(self.root / folder, self.classes, ".dat") for split, folder in FOLDERS.items()}

    def load(self, sample: Recording) -> Events:
        return read_dat(sample.path)
