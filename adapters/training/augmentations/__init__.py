"""The augmentations by the names that training recipes use."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn
from torchvision.transforms import v2

from adapters.training.augmentations.boxes import boxed, ssd
from adapters.training.augmentations.events import EventAugment, ReleasedEventAugment
from adapters.training.augmentations.images import (
    CIFAR_MEAN,
    ScaleCropFlip,
    Transform,
    cifar,
    image_only,
    imagenet,
    shift,
)
from adapters.training.augmentations.points import AlongAxes, Upright

AUGMENTATIONS: dict[str, Callable[[Sequence[int]], Transform]] = {
    "cifar": cifar,
    "cifar_mean": lambda shape: cifar(shape, CIFAR_MEAN),
    "imagenet": imagenet,
    "shift": shift,
    "scale_crop": lambda shape: ScaleCropFlip([min(side, 513) for side in shape[-2:]]),
    "scale_crop_half": lambda shape: ScaleCropFlip([side // 2 for side in shape[-2:]]),
    "detection": boxed,
    "detection_any_way_up": lambda shape: boxed(shape, v2.RandomVerticalFlip()),
    "detection_ssd": ssd,
    "detection_ssd_any_way_up": lambda shape: ssd(shape, v2.RandomVerticalFlip()),
    "points": lambda shape: Upright(),
    "points_along_axes": lambda shape: AlongAxes(),
    "events": lambda shape: image_only(EventAugment(mirror=True)),
    "events_upright": lambda shape: image_only(EventAugment(mirror=False)),
    "events_released": lambda shape: image_only(ReleasedEventAugment(mirror=True)),
    "events_released_upright": lambda shape: image_only(ReleasedEventAugment(mirror=False)),
    "none": lambda shape: image_only(nn.Identity()),
}
"""Name to a function of a task's input shape (C, H, W) that makes the transform of its samples, images being uint8;
those of events take counts of any type, and frames of them in time."""
