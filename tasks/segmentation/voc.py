"""Pascal VOC 2012 (Everingham et al., IJCV 111, 2015) with the annotations of SBD (Hariharan et al., ICCV 2011)."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks.base import TASKS, Split, TaskInfo
from tasks.detection.voc import PascalVoc, read_list
from tasks.matlab import read_mat
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
        images = voc / "JPEGImages"
        test = [_of_voc(voc, name) for name in _names(voc / LISTS / "val.txt", images)]
        return {"train": self._training({pair.image.stem for pair in test}), "test": test}

    def _training(self, tested: Collection[str]) -> list[Masked]:
        """The training set, sorted by name."""
        voc, sbd = self.root / "VOCdevkit" / "VOC2012", self.root / "sbd"
        images = voc / "JPEGImages"
        if (voc / LISTS / "trainaug.txt").is_file():
            return sorted(
                _of_voc(voc, name, "SegmentationClassAug") for name in _names(voc / LISTS / "trainaug.txt", images)
            )
        training = {name: _of_voc(voc, name) for name in _names(voc / LISTS / "train.txt", images)}
        for name in (*_names(sbd / "train.txt", sbd / "img"), *_names(sbd / "val.txt", sbd / "img")):
            if name not in tested:
                # VOC's own maps have the finer borders, so they take precedence.
                training.setdefault(name, Masked(sbd / "img" / f"{name}.jpg", sbd / "cls" / f"{name}.mat"))
        return [training[name] for name in sorted(training)]

    def read_mask(self, path: Path) -> Tensor:
        """A map of VOC, a PNG with a palette, or of SBD, a MATLAB file."""
        if path.suffix != ".mat":
            return super().read_mask(path)
        truth = read_mat(path, "GTcls", "class map of SBD")
        one = isinstance(truth, list) and len(truth) == 1 and isinstance(truth[0], dict)
        values = truth[0].get("Segmentation") if one else None
        if not isinstance(values, np.ndarray) or values.dtype != np.uint8 or values.ndim != 2:
            raise InvalidInput(f"The file {path} is no class map of SBD; unpack its archive again.")
        return torch.from_numpy(values.copy())


def _of_voc(voc: Path, name: str, maps: str = "SegmentationClass") -> Masked:
    return Masked(voc / "JPEGImages" / f"{name}.jpg", voc / maps / f"{name}.png")


def _names(path: Path, images: Path) -> list[str]:
    """The images on a list; `images` is their folder."""
    if not path.is_file():
        raise DataMissing(f"The list {path} is not there.")
    names = list(read_list(path, images))
    if not names:
        raise DataMissing(f"The list {path} is empty.")
    return names
