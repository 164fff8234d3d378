"""Object detection: the base of its tasks, and of those with annotated image files."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from conversion.errors import InvalidInput
from tasks.base import Metric, Split, Task
from tasks.detection.average_precision import AveragePrecision
from tasks.detection.boxes import Boxes
from tasks.detection.target import BoxTarget
from tasks.disk import SKIPPED, DiskTask, StoredSamples
from tasks.images.files import decoded
from tasks.samples import Samples

Anchors = tuple[tuple[float, float], ...]
ANCHOR_SIDE = 416
VOC_ANCHORS: Anchors = ((1.19, 1.98), (2.79, 4.59), (4.53, 8.92), (8.06, 5.29), (10.32, 10.65))
"""YOLOv2's anchors for VOC (Redmon, Farhadi, "YOLO9000", CVPR 2017), for images of 416x416 pixels."""
ROUNDING = 1.0
"""Pixels by which a box may cross the border of its image, since annotators round; it is clipped."""


@dataclass(frozen=True)
class Annotated:
    """An image on disk, and the function that reads its annotation."""

    path: Path
    annotation: Callable[[], Boxes]

    @cached_property
    def boxes(self) -> Boxes:
        return self.annotation()


def read_image(path: Path, original: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """One image as RGB, uint8 of shape (3, *size), bilinearly resized.

    Args:
        path: of a JPEG or PNG file.
        original: height and width that its annotation gives.
        size: height and width to resize to.

    Raises:
        InvalidInput: the file is missing, damaged, or of another size than its annotation says.
    """

    def check(image: Image.Image) -> None:
        if (image.height, image.width) != original:
            raise InvalidInput(
                f"The image {path} is {image.width}x{image.height} pixels; its annotation says "
                f"{original[1]}x{original[0]}."
            )

    pixels = np.asarray(decoded(path, check=check).resize(size[::-1], Image.Resampling.BILINEAR))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()


def size_in_pixels(height: float, width: float, where: str) -> tuple[int, int]:
    """Height and width of an image, from its annotation.

    Raises:
        InvalidInput: one of them is no whole number of pixels.
    """
    if not all(side >= 1 and float(side).is_integer() for side in (height, width)):
        raise InvalidInput(
            f"{where}: height and width are {height:g} and {width:g}; they have to be whole numbers of pixels."
        )
    return int(height), int(width)


def inside(box: Sequence[float], size: tuple[int, int], where: str) -> list[float]:
    """A box (x1, y1, x2, y2) clipped to an image of height and width `size`.

    Args:
        where: the source of the box for the error message: file, line or id.

    Raises:
        InvalidInput: a number is not finite, the box reaches more than a pixel over the border, or its corners are in
            the wrong order.
    """
    height, width = size
    x1, y1, x2, y2 = box
    if not all(map(math.isfinite, box)):
        raise InvalidInput(f"{where}: the box {_shown(box)} holds something other than finite numbers; correct it.")
    if x2 < x1 or y2 < y1:
        raise InvalidInput(f"{where}: the box {_shown(box)} ends before it begins; its order is x1, y1, x2, y2.")
    if min(x1, y1) < -ROUNDING or x2 > width + ROUNDING or y2 > height + ROUNDING:
        raise InvalidInput(f"{where}: the box {_shown(box)} is outside of the image, {width}x{height} pixels.")
    return [max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))]


def _shown(box: Sequence[float]) -> str:
    return f"({', '.join(f'{value:g}' for value in box)})"


class Detection(Task):
    """A task whose samples are images of one size and whose targets are boxes.

    Images are resized without regard to their aspect: boxes are in fractions of height and width, so that predictions
    do not depend on the original size.
    """

    kind = "object detection"
    primary_metric = "ap50"
    upright: ClassVar[bool] = True
    """Whether images have an upper side; where they have none, training mirrors them both ways."""
    perfect = 100.0
    target = BoxTarget()
    samples = Samples(any_size=True)
    batch = 8
    dense = True

    @property
    def anchors(self) -> Anchors:
        """Common widths and heights of boxes, in cells of 32 pixels at the size of the input.

        A class attribute where they are known (`adapters.detection.anchors.anchors_of` computes them); else VOC's,
        scaled to that size.
        """
        height, width = (side / ANCHOR_SIDE for side in self.input_shape[1:])
        return tuple((w * width, h * height) for w, h in VOC_ANCHORS)

    def metric(self) -> Metric:
        return AveragePrecision(self.classes)

    def collate(self, samples: Sequence[tuple[Tensor, Any]]) -> tuple[Tensor, list[Boxes]]:
        """Images as one tensor, boxes as a list."""
        images, boxes = zip(*samples, strict=True)
        return torch.stack(images), list(boxes)


class AnnotatedDetection(Detection, DiskTask[Annotated]):
    """Detection in annotated image files. Subclasses set the class attributes and implement `listing`."""

    validation_most = 1000

    def read(self, sample: Annotated) -> tuple[Tensor, Boxes]:
        _, height, width = self.input_shape
        return read_image(sample.path, sample.boxes.size, (height, width)), sample.boxes

    def key(self, sample: Annotated) -> str:
        return sample.path.stem

    def source(self, sample: Annotated) -> Path:
        return sample.path

    def skip_list(self, sample: Annotated) -> Path:
        return sample.path.parent.parent / SKIPPED

    def content(self, sample: Annotated) -> bytes:
        # A missing file is an error only when its sample is read.
        image = sample.path.read_bytes() if sample.path.is_file() else b"missing"
        return sample.boxes.content() + image

    def split(self, name: Split) -> StoredSamples[Annotated]:
        for sample in self.listed(name):
            self._boxes(sample)  # What is wrong with an annotation is said before work starts.
        return self._stored[name]

    def departures(self) -> dict[str, int]:
        samples = [sample for split in self._splits.values() for sample in split]
        return super().departures() | {"boxes without area": sum(self._boxes(s).without_area for s in samples)}

    def _boxes(self, sample: Annotated) -> Boxes:
        with self.reading(sample):
            return sample.boxes
