"""Random changes to training clouds; they draw from torch's global generator, as all augmentations do."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

TURN = 2 * math.pi


def rotation(axis: int, angle: Tensor) -> Tensor:
    """A rotation about one axis (0 x, 1 y, 2 z) by an angle in radians, shape (3, 3)."""
    cos, sin = float(angle.cos()), float(angle.sin())
    matrix = torch.eye(3)
    one, other = (axis + 1) % 3, (axis + 2) % 3
    matrix[one, one], matrix[one, other], matrix[other, one], matrix[other, other] = cos, -sin, sin, cos
    return matrix


class Upright:
    """The released code's augmentation: turns clouds about y, which points up, by any angle, and adds noise.

    Args:
        noise: standard deviation, in radii of the shape.
    """

    def __init__(self, noise: float = 0.02) -> None:
        self.noise = noise

    def __call__(self, cloud: Tensor, target: Any) -> tuple[Tensor, Any]:
        """A cloud of shape (3, P) or with further channels, which stay as they are; the target stays, too."""
        return _moved(cloud, self.turn(), self.noise), target

    def turn(self) -> Tensor:
        return rotation(1, TURN * torch.rand(()))


class AlongAxes(Upright):
    """For shapes that lie along their principal axes: turns them by small angles, scales each axis, and adds noise.

    Some points are replaced by copies of others, as if fewer had been drawn (Qi et al., "PointNet++", 2017).

    Args:
        noise: standard deviation, in radii of the shape.
        turned: standard deviation of the small turn about each axis, in radians.
        scaled: largest change of the size along each axis.
        dropped: largest share of points that are replaced.
    """

    def __init__(self, noise: float = 0.01, turned: float = 0.15, scaled: float = 0.15, dropped: float = 0.75) -> None:
        super().__init__(noise)
        self.turned = turned
        self.scaled = scaled
        self.dropped = dropped

    def __call__(self, cloud: Tensor, target: Any) -> tuple[Tensor, Any]:
        """A cloud of shape (3, P), whose target is a class."""
        count = cloud.shape[1]
        order = torch.randperm(count)
        kept = order[: max(1, round(count * (1 - self.dropped * float(torch.rand(())))))]
        order[len(kept) :] = kept[torch.randint(len(kept), (count - len(kept),))]
        return super().__call__(cloud[:, order], target)

    def turn(self) -> Tensor:
        matrix = torch.diag(1 + self.scaled * (2 * torch.rand(3) - 1))
        for axis in range(3):
            matrix = rotation(axis, self.turned * torch.randn(())) @ matrix
        return matrix


def _moved(cloud: Tensor, matrix: Tensor, noise: float) -> Tensor:
    points = matrix @ cloud[:3] + noise * torch.randn(3, cloud.shape[1])
    return torch.cat([points, cloud[3:]])
