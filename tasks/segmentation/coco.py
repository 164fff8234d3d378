"""COCO's instances as maps of classes (Lin et al., "Microsoft COCO", ECCV 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conversion.errors import InvalidInput
from tasks.base import TASKS, Split
from tasks.detection.coco import CocoLayout
from tasks.detection.coco_file import CocoFile, Mask, read_file
from tasks.disk import DiskTask, first_missing
from tasks.segmentation.base import Segmentation, padded
from tasks.segmentation.masks import read_image, require_fit

PARTS: dict[Split, str] = {"train": "train2017", "test": "val2017"}


class Instances:
    """The instances of one annotation file.

    Attributes:
        file: the file.
        faults: the first error in the annotations of an image, in a sentence, by its id.
        index: class index of every category id.
    """

    def __init__(self, file: CocoFile) -> None:
        self.file = file
        if not file.images or not any(file.annotations.values()):
            what = "annotation" if file.images else "image"
            raise InvalidInput(f"{file.path} holds no {what}; unpack the archive again.")
        self.index = {}
        for number, name in file.names.items():
            if name not in CocoSegmentation.classes:
                raise InvalidInput(f"{file.path}: the category {number}, '{name}', is none of COCO's 80.")
            self.index[number] = CocoSegmentation.classes.index(name)
        found = ((image, self._fault(image)) for image in file.images)
        self.faults = {image: wrong for image, wrong in found if wrong is not None}

    def _fault(self, image: int) -> str | None:
        for annotation in self.file.annotations[image]:
            where = f"{self.file.path}, annotation {annotation['id']}"
            try:
                told = Mask.of(annotation, where)
            except InvalidInput as error:
                return str(error)
            if told.category_id not in self.index:
                return f"{where}: there is no category {told.category_id} in the file."
        return None


@dataclass(frozen=True, eq=False)
class Instanced:
    """An image on disk and its id in an annotation file."""

    path: Path
    instances: Instances
    image: int


@TASKS.register("coco_segmentation")
class CocoSegmentation(Segmentation, DiskTask[Instanced]):
    """80 kinds of things and background, padded to 641x641; tested on val2017, 5,000 images.

    An image's instances are rasterised in the order of its annotations, earlier ones on top; crowds are left out, and
    what they cover is background unless an instance covers it, too. A seeded tenth of train2017, at most 5,000 images,
    is the validation split.
    """

    info = CocoLayout.info
    input_shape = (3, 641, 641)
    batch = 2
    classes = ("background", *CocoLayout.classes)
    layout = (
        "coco/{train2017,val2017}/*.jpg and coco/annotations/instances_{train2017,val2017}.json; "
        "pip install 'adaptive-calibration-bench[detection]' for pycocotools."
    )

    folders = ("coco",)
    validation_most = 5000

    def gap(self) -> str | None:
        if find_spec("pycocotools") is None:
            return "The library pycocotools is not installed."
        for part in PARTS.values():
            path = self._annotations(part)
            if not path.is_file():
                return f"The file {path} is not there."
        try:
            samples = [sample for split in self.split_listing().values() for sample in split]
        except InvalidInput as error:
            return str(error)
        for sample in samples:
            wrong = sample.instances.faults.get(sample.image)
            if wrong is not None:
                return f"{wrong} {self.advice(sample)}"
        gone = first_missing(sample.path for sample in samples)
        return None if gone is None else f"The image {gone} is not there."

    def listing(self) -> dict[Split, list[Instanced]]:
        return {split: self._images(part) for split, part in PARTS.items()}

    def read(self, sample: Instanced) -> tuple[Tensor, Tensor]:
        file, image = sample.instances.file, read_image(sample.path, self.input_shape)
        require_fit(file.size(sample.image), f"of image {sample.image} in {file.path}", image, sample.path)
        return padded(image, rasterised(sample.instances, sample.image), self.input_shape, self.padding)

    def key(self, sample: Instanced) -> str:
        return sample.path.stem

    def source(self, sample: Instanced) -> Path:
        return sample.path

    def content(self, sample: Instanced) -> bytes:
        """The annotations, and name and size of the image file: reading 19 GB would take minutes."""
        file = sample.instances.file
        parts = (file.images[sample.image], sample.path.stat().st_size, file.annotations[sample.image])
        return repr(parts).encode()

    def _images(self, part: str) -> list[Instanced]:
        instances = _parsed(self._annotations(part))
        images = instances.file.images.items()
        return [Instanced(self.root / part / entry["file_name"], instances, key) for key, entry in images]

    def _annotations(self, part: str) -> Path:
        return self.root / "annotations" / f"instances_{part}.json"


def rasterised(instances: Instances, image: int) -> Tensor:
    """The map of one image, uint8 of shape (H, W): 0 where no instance is, the first annotation on top.

    Raises:
        InvalidInput: an annotation is not as it has to be, or not of the image's size; names file and id.
    """
    if image in instances.faults:
        raise InvalidInput(instances.faults[image])
    height, width = instances.file.size(image)
    found = torch.zeros(height, width, dtype=torch.uint8)
    for annotation in instances.file.annotations[image]:
        if annotation.get("iscrowd", 0):
            continue
        shape, where = annotation["segmentation"], f"{instances.file.path}, annotation {annotation['id']}"
        inside = _runs(shape, (height, width), where) if isinstance(shape, dict) else _filled(
            shape, (height, width), where
        )  # fmt: skip
        found[inside & (found == 0)] = instances.index[annotation["category_id"]]
    return found


def _filled(polygons: Sequence[Sequence[float]], size: tuple[int, int], where: str) -> Tensor:
    """The pixels inside of polygons, bool of shape (H, W)."""
    from pycocotools import mask as coco

    height, width = size
    for polygon in polygons:
        if len(polygon) % 2:
            raise InvalidInput(f"{where}: a polygon has {len(polygon) / 2:g} points; it needs x and y of each.")
        # What is far outside of the image would overflow in pycocotools.
        if not all(-side <= value <= 2 * side for k, side in enumerate((width, height)) for value in polygon[k::2]):
            raise InvalidInput(f"{where}: a polygon reaches far out of the image, {width}x{height} pixels.")
    inside: Tensor = torch.from_numpy(coco.decode(coco.frPyObjects(polygons, height, width))).bool()
    return inside.any(2)


def _runs(shape: Mapping[str, Any], size: tuple[int, int], where: str) -> Tensor:
    """The pixels of a run-length code, bool of shape (H, W): runs outside and inside in turn, column by column."""
    height, width = size
    if list(shape["size"]) != [height, width]:
        rows, columns = shape["size"]
        raise InvalidInput(f"{where}: its map is {columns}x{rows} pixels, the image {width}x{height}.")
    counts = _lengths(shape["counts"]) if isinstance(shape["counts"], str) else shape["counts"]
    if counts is None or min(counts, default=0) < 0 or sum(counts) != height * width:
        raise InvalidInput(f"{where}: its run-length code does not make up {height * width} pixels.")
    inside = torch.tensor([False, True]).repeat(len(counts) // 2 + 1)[: len(counts)]
    return inside.repeat_interleave(torch.tensor(counts, dtype=torch.int64)).reshape(width, height).T


def _lengths(text: str) -> list[int] | None:
    """The lengths of runs in a text of pycocotools, five bits a character; None if it is none."""
    lengths: list[int] = []
    value = bits = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or bits > 60:
            return None
        value |= (code & 31) << bits
        bits += 5
        if not code & 32:
            value -= (code >> 4 & 1) << bits
            # From the fourth on, what is written is the difference to the length before the last.
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = bits = 0
    return None if bits else lengths


@lru_cache(maxsize=4)
def _parsed(path: Path) -> Instances:
    return Instances(read_file(path))
