"""The way from a photograph of any size to the pixels that a network is given, as its publisher says it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torchvision.transforms.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

Interpolation = Literal["bilinear", "bicubic"]
LARGEST_SIDE = 2**13


@dataclass(frozen=True)
class Preprocessing:
    """Resizes the shorter side, cuts out the centre; mean and deviation are for the network to apply.

    Pixels are equal to the last bit to those of the transforms of torchvision and timm, which do the same in Pillow.

    Attributes:
        resize: the shorter side of the resized photograph, in pixels.
        crop: height and width of the centre that is cut out.
        interpolation: the filter of the resizing, with antialiasing as Pillow does it.
        mean, std: of pixels / 255, for each channel.
        squash: both sides are resized to `crop`, whatever the photograph's proportions, and nothing is cut off.
    """

    resize: int
    crop: int
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    squash: bool = False

    def __post_init__(self) -> None:
        """Refuses, by a ValueError, sizes that no network takes and figures that make pixels no numbers."""
        if not (1 <= self.crop <= LARGEST_SIDE and 1 <= self.resize <= LARGEST_SIDE):
            raise ValueError(f"sides of {self.resize} and {self.crop} pixels, not from 1 to {LARGEST_SIDE}")
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise ValueError(f"a mean of {self.mean} and a deviation of {self.std}")

    @classmethod
    def of(cls, weights: WeightsEnum) -> Preprocessing:
        """The preprocessing that weights of torchvision were trained for."""
        told = weights.transforms()
        return cls(
            told.resize_size[0], told.crop_size[0], told.interpolation.value, tuple(told.mean), tuple(told.std)
        )  # fmt: skip

    def apply(self, image: Image.Image) -> Tensor:
        """A photograph in 8 bits a channel as pixels, uint8 of shape (C, crop, crop)."""
        size = [self.crop, self.crop] if self.squash else self.resize
        resized = F.resize(image, size, interpolation=InterpolationMode(self.interpolation))
        pixels: Tensor = F.pil_to_tensor(F.center_crop(resized, [self.crop, self.crop]))
        return pixels

    def __str__(self) -> str:
        mean, std = (" ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        sides = f"shorter side {self.resize} {self.interpolation}, centre {self.crop}x{self.crop}"
        if self.squash:
            sides = f"squashed to {self.crop}x{self.crop} {self.interpolation}"
        return (
            f"{sides}, "
            f"mean {mean}, standard deviation {std}"
        )  # fmt: skip
