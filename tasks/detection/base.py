"""What detection is about: boxes in an image, true or predicted, and tasks whose samples hold them."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from conversion.errors import InvalidInput
from tasks.base import Metric, Split, Task
from tasks.detection.average_precision import AveragePrecision
from tasks.detection.boxes import Boxes
from tasks.detection.target import BoxTarget
from tasks.disk import SKIPPED, skipping
from tasks.samples import Samples
from tasks.splits import cut

Anchors = tuple[tuple[float, float], ...]
ANCHOR_SIDE = 416
VOC_ANCHORS: Anchors = ((1.19, 1.98), (2.79, 4.59), (4.53, 8.92), (8.06, 5.29), (10.32, 10.65))
"""YOLOv2's own for VOC (Redmon, Farhadi, "YOLO9000", CVPR 2017), of images of 416x416 pixels."""
CACHE_BYTES = 2**30
"""Decoded images of a split are kept in memory when all of them need no more."""
ROUNDING = 1.0
"""Pixels that a box may reach over the border, where annotators rounded; it is clipped."""
VALIDATION_FRACTION, VALIDATION_MAX, VALIDATION_SEED = 0.1, 1000, 0


@dataclass(frozen=True)
class Annotated:
    """An image on disk and what is on it."""

    path: Path
    boxes: Boxes


class AnnotatedImages(Dataset[tuple[Tensor, Boxes]]):
    """Images read when asked for, brought to one size without keeping their aspect, with boxes in original pixels.

    Args:
        samples: what there is.
        size: height and width that an image gets.
    """

    def __init__(self, samples: Sequence[Annotated], size: tuple[int, int]) -> None:
        self.samples = samples
        self.size = size
        self._keep = len(samples) * 3 * size[0] * size[1] <= CACHE_BYTES
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Boxes]:
        sample = self.samples[index]
        image = self._kept.get(index)
        if image is None:
            image = read_image(sample.path, sample.boxes.size, self.size)
            if self._keep:
                self._kept[index] = image
        return image, sample.boxes


def read_image(path: Path, original: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """One image as RGB, uint8 of shape (3, *size), bilinearly resized.

    Args:
        path: of a JPEG or PNG file.
        original: height and width that its annotation gives.
        size: height and width to resize to.

    Raises:
        InvalidInput: the file is missing, damaged, or of another size than its annotation says.
    """
    try:
        with Image.open(path, formats=["JPEG", "PNG"]) as image:
            height, width = image.height, image.width
            pixels = np.asarray(image.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR))
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no image {path}, which is annotated; add it. {skipping(path)}") from error
    # What Pillow raises depends on where the damage is; ultralytics, once imported, makes it ask for a HEIF plugin.
    except (OSError, SyntaxError, ValueError, ImportError) as error:
        raise InvalidInput(f"The image {path} is not a readable JPEG file; replace it. {skipping(path)}") from error
    if (height, width) != original:
        raise InvalidInput(
            f"The image {path} is {width}x{height} pixels; its annotation says {original[1]}x{original[0]}. "
            f"{skipping(path)}"
        )
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()


def inside(box: Sequence[float], size: tuple[int, int], where: str) -> list[float]:
    """A box (x1, y1, x2, y2) clipped to an image of height and width `size`.

    Args:
        where: file, line or id for the error message, which is where the box comes from.

    Raises:
        InvalidInput: the box reaches more than a pixel over the border, or its corners are in the wrong order.
    """
    height, width = size
    x1, y1, x2, y2 = box
    if x2 < x1 or y2 < y1:
        raise InvalidInput(f"{where}: the box {_shown(box)} ends before it begins; its order is x1, y1, x2, y2.")
    if min(x1, y1) < -ROUNDING or x2 > width + ROUNDING or y2 > height + ROUNDING:
        raise InvalidInput(f"{where}: the box {_shown(box)} is outside of the image, {width}x{height} pixels.")
    return [max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))]


def _shown(box: Sequence[float]) -> str:
    return f"({', '.join(f'{value:g}' for value in box)})"


class Detection(Task):
    """A task whose samples are images of one size and whose targets are boxes.

    Images keep no aspect: a box is where it is in fractions of height and width, so that predictions need not know the
    original size.
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
        """Widths and heights that boxes often have, in cells of 32 pixels at the size of the input.

        A class attribute where they are known (`adapters.detection.anchors.anchors_of` computes them); else VOC's,
        brought to that size.
        """
        height, width = (side / ANCHOR_SIDE for side in self.input_shape[1:])
        return tuple((w * width, h * height) for w, h in VOC_ANCHORS)

    def metric(self) -> Metric:
        return AveragePrecision(self.classes)

    def collate(self, samples: Sequence[tuple[Tensor, Any]]) -> tuple[Tensor, list[Boxes]]:
        """Images as one tensor, boxes as a list."""
        images, boxes = zip(*samples, strict=True)
        return torch.stack(images), list(boxes)


class AnnotatedDetection(Detection):
    """Detection in annotated image files. Subclasses set the class attributes and implement `missing` and `read`."""

    @abstractmethod
    def read(self) -> dict[Split, list[Annotated]]:
        """The splits; one without "validation" has a seeded tenth of its training split, at most 1,000, cut off.

        What the user leaves out is counted in `skips`.
        """

    skips = 0

    def split(self, name: Split) -> AnnotatedImages:
        return self._splits[name]

    def digest(self) -> str:
        return self._digest

    def departures(self) -> dict[str, int]:
        boxes = sum(sample.boxes.without_area for split in self._splits.values() for sample in split.samples)
        return {f"images on {SKIPPED}": self.skips, "boxes without area": boxes}

    @cached_property
    def _splits(self) -> dict[Split, AnnotatedImages]:
        self.require()
        splits = self.read()
        if "validation" not in splits:
            training = splits["train"]
            parts = cut(len(training), VALIDATION_FRACTION, VALIDATION_MAX, VALIDATION_SEED)
            splits["train"], splits["validation"] = ([training[index] for index in part] for part in parts)
        _, height, width = self.input_shape
        return {name: AnnotatedImages(samples, (height, width)) for name, samples in splits.items()}

    @cached_property
    def _digest(self) -> str:
        """SHA-256, hexadecimal, over boxes and image files of every split."""
        state = hashlib.sha256(repr(self.input_shape).encode())
        splits: tuple[Split, ...] = ("train", "validation", "test")
        for name in splits:
            state.update(name.encode())
            for sample in self.split(name).samples:
                state.update(sample.boxes.content())
                # A file that is missing is an error only to those who look at it.
                state.update(sample.path.read_bytes() if sample.path.is_file() else b"missing")
        return state.hexdigest()
