"""Anchor boxes of YOLOv2: typical sizes of a dataset's boxes, by k-means (Redmon, Farhadi, CVPR 2017, section 2).

The attribute `anchors` for the class of a task of your own:

    from pathlib import Path
    from adapters.detection.anchors import anchors_of
    from tasks import TASKS
    print(anchors_of(TASKS["bccd"](Path("DATA"))))
"""

from __future__ import annotations

import torch
from torch import Tensor

from conversion.errors import InvalidInput
from tasks.base import Task
from tasks.detection.boxes import Boxes

COUNT, ROUNDS = 5, 300

ANCHOR_CELL = 32
"""Side in pixels of the cells that anchors are measured in."""


def overlap(sizes: Tensor, anchors: Tensor) -> Tensor:
    """IoU of boxes (G, 2) and anchors (A, 2), widths and heights, laid over each other by a corner: shape (G, A)."""
    common = torch.minimum(sizes[:, None], anchors[None]).prod(2)
    return common / (sizes.prod(1)[:, None] + anchors.prod(1)[None] - common)


def kmeans(sizes: Tensor, count: int, seed: int = 0) -> Tensor:
    """Anchors by k-means with the distance 1 - IoU.

    Args:
        sizes: widths and heights of boxes, shape (G, 2), positive.
        count: number of anchors.
        seed: seed of the first centres, drawn among the boxes as k-means++ does.

    Returns:
        Shape (count, 2), by area.

    Raises:
        InvalidInput: fewer different boxes than anchors.
    """
    if len(sizes.unique(dim=0)) < count:
        raise InvalidInput(f"{count} anchors need as many boxes of different size; there are fewer.")
    generator = torch.Generator().manual_seed(seed)
    sizes = sizes.double()
    centres = sizes[torch.randint(len(sizes), (1,), generator=generator)]
    while len(centres) < count:
        distance = 1 - overlap(sizes, centres).amax(1)
        centres = torch.cat([centres, sizes[torch.multinomial(distance.clamp(min=0), 1, generator=generator)]])
    for _ in range(ROUNDS):
        nearest = overlap(sizes, centres).argmax(1)
        moved = torch.stack(
            [sizes[nearest == i].mean(0) if bool((nearest == i).any()) else centres[i] for i in range(count)]
        )
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres[centres.prod(1).argsort()]


def anchors_of(task: Task, count: int = COUNT) -> Tensor:
    """Anchors of a task's training boxes, in cells of 32 pixels at its input size, shape (count, 2)."""
    truths: list[Boxes] = [truth for _, truth in task.split("train")]  # type: ignore[attr-defined]
    boxes = torch.cat([truth.fractions for truth in truths])
    cells = torch.tensor([task.input_shape[2] / ANCHOR_CELL, task.input_shape[1] / ANCHOR_CELL])
    return kmeans((boxes[:, 2:] - boxes[:, :2]) * cells, count)
