"""Random changes to encoded recordings of events.

They follow NDA (Li et al., "Neuromorphic Data Augmentation", ECCV 2022) and EventDrop (Gu et al., IJCAI 2021).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F


class EventAugment(nn.Module):
    """Mirrors half of the recordings, changes each in one way of five, and drops events of half of them.

    The five ways: none, a roll by up to a tenth of the sides, a rotation by up to 30 degrees, a shear by up to 0.3, an
    empty rectangle of up to 11 % of the area. Pixels are moved and never blended, so that counts stay integers.

    Args:
        mirror: whether recordings may be mirrored.
    """

    ROLL, ANGLE, SHEAR, AREA = 0.1, 30.0, 17.0, 0.11

    def __init__(self, mirror: bool) -> None:
        super().__init__()
        self.mirror = mirror

    def forward(self, events: Tensor) -> Tensor:
        """An encoded recording, shape (..., H, W), to a changed copy of its type."""
        if self.mirror and _coin():
            events = events.flip(-1)
        way = int(torch.randint(5, ()))
        if way == 1:
            rows, columns = (round(_between(-self.ROLL, self.ROLL) * side) for side in events.shape[-2:])
            events = events.roll((rows, columns), (-2, -1))
        elif way == 2:
            events = _moved(events, angle=_between(-self.ANGLE, self.ANGLE), shear=0.0)
        elif way == 3:
            events = _moved(events, angle=0.0, shear=_between(-self.SHEAR, self.SHEAR))
        elif way == 4:
            events = _cut(events, self.AREA)
        return drop_events(events) if _coin() else events


class ReleasedEventAugment(nn.Module):
    """What the paper's released code does to its voxel grids (its SNNAugmentWide), and dropped events for half of them.

    Half are mirrored; then each is changed in one way of six: none, a horizontal shear by up to 0.3, a shift by up to 5
    of 224 pixels along x, or along y, a rotation by up to 30 degrees, an empty square of 0.1 to 11 % of the area. What
    comes in from outside is empty. The code also changes half of the recordings in one of 18 ways before they are
    encoded, by a module that it does not contain; dropped events stand for it here.

    Args:
        mirror: whether recordings may be mirrored.
    """

    SIDE, SHIFT, ANGLE, SHEAR, AREAS = 224, 5, 30.0, math.degrees(0.3), (0.001, 0.11)

    def __init__(self, mirror: bool) -> None:
        super().__init__()
        self.mirror = mirror

    def forward(self, events: Tensor) -> Tensor:
        """An encoded recording, shape (..., H, W), to a changed copy of its type."""
        if _coin():
            events = drop_events(events)
        if self.mirror and _coin():
            events = events.flip(-1)
        way = int(torch.randint(6, ()))
        # A shift of whole pixels of this camera, whose longer side becomes 224.
        reach = self.SHIFT * max(events.shape[-2:]) / self.SIDE
        if way == 1:
            return _moved(events, angle=0.0, shear=_between(-self.SHEAR, self.SHEAR))
        if way in (2, 3):
            shift = round(_between(-reach, reach))
            return _moved(events, angle=0.0, shear=0.0, shift=(shift, 0) if way == 2 else (0, shift))
        if way == 4:
            return _moved(events, angle=_between(-self.ANGLE, self.ANGLE), shear=0.0)
        if way == 5:
            side = (_between(*self.AREAS) * events.shape[-2] * events.shape[-1]) ** 0.5
            return _emptied(events, min(round(side), events.shape[-2]), min(round(side), events.shape[-1]))
        return events


def drop_events(events: Tensor) -> Tensor:
    """Drops events at random, each with a probability of up to a half, or all of a part of the time."""
    if _coin():
        kept = 1 - _between(0.0, 0.5)
        if events.is_floating_point():
            return events * (torch.rand(events.shape) < kept)
        # The number of events of a cell that are kept.
        return torch.binomial(events.float(), torch.full(events.shape, kept)).to(events.dtype)
    steps = len(events)
    length = int(torch.randint(1, max(2, steps // 4 + 1), ()))
    first = int(torch.randint(steps - length + 1, ()))
    events = events.clone()
    events[first : first + length] = 0
    return events


def _moved(events: Tensor, angle: float, shear: float, shift: tuple[int, int] = (0, 0)) -> Tensor:
    """Turned and sheared by angles in degrees, and shifted by pixels to the right and down."""
    moved: Tensor = F.affine(
        events, angle, list(shift), 1.0, [shear, 0.0], interpolation=InterpolationMode.NEAREST, fill=None
    )
    return moved


def _cut(events: Tensor, area: float) -> Tensor:
    """Empties a rectangle of up to this part of the area."""
    height, width = events.shape[-2:]
    rows, columns = (round(side * (_between(0.0, 1.0) * area) ** 0.5) for side in (height, width))
    return _emptied(events, rows, columns)


def _emptied(events: Tensor, rows: int, columns: int) -> Tensor:
    """Empties a rectangle of so many rows and columns, anywhere."""
    height, width = events.shape[-2:]
    top, left = (int(torch.randint(side - size + 1, ())) for side, size in ((height, rows), (width, columns)))
    events = events.clone()
    events[..., top : top + rows, left : left + columns] = 0
    return events


def _coin() -> bool:
    return bool(torch.rand(()) < 0.5)


def _between(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))
