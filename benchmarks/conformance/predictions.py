"""Predictions to try a metric with, made from the targets of whatever kind a task has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.conformance.kit import DoesNotApply, Failed, demand
from tasks.detection.base import Detection
from tasks.detection.boxes import Boxes, Detections

Relabel = Callable[[Tensor], Tensor]
"""Of classes, of any shape."""


def is_boxes(targets: Any) -> bool:
    """Whether targets are those of detection."""
    return isinstance(targets, list) and all(isinstance(target, Boxes) for target in targets)


def predictions(targets: Any, relabel: Relabel) -> Any:
    """Predictions that are right but for their classes, which are those of `relabel`.

    Raises:
        DoesNotApply: targets are of a kind that the kit knows nothing of.
    """
    if isinstance(targets, Tensor) and targets.dim() in (1, 2, 3):  # Classes, those of points, or maps of them.
        return relabel(targets)
    if is_boxes(targets):
        return [_found(truth, relabel) for truth in targets]
    raise DoesNotApply(
        "Targets are neither classes, maps of them nor boxes, so the kit has no predictions to try the metric with."
    )


def _found(truth: Boxes, relabel: Relabel) -> Detections:
    boxes = truth.fractions
    # Different scores for different boxes, whatever image or batch they are in.
    return Detections(boxes, relabel(truth.labels), (boxes * boxes.new_tensor([0.4, 0.3, 0.2, 0.1])).sum(1).sigmoid())


def joined(batches: Sequence[Any]) -> Any:
    """Predictions or targets of several batches as one."""
    if isinstance(batches[0], Tensor):
        return torch.cat(list(batches))
    return [item for batch in batches for item in batch]


def demand_detections(found: Any, samples: int, task: Detection) -> None:
    """Fails unless `found` is what a network of a detection task decodes to."""
    if not (isinstance(found, list) and all(isinstance(one, Detections) for one in found)):
        raise Failed(f"`decode` gives {type(found).__name__}; give a list of Detections, one for each image.")
    demand(len(found) == samples, f"`decode` gives detections of {len(found)} images for {samples}.")
    for one in found:
        count = len(one.scores)
        demand(
            tuple(one.boxes.shape) == (count, 4) and tuple(one.labels.shape) == (count,),
            f"Boxes, labels and scores have shapes {tuple(one.boxes.shape)}, {tuple(one.labels.shape)} and ({count},).",
        )
        inside = bool(((one.boxes >= 0) & (one.boxes <= 1)).all() and (one.boxes[:, :2] <= one.boxes[:, 2:]).all())
        demand(inside, "A box is not within 0 to 1; give x1, y1, x2, y2 in fractions of the image.")
        known = bool(((one.labels >= 0) & (one.labels < len(task.classes))).all())
        demand(known, f"A class is not among the {len(task.classes)} of the task.")
        falls = bool((one.scores.diff() <= 0).all() and ((one.scores >= 0) & (one.scores <= 1)).all())
        demand(falls, "Scores do not fall from 1 to 0; give the surest detection first.")
