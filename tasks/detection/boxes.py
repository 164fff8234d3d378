"""Boxes in an image: true ones with their annotation, predicted ones with their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class Boxes:
    """The true boxes of one image.

    Attributes:
        boxes: x1, y1, x2, y2 in pixels of the original image, float32 of shape (M, 4).
        labels: class indices, int64 of shape (M,).
        ignored: objects that need not be found, bool of shape (M,): VOC's difficult ones, crowds of COCO.
        size: height and width of the original image.
        image: name of the image, for error messages.
        without_area: number of further boxes in its annotation that have no area, so that nothing can overlap them.
    """

    boxes: Tensor
    labels: Tensor
    ignored: Tensor
    size: tuple[int, int]
    image: str = ""
    without_area: int = 0

    @classmethod
    def of(
        cls, boxes: list[list[float]], labels: list[int], ignored: list[bool], size: tuple[int, int], image: str = "",
        without_area: int = 0,
    ) -> Boxes:  # fmt: skip
        """Makes boxes from lists of one length."""
        return cls(torch.tensor(boxes).reshape(-1, 4), torch.tensor(labels).long(), torch.tensor(ignored).bool(), size,
                   image, without_area)  # fmt: skip

    @property
    def fractions(self) -> Tensor:
        """The boxes in fractions of the image's width and height, shape (M, 4)."""
        height, width = self.size
        return self.boxes / self.boxes.new_tensor([width, height, width, height])

    def content(self) -> bytes:
        """Name, size, boxes, labels and flags as bytes, for a digest."""
        parts = (self.boxes, self.labels, self.ignored)
        return repr((self.image, self.size)).encode() + b"".join(part.numpy().tobytes() for part in parts)


@dataclass(frozen=True, eq=False)
class Detections:
    """The detections of a network on one image.

    Attributes:
        boxes: x1, y1, x2, y2 in fractions of the image's width and height, float32 of shape (K, 4).
        labels: class indices, int64 of shape (K,).
        scores: confidences in 0..1, float32 of shape (K,).
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor

    def pixels(self, size: tuple[int, int]) -> Tensor:
        """The boxes in pixels of an image of height and width `size`, shape (K, 4)."""
        height, width = size
        return self.boxes * self.boxes.new_tensor([width, height, width, height])


def require_same_images(predictions: Sequence[Detections], targets: Sequence[Boxes]) -> None:
    """Raises InvalidInput unless there are as many predictions as targets."""
    if len(predictions) != len(targets):
        raise InvalidInput(f"There are predictions of {len(predictions)} images and boxes of {len(targets)}.")
