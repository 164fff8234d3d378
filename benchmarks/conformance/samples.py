"""What the samples of each kind of task have to be: images, events and clouds; classes, maps, parts and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.conformance.kit import demand
from benchmarks.conformance.predictions import is_boxes
from tasks import Task
from tasks.detection.boxes import Boxes
from tasks.events.base import EventTask
from tasks.points.base import CloudTask
from tasks.points.parts import PartSegmentation
from tasks.segmentation.base import IGNORE, Segmentation


def demand_inputs(task: Task, inputs: Tensor, split: str) -> None:
    """Fails unless a batch of inputs is of the type, and clouds of the place and size, that networks rely on."""
    if isinstance(task, EventTask):
        demand(
            inputs.dtype in (torch.uint8, torch.int16, torch.int32, torch.float32),
            f"Encoded recordings of {split} are {inputs.dtype}; give uint8, int16, int32 or float32.",
        )
    elif isinstance(task, CloudTask):
        demand_clouds(inputs, split)
    elif inputs.dim() == 4:
        demand(inputs.dtype == torch.uint8, f"Images of {split} are {inputs.dtype}; give uint8, as on disk.")


def demand_targets(task: Task, inputs: Tensor, targets: Any, split: str) -> None:
    """Fails unless targets are among a task's classes: of samples, of their pixels or points, or of boxes inside."""
    count = len(task.classes)
    if is_boxes(targets):
        demand_boxes(targets, count, split)
    elif isinstance(task, Segmentation):
        demand_labels("Maps", inputs, targets, (targets < count) | (targets == IGNORE), split)
        demand(bool((targets != IGNORE).any()), f"Not one pixel of {split} is labelled.")
    elif isinstance(task, PartSegmentation):
        demand_labels("Parts", inputs, targets, targets < count, split)
    elif isinstance(targets, Tensor) and targets.dim() == 1:
        demand(targets.dtype == torch.int64, f"Classes of {split} are {targets.dtype}; give int64.")
        demand(
            bool(((targets >= 0) & (targets < count)).all()),
            f"{split} holds classes {int(targets.min())} to {int(targets.max())}; there are {count}, counted from 0.",
        )


def demand_labels(what: str, inputs: Tensor, targets: Tensor, known: Tensor, split: str) -> None:
    """Fails unless every pixel or point has a label, as uint8, and all labels are known."""
    demand(targets.dtype == torch.uint8, f"{what} of {split} are {targets.dtype}; give uint8.")
    demand(
        targets.shape[1:] == inputs.shape[2:],
        f"{what} of {split} have shape {tuple(targets.shape[1:])}, their samples {tuple(inputs.shape[2:])}.",
    )
    unknown = targets[~known].unique().tolist()
    demand(not unknown, f"{what} of {split} hold {unknown}, which are no classes of the task, counted from 0.")


def demand_clouds(inputs: Tensor, split: str) -> None:
    """Fails unless clouds are float32 with their mean at the origin and their farthest point at distance 1."""
    demand(inputs.dtype == torch.float32, f"Clouds of {split} are {inputs.dtype}; give float32.")
    points = inputs[:, :3]
    demand(bool(torch.isfinite(points).all()), f"Clouds of {split} hold values that are not finite.")
    centre, radius = float(points.mean(2).norm(dim=1).max()), points.norm(dim=1).amax(1)
    demand(
        centre < 1e-2 and bool(((radius - 1).abs() < 1e-2).all()),
        f"A cloud of {split} is {centre:.2g} away from the origin, or its farthest point is not at distance 1.",
    )


def demand_boxes(targets: Sequence[Boxes], classes: int, split: str) -> None:
    """Fails unless boxes lie in their images and are of a task's classes."""
    for truth in targets:
        height, width = truth.size
        corners, labels = truth.boxes, truth.labels
        fit = bool(((corners >= 0) & (corners <= corners.new_tensor([width, height, width, height]))).all())
        demand(fit, f"A box of image {truth.image} in {split} reaches over the border of the image.")
        demand(bool((corners[:, :2] < corners[:, 2:]).all()), f"A box of image {truth.image} in {split} has no area.")
        demand(
            bool(((labels >= 0) & (labels < classes)).all()),
            f"Image {truth.image} in {split} has classes {labels.tolist()}; there are {classes}, counted from 0.",
        )
