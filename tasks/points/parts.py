"""Parts of shapes: the metric, and the base of tasks whose targets are the parts that points belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversion.errors import InvalidInput
from tasks.base import MetricValue
from tasks.points.base import CloudTask
from tasks.points.target import PartTarget

RESAMPLES, SEED = 1000, 0
Array = NDArray[np.float64]


class PartIoU:
    """Intersection over union of the parts of shapes, in percent, as ShapeNetPart is scored.

    A shape's IoU is the mean over all parts of its category; a part that it neither has nor is said to have counts 1.
    `category_miou` is the mean over categories, each the mean over its shapes (Table 6 of the paper); `instance_miou`
    the mean over all shapes. Where there are several categories, each has a value of its own, `miou_<category>`.
    Intervals are 95 % of a bootstrap over the shapes of each category.

    Args:
        categories: the part labels of each category, by name. A shape's category is that of its labels.
    """

    def __init__(self, categories: Mapping[str, Sequence[int]]) -> None:
        self.categories = {name: tuple(parts) for name, parts in categories.items()}
        self._of = {part: index for index, parts in enumerate(self.categories.values()) for part in parts}
        self._shapes: list[tuple[int, float]] = []

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Adds a batch: parts predicted and true, both of shape (N, P).

        Raises:
            InvalidInput: shapes differ, or labels of a shape are no parts of one category.
        """
        if predictions.ndim != 2 or predictions.shape != targets.shape:
            raise InvalidInput(
                f"Parts are compared point by point, shape (N, P); predictions have shape {tuple(predictions.shape)}, "
                f"targets {tuple(targets.shape)}."
            )
        for predicted, true in zip(predictions.cpu().long().numpy(), targets.cpu().long().numpy(), strict=True):
            category = self._category(true)
            parts = np.array(list(self.categories.values())[category])[:, None]
            found, real = predicted == parts, true == parts
            union = (found | real).sum(1)
            iou = np.where(union > 0, (found & real).sum(1) / np.maximum(union, 1), 1.0)
            self._shapes.append((category, float(iou.mean())))

    def _category(self, labels: NDArray[np.int64]) -> int:
        found = {self._of.get(label, -1) for label in np.unique(labels).tolist()}
        if len(found) != 1 or -1 in found:
            raise InvalidInput(
                f"A shape has labels {np.unique(labels).tolist()}, which are no parts of one category; the parts are "
                + ", ".join(f"{name} {list(parts)}" for name, parts in self.categories.items())
                + "."
            )
        return found.pop()

    def compute(self) -> dict[str, MetricValue]:
        """{"category_miou": ..., "instance_miou": ..., "miou_<category>": ...} over the categories that were seen.

        Raises:
            InvalidInput: when no shape was seen.
        """
        if not self._shapes:
            raise InvalidInput("mIoU of zero shapes is undefined; update the metric before computing it.")
        generator = np.random.default_rng(SEED)
        names, sizes, means, resampled = [], [], [], []
        for index, name in enumerate(self.categories):
            # Sorted, since resamples are drawn by index and may not depend on the order of updates.
            values = np.sort([100 * iou for category, iou in self._shapes if category == index])
            if len(values):
                names.append(name)
                sizes.append(len(values))
                means.append(values.mean())
                draws = generator.multinomial(len(values), np.full(len(values), 1 / len(values)), RESAMPLES)
                resampled.append(draws @ values / len(values))
        mean, drawn, count = np.array(means), np.array(resampled), np.array(sizes)
        measures = {
            "category_miou": _measure(mean.mean(), drawn.mean(0), count.sum()),
            "instance_miou": _measure(count @ mean / count.sum(), count @ drawn / count.sum(), count.sum()),
        }
        if len(self.categories) > 1:
            for name, *own in zip(names, mean, drawn, count, strict=True):
                measures[f"miou_{name.lower()}"] = _measure(*own)
        return measures

    def outcomes(self) -> Tensor:
        """The IoU of each shape, 0..1, in the order in which they came, float32 of shape (n,)."""
        return torch.tensor([iou for _, iou in self._shapes])


def _measure(value: float, resampled: Array, count: int) -> MetricValue:
    low, high = np.percentile(resampled, (2.5, 97.5))
    return MetricValue(float(value), min(float(value), float(low)), max(float(value), float(high)), int(count))


class PartSegmentation(CloudTask):
    """A task whose targets are the parts that points belong to, uint8 of shape (points,).

    Attributes:
        categories: the part labels of each category, by name.
    """

    kind = "part segmentation"
    primary_metric = "category_miou"
    perfect = 100.0
    target = PartTarget()
    dense = True
    categories: Mapping[str, Sequence[int]]

    def metric(self) -> PartIoU:
        return PartIoU(self.categories)
