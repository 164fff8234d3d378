"""YOLOv2's prediction tensor: its layout, the assignment of anchors to boxes, and the loss.

Losses and decoding are those of the paper's released detection code (github.com/yjh0410's YOLOv2 through Fast-SNN).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert

from adapters.detection.anchors import overlap
from tasks.detection.boxes import Boxes

POSITIVE, NEGATIVE = 5.0, 1.0
"""Weights of the confidence loss of anchors that are assigned to a box, and of the others."""
SIMILAR = 0.5
"""IoU with a box above which an anchor that is not assigned to it has no confidence loss."""


def unpack(output: Tensor, anchors: int) -> Tensor:
    """(N, anchors * (5 + classes), h, w) to (N, h, w, anchors, 5 + classes), float32.

    An anchor has offsets x and y, log sizes w and h, the logit of its confidence, and class logits.
    """
    n, channels, height, width = output.shape
    parts = output.float().view(n, anchors, channels // anchors, height, width)
    return parts.permute(0, 3, 4, 1, 2)


def boxes_of(parts: Tensor, cells: Sequence[Tensor], anchors: Tensor, grid: tuple[int, int]) -> Tensor:
    """Boxes in fractions of the image, x1, y1, x2, y2 of shape (..., 4).

    Args:
        parts: offsets and sizes, shape (..., 4 or more).
        cells: row and column of each, integers that broadcast to (...).
        anchors: width and height in cells of each, broadcasts to (..., 2).
        grid: number of rows and of columns.
    """
    rows, columns = grid
    x = (parts[..., 0].sigmoid() + cells[1]) / columns
    y = (parts[..., 1].sigmoid() + cells[0]) / rows
    w, h = parts[..., 2].exp() * anchors[..., 0] / columns, parts[..., 3].exp() * anchors[..., 1] / rows
    return box_convert(torch.stack([x, y, w, h], dim=-1), "cxcywh", "xyxy")


def yolo_loss(output: Tensor, targets: Sequence[Boxes], anchors: Tensor) -> Tensor:
    """Sum over an image's boxes and anchors, mean over the batch.

    The anchor of most similar shape in the cell of a box's centre is assigned to the box. Its loss is the squared error
    of its confidence from the overlap that it reaches, cross-entropy of the class, cross-entropy of the offset and
    squared error of the log size, both weighted by 2 - area, and smooth L1 of the overlap from 1. The confidence of
    other anchors is trained towards 0. Ignored boxes are left out.

    Args:
        output: output of the network, shape (N, anchors * (5 + classes), h, w).
        targets: true boxes of every image.
        anchors: widths and heights in cells, shape (anchors, 2).
    """
    parts = unpack(output, len(anchors))
    anchors = anchors.to(parts)
    grid = (parts.shape[1], parts.shape[2])
    counted = [~truth.ignored for truth in targets]
    boxes = torch.cat([truth.fractions[own] for truth, own in zip(targets, counted, strict=True)]).to(parts)
    labels = torch.cat([truth.labels[own] for truth, own in zip(targets, counted, strict=True)]).to(parts.device)
    image = torch.repeat_interleave(torch.tensor([int(own.sum()) for own in counted])).to(parts.device)

    size = parts.new_tensor([grid[1], grid[0]])
    centre, extent = (boxes[:, :2] + boxes[:, 2:]) / 2 * size, (boxes[:, 2:] - boxes[:, :2]) * size
    column, row = (centre[:, i].long().clamp(0, grid[1 - i] - 1) for i in (0, 1))
    likeness = overlap(extent, anchors)
    own = likeness.argmax(1)

    negative = torch.ones(parts.shape[:-1], dtype=torch.bool, device=parts.device)
    which, similar = torch.nonzero(likeness > SIMILAR, as_tuple=True)
    negative[image[which], row[which], column[which], similar] = False
    negative[image, row, column, own] = False
    found = parts[image, row, column, own]

    reached = _iou(boxes_of(found, (row, column), anchors[own], grid), boxes)
    weight = 2 - (boxes[:, 2:] - boxes[:, :2]).prod(1)
    offset = centre - torch.stack([column, row], dim=1)
    place = F.binary_cross_entropy_with_logits(found[:, :2], offset.clamp(0, 1), reduction="none").sum(1)
    scale = (found[:, 2:4] - (extent / anchors[own]).log()).square().sum(1)
    confident = POSITIVE * (found[:, 4].sigmoid() - reached.detach()).square()
    idle = NEGATIVE * parts[..., 4].sigmoid()[negative].square().sum()
    classes = F.cross_entropy(found[:, 5:], labels, reduction="none")
    overlaps = F.smooth_l1_loss(reached, torch.ones_like(reached), reduction="none")
    return ((weight * (place + scale) + confident + classes + overlaps).sum() + idle) / len(targets)


def _iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU of pairs of boxes, shapes (G, 4) to (G,); torchvision's box_iou compares every box with every other."""
    low, high = torch.maximum(first[:, :2], second[:, :2]), torch.minimum(first[:, 2:], second[:, 2:])
    common = (high - low).clamp(min=0).prod(1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (first, second)]
    return common / (areas[0] + areas[1] - common).clamp(min=1e-9)
