"""Random changes to training images, reproducible sample by sample.

Every sample draws from a generator seeded by (seed, epoch, index): what it looks like does not depend on the batch
size, on the number of loader processes, or on whether the run was interrupted before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from torchvision import tv_tensors
from torchvision.transforms import v2

from adapters.augment_points import AlongAxes, Upright
from adapters.event_augment import EventAugment
from tasks.detection.boxes import Boxes

Key = tuple[int, int]
"""Epoch and index of a sample."""
Transform = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""Of a sample's image, uint8 of shape (C, H, W), and its target."""
GREY = 128


class Cutout(nn.Module):
    """Blackens a square around a random pixel, clipped at the border (DeVries, Taylor, arXiv:1708.04552).

    torchvision's RandomErasing is close, but keeps its square inside the image and so always erases its full area.

    Args:
        length: side of the square in pixels.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.reach = length // 2

    def forward(self, image: Tensor) -> Tensor:
        """An image of shape (C, H, W) to a changed copy."""
        y, x = (int(torch.randint(size, ())) for size in image.shape[-2:])
        image = image.clone()
        image[..., max(0, y - self.reach) : y + self.reach, max(0, x - self.reach) : x + self.reach] = 0
        return image


def image_only(transform: nn.Module) -> Transform:
    """A transform of samples whose targets do not depend on how an image lies."""
    return lambda image, target: (transform(image), target)


def _cifar(shape: Sequence[int]) -> Transform:
    """The augmentation of SNN Calibration's training script, in its order; grey fills what AutoAugment moves in."""
    policy = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10, fill=[128, 128, 128])
    crop = v2.RandomCrop(shape[-2:], padding=4)
    return image_only(nn.Sequential(crop, v2.RandomHorizontalFlip(), policy, Cutout(16)))


def _shift(shape: Sequence[int]) -> Transform:
    """At most one pixel in each direction: digits may not be flipped, and on 8x8 pixels two would cut strokes off."""
    return image_only(v2.RandomCrop(shape[-2:], padding=1))


class ScaleCropFlip:
    """DeepLab's: scaled by 0.5 to 2 in steps of 0.25, cropped, and mirrored half of the time; the map alike.

    Padding at the right and lower edges, where the map is 255 throughout, is taken off first; what a crop lacks is
    padded again.

    Args:
        size: height and width of the crop.
    """

    SCALES = tuple(0.25 * step for step in range(2, 9))
    GREY, UNKNOWN = (124, 116, 104), 255

    def __init__(self, size: Sequence[int]) -> None:
        fill = {tv_tensors.Image: list(self.GREY), tv_tensors.Mask: self.UNKNOWN}
        self.crop = v2.RandomCrop(size, pad_if_needed=True, fill=fill)
        self.flip = v2.RandomHorizontalFlip()

    def __call__(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """An image, uint8 of shape (3, H, W), and its map, uint8 of shape (H, W)."""
        known = target != self.UNKNOWN
        rows, columns = (int(known.any(axis).nonzero().max()) + 1 if known.any() else None for axis in (1, 0))
        image, target = image[:, :rows, :columns], target[:rows, :columns]
        scale = self.SCALES[int(torch.randint(len(self.SCALES), ()))]
        size = [round(scale * side) for side in target.shape]
        pair = (tv_tensors.Image(image), tv_tensors.Mask(target))
        scaled = v2.functional.resize(pair[0], size), v2.functional.resize(pair[1], size)
        image, target = self.flip(*self.crop(*scaled))
        return image.as_subclass(Tensor), target.as_subclass(Tensor)


class BoxTransform:
    """A transform of torchvision v2 that moves boxes along with the image.

    What it returns is a sample of another image: the boxes are in pixels of the transformed one.

    Args:
        transform: of an image and a dictionary of boxes, labels and flags.
        size: height and width of the image that comes out.
    """

    def __init__(self, transform: nn.Module, size: tuple[int, int]) -> None:
        drop = v2.SanitizeBoundingBoxes(
            min_size=2, labels_getter=lambda sample: (sample[1]["labels"], sample[1]["ignored"])
        )
        self.transform = v2.Compose([transform, v2.Resize(size), v2.ClampBoundingBoxes(), drop])
        self.size = size

    def __call__(self, image: Tensor, target: Boxes) -> tuple[Tensor, Boxes]:
        height, width = image.shape[-2:]
        pixels = target.fractions * torch.tensor([width, height, width, height])
        boxes = tv_tensors.BoundingBoxes(pixels, format="XYXY", canvas_size=(height, width))
        parts = {"boxes": boxes, "labels": target.labels, "ignored": target.ignored}
        changed, parts = self.transform(tv_tensors.Image(image), parts)
        found = parts["boxes"].as_subclass(Tensor)
        return changed.as_subclass(Tensor), Boxes(found, parts["labels"], parts["ignored"], self.size, target.image)


def _boxed(shape: Sequence[int], *more: nn.Module) -> Transform:
    """Colours, zooming out, a crop that keeps the centres of its boxes, mirroring: as SSD augments, without hue."""
    colours = v2.ColorJitter(0.3, 0.3, 0.3)
    zoom = v2.RandomZoomOut(fill=GREY, side_range=(1.0, 1.5), p=0.25)
    crop = v2.RandomIoUCrop(min_scale=0.4, sampler_options=[0.0, 0.0, 1.0])
    return BoxTransform(v2.Compose([colours, zoom, crop, v2.RandomHorizontalFlip(), *more]), (shape[-2], shape[-1]))


AUGMENTATIONS: dict[str, Callable[[Sequence[int]], Transform]] = {
    "cifar": _cifar,
    "shift": _shift,
    "scale_crop": lambda shape: ScaleCropFlip(shape[-2:]),
    "scale_crop_half": lambda shape: ScaleCropFlip([side // 2 for side in shape[-2:]]),
    "detection": _boxed,
    "detection_any_way_up": lambda shape: _boxed(shape, v2.RandomVerticalFlip()),
    "points": lambda shape: Upright(),
    "points_along_axes": lambda shape: AlongAxes(),
    "events": lambda shape: image_only(EventAugment(mirror=True)),
    "events_upright": lambda shape: image_only(EventAugment(mirror=False)),
    "none": lambda shape: image_only(nn.Identity()),
}
"""Name to a function of a task's input shape (C, H, W) that makes the transform of its samples, images being uint8;
those of events take counts of any type, and frames of them in time."""


class Augmented(Dataset[tuple[Tensor, Any]]):
    """A dataset seen through a random transform, indexed by `Key`.

    Args:
        data: samples (image, target).
        transform: draws from torch's global CPU generator, which is left as it was found.
        seed: of the training run.
    """

    def __init__(self, data: Dataset[tuple[Tensor, Any]], transform: Transform, seed: int) -> None:
        self.data = data
        self.transform = transform
        self.seed = seed

    def __getitem__(self, key: Key) -> tuple[Tensor, Any]:
        epoch, index = key
        image, target = self.data[index]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(mix(self.seed, epoch, index))
            return self.transform(image, target)


class EpochShuffle(Sampler[Key]):
    """All samples in an order drawn from (seed, epoch); set `epoch` before each pass.

    Args:
        size: number of samples.
        seed: of the training run.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Key]:
        generator = torch.Generator().manual_seed(mix(self.seed, self.epoch))
        for index in torch.randperm(self.size, generator=generator).tolist():
            yield self.epoch, index


def mix(*parts: int) -> int:
    """One 63-bit seed from several numbers; neighbouring numbers give unrelated seeds."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()) >> 1
