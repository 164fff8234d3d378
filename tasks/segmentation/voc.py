"""Pascal VOC 2012 (Everingham et al., IJCV 111, 2015) with the annotations of SBD (Hariharan et al., ICCV 2011)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import scipy.io
import torch
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks.base import TASKS, Split, TaskInfo
from tasks.detection.voc import PascalVoc
from tasks.disk import SKIPPED
from tasks.segmentation.base import Segmentation
from tasks.segmentation.masks import ImageMaskPairs, Pair, absent, digest_of, kept, read_map
from tasks.splits import cut

VALIDATION_FRACTION, VALIDATION_MAX, VALIDATION_SEED = 0.1, 500, 0


@TASKS.register("voc_segmentation")
class VocSegmentation(Segmentation):
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

    def missing(self) -> str | None:
        if self.data_root is None:
            return "No data root was given (--data-root)."
        try:
            pairs = [pair for part in _pairs(self.data_root) for pair in part]
        except DataMissing as error:
            return str(error)
        gap = absent(path for pair in pairs for path in pair)
        return None if gap is None else f"The file {gap} is not there."

    def split(self, name: Split) -> ImageMaskPairs:
        self.require()
        assert self.data_root is not None  # `require` has said so before.
        training, test = _pairs(self.data_root)
        train, validation = cut(len(training), VALIDATION_FRACTION, VALIDATION_MAX, VALIDATION_SEED)
        chosen = {"train": train, "validation": validation}
        pairs = test if name == "test" else [training[index] for index in chosen[name]]
        return ImageMaskPairs(pairs, self.input_shape, self.padding, len(self.classes), read_voc)

    def digest(self) -> str:
        self.require()
        assert self.data_root is not None  # `require` has said so before.
        return _digest(self.data_root.resolve())

    def departures(self) -> dict[str, int]:
        assert self.data_root is not None  # Asked of a task whose data were read.
        listed, used = _listed(self.data_root), _pairs(self.data_root)
        return {f"images on {SKIPPED}": sum(map(len, listed)) - sum(map(len, used))}


def read_voc(path: Path) -> Tensor:
    """A map of VOC, a PNG with a palette, or of SBD, a MATLAB file."""
    if path.suffix != ".mat":
        return read_map(path)
    try:
        values = scipy.io.loadmat(path)["GTcls"][0]["Segmentation"][0]
    # What scipy raises depends on where the damage is.
    except Exception as error:
        raise InvalidInput(f"The file {path} is no class map of SBD; unpack its archive again.") from error
    return torch.from_numpy(values.astype("uint8"))


def _pairs(root: Path) -> tuple[list[Pair], list[Pair]]:
    """Those of `_listed` that the user does not leave out."""
    training, test = _listed(root)
    voc, sbd = root / "VOCdevkit" / "VOC2012", root / "sbd"
    return kept(kept(training, voc), sbd), kept(test, voc)


def _listed(root: Path) -> tuple[list[Pair], list[Pair]]:
    """The files of the training set, sorted by name, and of the test set, in its list's order.

    Raises:
        DataMissing: a list is not there.
    """
    voc, sbd = root / "VOCdevkit" / "VOC2012", root / "sbd"
    lists = voc / "ImageSets" / "Segmentation"
    test = [
        (voc / "JPEGImages" / f"{name}.jpg", voc / "SegmentationClass" / f"{name}.png")
        for name in _names(lists / "val.txt")
    ]
    if (lists / "trainaug.txt").is_file():
        names = _names(lists / "trainaug.txt")
        return sorted(
            (voc / "JPEGImages" / f"{name}.jpg", voc / "SegmentationClassAug" / f"{name}.png") for name in names
        ), test
    names = _names(lists / "train.txt")
    training = {name: (voc / "JPEGImages" / f"{name}.jpg", voc / "SegmentationClass" / f"{name}.png") for name in names}
    tested = {image.stem for image, _ in test}
    for name in (*_names(sbd / "train.txt"), *_names(sbd / "val.txt")):
        if name not in tested:
            # VOC's own maps are the finer ones.
            training.setdefault(name, (sbd / "img" / f"{name}.jpg", sbd / "cls" / f"{name}.mat"))
    return [training[name] for name in sorted(training)], test


def _names(path: Path) -> list[str]:
    if not path.is_file():
        raise DataMissing(f"The list {path} is not there.")
    names = path.read_text().split()
    if not names:
        raise DataMissing(f"The list {path} is empty.")
    return names


@lru_cache(maxsize=2)
def _digest(root: Path) -> str:
    return digest_of((path for part in _pairs(root) for pair in part for path in pair), root)
