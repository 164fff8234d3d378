"""Random changes of images, and of their maps of classes: CIFAR's, the digits', DeepLab's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

Transform = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""A function of a sample's image, uint8 of shape (C, H, W), and its target that returns both changed."""


CIFAR_MEAN = (125, 123, 114)


class Cutout(nn.Module):
    """Fills a square around a random pixel, clipped at the border (DeVries, Taylor, arXiv:1708.04552).

    torchvision's RandomErasing is close, but keeps its square inside the image and so always erases its full area.

    Args:
        length: side of the square, in pixels.
        fill: its colour, a value for each channel; black when left out.
    """

    def __init__(self, length: int, fill: Sequence[int] = (0,)) -> None:
        super().__init__()
        self.reach = length // 2
        self.fill = torch.tensor(fill, dtype=torch.uint8)[:, None, None]

    def forward(self, image: Tensor) -> Tensor:
        """An image of shape (C, H, W) to a changed copy."""
        y, x = (int(torch.randint(size, ())) for size in image.shape[-2:])
        image = image.clone()
        image[..., max(0, y - self.reach) : y + self.reach, max(0, x - self.reach) : x + self.reach] = self.fill
        return image


def image_only(transform: nn.Module) -> Transform:
    """A transform of the image alone; the target stays as it is."""
    return lambda image, target: (transform(image), target)


def cifar(shape: Sequence[int], cut: Sequence[int] = (0,)) -> Transform:
    """The augmentation of SNN Calibration's training script, in its order; AutoAugment fills with grey.

    Args:
        shape: shape of the images.
        cut: colour of the square that is cut out; black, or `CIFAR_MEAN`, which is zero for the network.
    """
    policy = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10, fill=[128, 128, 128])
    crop = v2.RandomCrop(shape[-2:], padding=4)
    return image_only(nn.Sequential(crop, v2.RandomHorizontalFlip(), policy, Cutout(16, cut)))


def imagenet(shape: Sequence[int]) -> Transform:
    """The augmentation of QCFS's training script for ImageNet: crops of random size, mirrored or not, other colours."""
    crop = v2.RandomResizedCrop(shape[-2:], antialias=True)
    colours = v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1)
    return image_only(nn.Sequential(crop, v2.RandomHorizontalFlip(), colours))


def shift(shape: Sequence[int]) -> Transform:
    """Shifts by at most one pixel: digits may not be flipped, and on 8x8 pixels two would cut strokes off."""
    return image_only(v2.RandomCrop(shape[-2:], padding=1))


class ScaleCropFlip:
    """DeepLab's augmentation of image and map: scales by 0.5 to 2 in steps of 0.25, crops, and mirrors half of them.

    Padding at the right and lower edges, where the map is 255 throughout, is removed first; a crop that is larger than
    the image is padded again.

    Args:
        size: height and width of the crop, in pixels.
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
