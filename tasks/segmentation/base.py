"""Semantic segmentation: the metrics, and the base of its tasks.

mIoU is that of the released code (vedaseg): intersections and unions are summed over all images of a split, and every
class counts the same, background too where a dataset has one. The column "mAP" of the paper's Table 4 is this number.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversion.errors import InvalidInput
from tasks.base import MetricValue, Task
from tasks.samples import Samples
from tasks.segmentation.target import MapTarget

IGNORE = 255
RESAMPLES, SEED = 1000, 0


class MeanIoU:
    """Mean intersection over union and pixel accuracy, in percent, with 95 % bootstrap intervals over images.

    Pixels whose target is 255 count nowhere. A class that is neither in the targets nor predicted has no IoU and stays
    out of the mean (vedaseg gives it 0; on a complete test split every class occurs and the two agree).

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._images: list[NDArray[np.int64]] = []

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Adds a batch: classes predicted and true, both of shape (N, H, W).

        Raises:
            InvalidInput: shapes differ, or a class is out of range.
        """
        if predictions.ndim != 3 or predictions.shape != targets.shape:
            raise InvalidInput(
                f"mIoU compares maps of one shape (N, H, W); it got predictions of shape {tuple(predictions.shape)} "
                f"and targets of shape {tuple(targets.shape)}."
            )
        for predicted, target in zip(predictions.cpu().long(), targets.cpu().long(), strict=True):
            counted = target != IGNORE
            for what, values in (("prediction", predicted[counted]), ("target", target[counted])):
                if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < self.classes:
                    raise InvalidInput(
                        f"A {what} holds classes {int(values.min())} to {int(values.max())}; there are {self.classes}, "
                        f"counted from 0, and {IGNORE} marks pixels that do not count."
                    )
            confusion = torch.bincount(
                self.classes * target[counted] + predicted[counted], minlength=self.classes**2
            ).view(self.classes, self.classes)
            # All that the metrics need of a confusion matrix: its diagonal, rows and columns.
            self._images.append(torch.stack([confusion.diagonal(), confusion.sum(1), confusion.sum(0)]).numpy())

    def compute(self) -> dict[str, MetricValue]:
        """{"miou": ..., "pixel_accuracy": ...}.

        Raises:
            InvalidInput: when no labelled pixel was seen.
        """
        if not self._images or not sum(int(image[1].sum()) for image in self._images):
            raise InvalidInput("mIoU of zero labelled pixels is undefined; update the metric before computing it.")
        images = np.stack(self._images).reshape(len(self._images), -1)
        # Sorted, since resamples are drawn by index and may not depend on the order of updates.
        images = images[np.lexsort(images.T)]
        value = _scores(images.sum(0)[None].reshape(1, 3, -1))
        draws = np.random.default_rng(SEED).multinomial(len(images), [1 / len(images)] * len(images), RESAMPLES)
        resampled = _scores((draws @ images).reshape(RESAMPLES, 3, -1))
        low, high = np.nanpercentile(resampled, (2.5, 97.5), axis=1)
        return {
            name: MetricValue(float(v), min(float(v), float(lo)), max(float(v), float(hi)), len(images))
            for name, v, lo, hi in zip(("miou", "pixel_accuracy"), value[:, 0], low, high, strict=True)
        }

    def outcomes(self) -> Tensor:
        """The mIoU of each image by itself, 0..1, over the classes that it holds or that are predicted in it.

        Their mean is not the mIoU of the split, in which a class's pixels of all images count together. An image
        without labelled pixels scores 1: nothing is wrong in it.
        """
        if not self._images:
            return torch.empty(0)
        return torch.from_numpy(np.nan_to_num(_scores(np.stack(self._images))[0] / 100, nan=1.0)).float()


def _scores(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """mIoU and pixel accuracy in percent, shape (2, n), of right, true and predicted pixels, shape (n, 3, classes)."""
    right, true, predicted = counts.transpose(1, 0, 2)
    union = true + predicted - right
    known = union > 0
    iou = np.divide(right, union, out=np.zeros(union.shape), where=known)
    with np.errstate(invalid="ignore"):  # 0 / 0 is nan: nothing was labelled.
        return 100 * np.stack([iou.sum(1) / known.sum(1), right.sum(1) / true.sum(1)])


class Segmentation(Task):
    """A task whose targets are maps of classes as large as the image, uint8 of shape (H, W), 255 where none is known.

    Images smaller than the input are padded at their right and lower edges with 255 in the target, never resized.
    Subclasses set the class attributes and implement `missing`, `split` and `digest`.
    """

    kind = "semantic segmentation"
    primary_metric = "miou"
    perfect = 100.0
    target = MapTarget(IGNORE)
    samples = Samples(any_size=True)
    batch = 4
    dense = True
    padding: ClassVar[tuple[int, int, int]] = (124, 116, 104)
    """Colour of padded pixels: ImageNet's mean, which networks normalise to about 0."""

    def metric(self) -> MeanIoU:
        return MeanIoU(len(self.classes))


def padded(image: Tensor, target: Tensor, shape: tuple[int, ...], colour: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Pads an image, uint8 of shape (C, H, W), and its map, (H, W), at their right and lower edges.

    Args:
        shape: shape of the canvas, (C, height, width).
        colour: colour of the image's padding; the map's is 255.
    """
    height, width = target.shape
    if (height, width) == shape[1:]:
        return image, target
    canvas = torch.tensor(colour, dtype=torch.uint8).view(-1, 1, 1).repeat(1, *shape[1:])
    labels = torch.full(shape[1:], IGNORE, dtype=torch.uint8)
    canvas[:, :height, :width], labels[:height, :width] = image, target
    return canvas, labels
