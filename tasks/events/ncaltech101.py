"""N-Caltech101: photographs seen by a moving event camera (Orchard et al., Frontiers in Neuroscience 9:437, 2015)."""

from __future__ import annotations

from tasks.base import Split, TaskInfo
from tasks.events.base import RecordedEvents, Recording, by_class, class_gap, with_encodings
from tasks.events.encoding import Events, Sensor
from tasks.events.files import read_bin, read_npy

PARTS: dict[Split, str] = {"train": "training", "validation": "validation", "test": "testing"}


@with_encodings("ncaltech101")
class NCaltech101(RecordedEvents):
    """N-Caltech101: 8,709 recordings of 100 kinds of things and of background, up to 240x180 pixels.

    The release of EST (Gehrig et al., ICCV 2019) has three parts, which are taken as they are; the paper's released
    code evaluates on the one that it selects on. The original has none: a seeded fifth of every class is the test set,
    a tenth of the rest validates.
    """

    info = TaskInfo(
        "N-Caltech101: photographs before a moving event camera",
        'Orchard et al., "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades", '
        "Frontiers in Neuroscience 9:437, 2015",
        "https://www.garrickorchard.com/datasets/n-caltech101",
    )
    sensor = Sensor(240, 180)
    layout = (
        "N-Caltech101/{training,validation,testing}/<class>/*.npy, the release of EST; or Caltech101/<class>/*.bin, "
        "the original as tonic unpacks it."
    )
    classes = (
        "BACKGROUND_Google", "Faces_easy", "Leopards", "Motorbikes", "accordion", "airplanes", "anchor", "ant",
        "barrel", "bass", "beaver", "binocular", "bonsai", "brain", "brontosaurus", "buddha", "butterfly", "camera",
        "cannon", "car_side", "ceiling_fan", "cellphone", "chair", "chandelier", "cougar_body", "cougar_face", "crab",
        "crayfish", "crocodile", "crocodile_head", "cup", "dalmatian", "dollar_bill", "dolphin", "dragonfly",
        "electric_guitar", "elephant", "emu", "euphonium", "ewer", "ferry", "flamingo", "flamingo_head", "garfield",
        "gerenuk", "gramophone", "grand_piano", "hawksbill", "headphone", "hedgehog", "helicopter", "ibis",
        "inline_skate", "joshua_tree", "kangaroo", "ketch", "lamp", "laptop", "llama", "lobster", "lotus", "mandolin",
        "mayfly", "menorah", "metronome", "minaret", "nautilus", "octopus", "okapi", "pagoda", "panda", "pigeon",
        "pizza", "platypus", "pyramid", "revolver", "rhino", "rooster", "saxophone", "schooner", "scissors", "scorpion",
        "sea_horse", "snoopy", "soccer_ball", "stapler", "starfish", "stegosaurus", "stop_sign", "strawberry",
        "sunflower", "tick", "trilobite", "umbrella", "watch", "water_lilly", "wheelchair", "wild_cat", "windsor_chair",
        "wrench", "yin_yang",
    )  # fmt: skip

    def gap(self) -> str | None:
        if (self.root / "N-Caltech101").is_dir():
            gaps = (class_gap(self.root / "N-Caltech101" / part, self.classes, ".npy") for part in PARTS.values())
            return next((gap for gap in gaps if gap is not None), None)
        return class_gap(self.root / "Caltech101", self.classes, ".bin")

    def listing(self) -> dict[Split, list[Recording]]:
        released = self.root / "N-Caltech101"
        if released.is_dir():
            return {split: by_class(released / part, self.classes, ".npy") for split, part in PARTS.items()}
        return {"train": by_class(self.root / "Caltech101", self.classes, ".bin")}

    def load(self, sample: Recording) -> Events:
        if sample.path.suffix == ".npy":
            return read_npy(sample.path, "xytp", microseconds=1)
        return read_bin(sample.path)
