"""Pascal VOC 2012 (Everingham et al., IJCV 111, 2015) with the annotations of SBD (Hariharan et al., ICCV 2011)."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import scipy.io
import torch
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks.base import TASKS, Split, TaskInfo
from tasks.detection.voc import PascalVoc
from tasks.disk import text_of
from tasks.segmentation.masks import Masked, MaskedImages

LISTS = Path("ImageSets", "Segmentation")


@TASKS.register("voc_segmentation")
class VocSegmentation(MaskedImages):
    """20 kinds of things and background, padded to 513x513; tested on VOC2012 val, 1,449 images.

    The training set is trainaug, 10,582 images: VOC2012 train and what SBD annotates besides VOC2012 val. A seeded
    tenth of it, at most 500 images, is the validation split.
    """

    info = TaskInfo(
        "Pascal VOC 2012 with SBD's annotations: 20 classes and background",
        'Everingham et al., "The Pascal Visual Object Classes Challenge: A Retrospective", IJCV 111, 2015; Hariharan '
        'et al., "Semantic Contours from Inverse Detectors", ICCV 2011',
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    )
    label_set = "voc"
    input_shape = (3, 513, 513)
    classes = ("background", *PascalVoc.classes)
    layout = (
        "VOCdevkit/VOC2012/ as unpacked (JPEGImages, SegmentationClass, ImageSets/Segmentation), with either "
        "ImageSets/Segmentation/trainaug.txt and SegmentationClassAug/*.png beside them, or sbd/ as torchvision's "
        "SBDataset reads it (img/*.jpg, cls/*.mat, train.txt, val.txt)."
    )

    validation_most = 500

    def listing(self) -> dict[Split, list[Masked]]:
        voc = self.root / "VOCdevkit" / "VOC2012"
        test = [_of_voc(voc, name) for name in _names(voc / LISTS / "val.txt")]
        return {"train": self._training({pair.image.stem for pair in test}), "test": test}

    def _training(self, tested: Collection[str]) -> list[Masked]:
        """The training set, sorted by name."""
        voc, sbd = self.root / "VOCdevkit" / "VOC2012", self.root / "sbd"
        if (voc / LISTS / "trainaug.txt").is_file():
            return sorted(_of_voc(voc, name, "SegmentationClassAug") for name in _names(voc / LISTS / "trainaug.txt"))
        training = {name: _of_voc(voc, name) for name in _names(voc / LISTS / "train.txt")}
        for name in (*_names(sbd / "train.txt"), *_names(sbd / "val.txt")):
            if name not in tested:
                # VOC's own maps have the finer borders, so they take precedence.
                training.setdefault(name, Masked(sbd / "img" / f"{name}.jpg", sbd / "cls" / f"{name}.mat"))
        return [training[name] for name in sorted(training)]

    def read_mask(self, path: Path) -> Tensor:
        """A map of VOC, a PNG with a palette, or of SBD, a MATLAB file."""
        if path.suffix != ".mat":
            return super().read_mask(path)
        try:
            values = scipy.io.loadmat(path)["GTcls"][0]["Segmentation"][0]
        # The type of scipy's error depends on where the damage is.
        except Exception as error:
            raise InvalidInput(f"The file {path} is no class map of SBD; unpack its archive again.") from error
        return torch.from_numpy(values.astype("uint8"))


def _of_voc(voc: Path, name: str, maps: str = "SegmentationClass") -> Masked:
    return Masked(voc / "JPEGImages" / f"{name}.jpg", voc / maps / f"{name}.png")


def _names(path: Path) -> list[str]:
    if not path.is_file():
        raise DataMissing(f"The list {path} is not there.")
    names = text_of(path).split()
    if not names:
        raise DataMissing(f"The list {path} is empty.")
    return names
