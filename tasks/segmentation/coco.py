"""COCO's instances as maps of classes (Lin et al., "Microsoft COCO", ECCV 2014)."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
from tasks.disk import DiskTask, first_missing
from tasks.segmentation.base import Segmentation, padded
from tasks.segmentation.masks import read_image, require_fit

PARTS: dict[Split, str] = {"train": "train2017", "test": "val2017"}


class Instances:
    """The instances of one annotation file.

    Attributes:
        path: the file.
        images: its images, by ascending id.
        by_image: annotations by image id, crowds among them, in the file's order.
        faults: the first error in the annotations of an image, in a sentence, by its id.
        index: class index of every category id.
    """

    def __init__(self, path: Path, content: Any) -> None:
        self.path = path
        try:
            self.images: list[dict[str, Any]] = sorted(content["images"], key=lambda image: image["id"])
            names = {category["id"]: category["name"] for category in content["categories"]}
            annotations = content["annotations"]
        except (KeyError, TypeError) as error:
            raise InvalidInput(
                f"{path} is no annotation file of COCO; it needs lists 'images', 'annotations' and 'categories'."
            ) from error
        if not self.images or not annotations:
            raise InvalidInput(f"{path} holds no {'annotation' if self.images else 'image'}; unpack the archive again.")
        self.index = {}
        for number, name in names.items():
            if name not in CocoSegmentation.classes:
                raise InvalidInput(f"{path}: the category {number}, '{name}', is none of COCO's 80.")
            self.index[number] = CocoSegmentation.classes.index(name)
        self.by_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in self.images}
        self.faults: dict[int, str] = {}
        for annotation in annotations:
            image, where = annotation.get("image_id"), f"{path}, annotation {annotation.get('id')}"
            if image not in self.by_image:
                raise InvalidInput(f"{where}: there is no image {image} in the file.")
            self.by_image[image].append(annotation)
            fault = self._fault(annotation)
            if fault is not None:
                self.faults.setdefault(image, f"{where}: {fault}")

    def _fault(self, annotation: Mapping[str, Any]) -> str | None:
        if annotation.get("category_id") not in self.index:
            return f"there is no category {annotation.get('category_id')} in the file."
        shape = annotation.get("segmentation")
        if isinstance(shape, Mapping) and {"counts", "size"} <= shape.keys():
            return None
        if not isinstance(shape, list) or not shape:
            return "it has no segmentation; give polygons or a run-length code."
        for polygon in shape:
            # pycocotools takes a polygon of four numbers for a box.
            if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
                points = len(polygon) / 2 if isinstance(polygon, list) else 0
                return f"a polygon has {points:g} points; it needs at least 3."
        return None


@dataclass(frozen=True, eq=False)
class Instanced:
    """An image on disk and its entry in an annotation file."""

    path: Path
    instances: Instances
    entry: Mapping[str, Any]


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
            fault = sample.instances.faults.get(sample.entry["id"])
            if fault is not None:
                return f"{fault} {self.advice(sample)}"
        gone = first_missing(sample.path for sample in samples)
        return None if gone is None else f"The image {gone} is not there."

    def listing(self) -> dict[Split, list[Instanced]]:
        return {split: self._images(part) for split, part in PARTS.items()}

    def read(self, sample: Instanced) -> tuple[Tensor, Tensor]:
        image, mask = read_image(sample.path, self.input_shape), rasterised(sample.instances, sample.entry)
        require_fit(mask, f"of image {sample.entry['id']} in {sample.instances.path}", image, sample.path)
        return padded(image, mask, self.input_shape, self.padding)

    def key(self, sample: Instanced) -> str:
        return sample.path.stem

    def source(self, sample: Instanced) -> Path:
        return sample.path

    def content(self, sample: Instanced) -> bytes:
        """The annotations, and name and size of the image file: reading 19 GB would take minutes."""
        annotations = sample.instances.by_image[sample.entry["id"]]
        return repr((sample.entry, sample.path.stat().st_size, annotations)).encode()

    def _images(self, part: str) -> list[Instanced]:
        instances = _parsed(self._annotations(part))
        return [Instanced(self.root / part / entry["file_name"], instances, entry) for entry in instances.images]

    def _annotations(self, part: str) -> Path:
        return self.root / "annotations" / f"instances_{part}.json"


def rasterised(instances: Instances, image: Mapping[str, Any]) -> Tensor:
    """The map of one image, uint8 of shape (H, W): 0 where no instance is, the first annotation on top."""
    from pycocotools import mask as coco

    height, width = image["height"], image["width"]
    found = torch.zeros(height, width, dtype=torch.uint8)
    for annotation in instances.by_image[image["id"]]:
        if annotation.get("iscrowd", 0):
            continue
        where = f"{instances.path}, annotation {annotation['id']}"
        shape = annotation["segmentation"]
        if isinstance(shape, Mapping) and list(shape["size"]) != [height, width]:
            rows, columns = shape["size"]
            raise InvalidInput(f"{where}: its map is {columns}x{rows} pixels, the image {width}x{height}.")
        try:
            compressed = isinstance(shape, Mapping) and isinstance(shape["counts"], str)
            code = shape if compressed else coco.frPyObjects(shape, height, width)
            inside = torch.from_numpy(coco.decode(code)).bool()
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"{where}: its segmentation cannot be read ({error}).") from error
        if inside.dim() == 3:
            inside = inside.any(2)
        found[inside & (found == 0)] = instances.index[annotation["category_id"]]
    return found


@lru_cache(maxsize=4)
def _parsed(path: Path) -> Instances:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidInput(f"{path} is damaged or no JSON: {error}") from error
    return Instances(path, content)
