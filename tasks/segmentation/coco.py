"""COCO's instances as maps of classes (Lin et al., "Microsoft COCO", ECCV 2014)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from conversion.errors import InvalidInput
from tasks.base import TASKS, Split
from tasks.detection.coco import CocoLayout
from tasks.disk import SKIPPED, skipped, skipping
from tasks.segmentation.base import Segmentation, padded
from tasks.segmentation.masks import absent, read_image, require_fit, require_room
from tasks.splits import cut

VALIDATION_FRACTION, VALIDATION_MAX, VALIDATION_SEED = 0.1, 5000, 0
PARTS = ("train2017", "val2017")


@TASKS.register("coco_segmentation")
class CocoSegmentation(Segmentation):
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

    def missing(self) -> str | None:
        if self.data_root is None:
            return "No data root was given (--data-root)."
        if find_spec("pycocotools") is None:
            return "The library pycocotools is not installed."
        for part in PARTS:
            path = _annotations(self.data_root, part)
            if not path.is_file():
                return f"The file {path} is not there."
            try:
                instances = _read(path)
            except InvalidInput as error:
                return str(error)
            gap = absent(self.data_root / "coco" / part / image["file_name"] for image in instances.images)
            if gap is not None:
                return f"The image {gap} is not there."
        return None

    def split(self, name: Split) -> InstanceMaps:
        self.require()
        assert self.data_root is not None  # `require` has said so before.
        part = "val2017" if name == "test" else "train2017"
        instances = _read(_annotations(self.data_root, part))
        chosen: Sequence[int] = range(len(instances.images))
        if name != "test":
            train, validation = cut(len(chosen), VALIDATION_FRACTION, VALIDATION_MAX, VALIDATION_SEED)
            chosen = train if name == "train" else validation
        return InstanceMaps(instances, chosen, self.data_root / "coco" / part, self.input_shape, self.padding)

    def departures(self) -> dict[str, int]:
        assert self.data_root is not None  # Asked of a task whose data were read.
        return {f"images on {SKIPPED}": sum(_read(_annotations(self.data_root, part)).skips for part in PARTS)}

    def digest(self) -> str:
        """Over the annotation files, and over names and sizes of the images: reading 19 GB would take minutes."""
        self.require()
        assert self.data_root is not None  # `require` has said so before.
        return _digest(self.data_root.resolve())


class Instances:
    """What one annotation file says.

    Attributes:
        path: the file.
        images: its images, by ascending id, but those that the user leaves out.
        skips: how many these are.
        by_image: annotations by image id, crowds left out, in the file's order.
        index: class index of every category id.
    """

    def __init__(self, path: Path, content: Any, left_out: Collection[str] = ()) -> None:
        self.path = path
        try:
            self.images: list[dict[str, Any]] = sorted(content["images"], key=lambda image: image["id"])
            names = {category["id"]: category["name"] for category in content["categories"]}
            annotations = content["annotations"]
            self.names = {image["id"]: image["file_name"] for image in self.images}
        except (KeyError, TypeError) as error:
            raise InvalidInput(
                f"{path} is no annotation file of COCO; it needs lists 'images', 'annotations' and 'categories'."
            ) from error
        if not self.images or not annotations:
            raise InvalidInput(f"{path} holds no {'annotation' if self.images else 'image'}; unpack the archive again.")
        omitted = {identity for identity, name in self.names.items() if Path(name).stem in left_out}
        self.images = [image for image in self.images if image["id"] not in omitted]
        self.skips = len(omitted)
        self.index = {}
        for number, name in names.items():
            if name not in CocoSegmentation.classes:
                raise InvalidInput(f"{path}: the category {number}, '{name}', is none of COCO's 80.")
            self.index[number] = CocoSegmentation.classes.index(name)
        self.by_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in self.images}
        for annotation in annotations:
            if annotation.get("image_id") in omitted:
                continue
            self._check(annotation)
            if not annotation.get("iscrowd", 0):
                self.by_image[annotation["image_id"]].append(annotation)

    def _check(self, annotation: Mapping[str, Any]) -> None:
        where = f"{self.path}, annotation {annotation.get('id')}"
        if annotation.get("category_id") not in self.index:
            raise InvalidInput(f"{where}: there is no category {annotation.get('category_id')} in the file.")
        if annotation.get("image_id") not in self.by_image:
            raise InvalidInput(f"{where}: there is no image {annotation.get('image_id')} in the file.")
        advice = skipping(self.path.parent / self.names[annotation["image_id"]])
        shape = annotation.get("segmentation")
        if isinstance(shape, Mapping) and {"counts", "size"} <= shape.keys():
            return
        if not isinstance(shape, list) or not shape:
            raise InvalidInput(f"{where}: it has no segmentation; give polygons or a run-length code. {advice}")
        for polygon in shape:
            # pycocotools would take four numbers for a box.
            if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
                points = len(polygon) / 2 if isinstance(polygon, list) else 0
                raise InvalidInput(f"{where}: a polygon has {points:g} points; it needs at least 3. {advice}")


class InstanceMaps(Dataset[tuple[Tensor, Tensor]]):
    """Samples (image, map of classes), rasterised when they are asked for.

    Args:
        instances: of the annotation file.
        chosen: which of its images.
        folder: of the images.
        shape: (3, height, width) of every sample; what is smaller is padded.
        colour: of an image's padding.
    """

    def __init__(
        self, instances: Instances, chosen: Sequence[int], folder: Path, shape: tuple[int, ...],
        colour: tuple[int, ...],
    ) -> None:  # fmt: skip
        self.instances, self.chosen, self.folder, self.shape, self.colour = instances, chosen, folder, shape, colour

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        entry = self.instances.images[self.chosen[index]]
        path = self.folder / entry["file_name"]
        image = read_image(path)
        mask = rasterised(self.instances, entry)
        require_fit(mask, f"of image {entry['id']} in {self.instances.path}", image, path)
        require_room(image, path, self.shape)
        return padded(image, mask, self.shape, self.colour)


def rasterised(instances: Instances, image: Mapping[str, Any]) -> Tensor:
    """The map of one image, uint8 of shape (H, W): 0 where no instance is, the first annotation on top."""
    from pycocotools import mask as coco

    height, width = image["height"], image["width"]
    found = torch.zeros(height, width, dtype=torch.uint8)
    for annotation in instances.by_image[image["id"]]:
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


def _annotations(root: Path, part: str) -> Path:
    return root / "coco" / "annotations" / f"instances_{part}.json"


def _read(path: Path) -> Instances:
    return _parsed(path, skipped(path.parent.parent))


@lru_cache(maxsize=4)
def _parsed(path: Path, left_out: frozenset[str]) -> Instances:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidInput(f"{path} is damaged or no JSON: {error}") from error
    return Instances(path, content, left_out)


@lru_cache(maxsize=2)
def _digest(root: Path) -> str:
    state = hashlib.sha256()
    for part in PARTS:
        path = _annotations(root, part)
        state.update(path.read_bytes())
        for image in _read(path).images:
            size = (root / "coco" / part / image["file_name"]).stat().st_size
            state.update(f"{part}/{image['file_name']} {size}\n".encode())
    return state.hexdigest()
