"""Average precision of detections: at IoU .5 as in VOC, from .5 to .95 as in COCO.

Both are sums over detections ranked by score. An image's detections are matched to its own boxes alone, so resampling
images only weights ranked detections anew; that makes the bootstrap interval cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from conversion.errors import InvalidInput
from tasks.base import MetricValue
from tasks.detection.boxes import Boxes, Detections, require_same_images

Array = NDArray[np.float64]
IOU = 0.5
RESAMPLES, LEVEL = 300, 0.95
CHUNK = 2**22
"""Largest number of elements in one array of the bootstrap."""


@dataclass(frozen=True)
class Ranked:
    """Detections of one class on all images, best score first, and the number of objects to find.

    Attributes:
        image: index of each detection's image, shape (K,).
        right, wrong: 1 where it hit an object, 1 where it is a false alarm; neither where it does not count. Shape
            (K,), or (thresholds, K) at several IoU thresholds.
        positives: objects on each image, shape (images,).
    """

    image: NDArray[np.int64]
    right: Array
    wrong: Array
    positives: Array


def area(precision: Array, recall: Array) -> Array:
    """Area under the precision made monotonic, over recall: VOC from 2010 on. Shapes (..., K); returns (...,)."""
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    steps = np.diff(recall, axis=-1, prepend=0.0)
    return np.asarray((envelope * steps).sum(axis=-1))


def eleven_point(precision: Array, recall: Array) -> Array:
    """Mean of the best precision at recall 0, 0.1 ... 1: VOC 2007. Shapes (..., K); returns (...,)."""
    levels = np.arange(0.0, 1.1, 0.1)  # As the released code has them: 0.30000000000000004 is above 3 of 10.
    best = [np.where(recall >= level, precision, 0.0).max(axis=-1, initial=0.0) for level in levels]
    return np.asarray(np.mean(best, axis=0))


def coco_points(precision: Array, recall: Array) -> Array:
    """Mean of the best precision at recall 0, 0.01 ... 1, as pycocotools takes it. Shapes (..., K); returns (...,)."""
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    levels = np.linspace(0.0, 1.0, 101)
    reached = np.empty((*recall.shape[:-1], len(levels)), dtype=np.int64)
    for i in np.ndindex(recall.shape[:-1]):
        reached[i] = recall[i].searchsorted(levels)
    # Beyond the last detection, precision is zero.
    padded = np.concatenate([envelope, np.zeros_like(envelope, shape=(*envelope.shape[:-1], 1))], axis=-1)
    return np.asarray(np.take_along_axis(padded, reached, axis=-1).mean(axis=-1))


Form = Callable[[Array, Array], Array]


def average_precision(ranked: Ranked, form: Form, weights: Array | None = None) -> Array:
    """Average precision of one class; NaN where there is nothing to find.

    Args:
        ranked: its detections.
        form: summarises the curve of precision over recall.
        weights: counts of each image, shape (resamples, images); 1 each when left out.

    Returns:
        Shape (resamples,) with weights, else (); a mean over IoU thresholds where there are several.
    """
    thresholds = np.atleast_2d(ranked.right).shape[0]
    if weights is None:
        return np.asarray(_weighted(ranked, form, np.ones((1, len(ranked.positives))))[0])
    rows = max(1, CHUNK // max(1, len(ranked.image) * thresholds))
    return np.concatenate([_weighted(ranked, form, weights[i : i + rows]) for i in range(0, len(weights), rows)])


def _weighted(ranked: Ranked, form: Form, weights: Array) -> Array:
    positives = weights @ ranked.positives
    found = []
    for right, wrong in zip(np.atleast_2d(ranked.right), np.atleast_2d(ranked.wrong), strict=True):
        each = weights[:, ranked.image]
        true, false = np.cumsum(each * right, axis=1), np.cumsum(each * wrong, axis=1)
        recall = true / np.maximum(positives, 1)[:, None]
        precision = true / np.maximum(true + false, np.finfo(float).eps)
        found.append(form(precision, recall))
    return np.where(positives > 0, np.mean(found, axis=0), np.nan)


def mean_with_interval(classes: Sequence[Ranked], form: Form, seed: int = 0) -> MetricValue:
    """The mean over classes in percent, with its 95 % interval of a bootstrap over images.

    Classes without an object are left out of a mean, in a resample too.

    Raises:
        InvalidInput: no image has an object.
    """
    images = len(classes[0].positives)
    value = _mean(np.array([average_precision(ranked, form) for ranked in classes])[:, None])[0]
    if np.isnan(value):
        raise InvalidInput("Average precision is undefined: none of the images seen has an object to find.")
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(images, np.full(images, 1 / images), size=RESAMPLES).astype(float)
    means = _mean(np.stack([average_precision(ranked, form, weights) for ranked in classes]))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(means, [tail, 100 - tail])
    value, low, high = (100 * float(number) for number in (value, low, high))
    return MetricValue(value, min(low, value), max(high, value), images)


def _mean(values: Array) -> Array:
    """The mean over classes without NaN, shape (classes, n) to (n,); NaN where all are."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


@dataclass(frozen=True)
class Matched:
    """Detections of one image, best score first, and whether each hit something: 1, 0, or -1 if it does not count."""

    scores: Tensor
    labels: Tensor
    hits: Tensor
    positives: Tensor
    """Number of objects to find of each class, shape (classes,)."""


def match(found: Detections, truth: Boxes, classes: int) -> Matched:
    """Matches one image's detections as VOC does, at IoU above .5.

    Best score first, a detection takes the box of its class that it overlaps most. If another has taken that box
    before, it is a false alarm, whatever else it overlaps; if the box is to be ignored, it does not count.
    """
    order = found.scores.argsort(descending=True, stable=True)
    scores, labels = found.scores[order].double(), found.labels[order]
    overlap = box_iou(found.pixels(truth.size)[order].double(), truth.boxes.double())
    overlap[labels[:, None] != truth.labels[None, :]] = -1.0
    hits = torch.zeros(len(order))
    if len(truth.labels):
        most, which = overlap.max(dim=1)
        taken: set[int] = set()
        for i in torch.nonzero(most > IOU).flatten().tolist():
            box = int(which[i])
            if truth.ignored[box]:
                hits[i] = -1
            elif box not in taken:
                hits[i] = 1
                taken.add(box)
    positives = torch.bincount(truth.labels[~truth.ignored], minlength=classes)
    return Matched(scores, labels, hits, positives)


def score(image: Matched) -> float:
    """The score of one image, 0 to 1: its own average precision (area), a mean over the classes that are on it.

    An image without an object scores 1 less its surest detection.
    """
    if not bool(image.positives.any()):
        counted = image.scores[image.hits == 0]
        return 1.0 - float(counted.max().clamp(0, 1)) if len(counted) else 1.0
    classes = torch.nonzero(image.positives).flatten().tolist()
    return float(np.mean([average_precision(rank([image], label), area) for label in classes]))


def rank(images: Sequence[Matched], label: int) -> Ranked:
    """The detections of one class over all images; equal scores stay in the order in which images came."""
    own = [image.labels == label for image in images]
    scores = np.concatenate([image.scores[mine].numpy() for image, mine in zip(images, own, strict=True)])
    hits = np.concatenate([image.hits[mine].numpy() for image, mine in zip(images, own, strict=True)])
    index = np.repeat(np.arange(len(images)), [int(mine.sum()) for mine in own])
    order = np.argsort(-scores, kind="stable")
    right, wrong = (hits[order] == 1).astype(float), (hits[order] == 0).astype(float)
    return Ranked(index[order], right, wrong, np.array([float(image.positives[label]) for image in images]))


class AveragePrecision:
    """VOC's average precision at IoU .5, in percent, a mean over classes, in both of its forms.

    `ap50` is the area under the curve (VOC from 2010 on), `ap50_11point` the mean at eleven levels of recall (VOC 2007,
    and the paper's released code). Overlap is of areas without the extra pixel of VOC's own code, as the released code
    has it. Intervals are 95 % of a bootstrap over images.

    Args:
        classes: names of the classes.
    """

    forms: ClassVar[dict[str, Form]] = {"ap50": area, "ap50_11point": eleven_point}

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._images: list[Matched] = []

    def update(self, predictions: Sequence[Detections], targets: Sequence[Boxes]) -> None:
        """Adds images: detections and true boxes, in the same order.

        Raises:
            InvalidInput: when there are not as many predictions as targets.
        """
        require_same_images(predictions, targets)
        pairs = zip(predictions, targets, strict=True)
        self._images += [match(found, truth, len(self.classes)) for found, truth in pairs]

    def compute(self) -> dict[str, MetricValue]:
        """{"ap50": ..., "ap50_11point": ...}.

        Raises:
            InvalidInput: when no image was seen, or none with an object.
        """
        if not self._images:
            raise InvalidInput("Average precision of zero images is undefined; update the metric before computing it.")
        ranked = [rank(self._images, label) for label in range(len(self.classes))]
        return {name: mean_with_interval(ranked, form) for name, form in self.forms.items()}

    def outcomes(self) -> Tensor:
        """Each image's own average precision (see `score`), float32 of shape (n,).

        It serves to compare methods image by image. Average precision over all images ranks their detections together
        and is no mean of it.
        """
        return torch.tensor([score(image) for image in self._images])
