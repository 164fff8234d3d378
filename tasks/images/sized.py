"""Photographs of any size, brought to the size of the networks that see them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import torchvision.transforms.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode

from conversion.errors import InvalidInput
from tasks.images.base import ImageClassification
from tasks.images.files import converted
from tasks.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum


class SizedImages(ImageClassification):
    """Images of any size, brought to one: the shorter side is resized, the centre is cut out.

    With `weights` or `preprocessing`, sizes, interpolation and statistics are theirs, and a network's inputs are equal
    to the last bit to those of torchvision's own transforms. Without, images are as small as `input_shape` allows. A
    network that brings a preprocessing of its own sees the task through it (`seen_through`).
    """

    weights: ClassVar[WeightsEnum | None] = None
    """Weights of torchvision, which bring the transforms that their network was trained with."""
    preprocessing: ClassVar[Preprocessing | None] = None
    """Sizes, interpolation and statistics in place of `input_shape`, `mean` and `std`; those of `weights` if given."""
    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]
    """Mean and standard deviation of pixels / 255, per channel."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.weights is not None:
            cls.preprocessing = Preprocessing.of(cls.weights)
        if cls.preprocessing is not None:
            cls.input_shape = (3, cls.preprocessing.crop, cls.preprocessing.crop)
            cls.mean, cls.std = cls.preprocessing.mean, cls.preprocessing.std

    def __init__(self, data_root: Path | None = None) -> None:
        super().__init__(data_root)
        shape = getattr(self, "input_shape", None)
        if not isinstance(shape, tuple) or len(shape) != 3 or shape[0] not in (1, 3) or min(shape[1:]) < 1:
            raise InvalidInput(
                f"The input_shape of task {self.name} is {shape}; set it to (3, height, width), or (1, height, width) "
                "for grey images, or set weights."
            )

    def seen_through(self, preprocessing: Preprocessing) -> Self:
        """The same data, read for networks with this preprocessing; the digest is another one."""
        view = type(self)(self.data_root)
        # Of the instance alone: other networks see the same task otherwise.
        vars(view).update(
            preprocessing=preprocessing, input_shape=(3, preprocessing.crop, preprocessing.crop),
            mean=preprocessing.mean, std=preprocessing.std,
        )  # fmt: skip
        return view

    def provenance(self) -> dict[str, str]:
        return {} if self.preprocessing is None else {"preprocessing": str(self.preprocessing)}

    def sized(self, image: Image.Image) -> Tensor:
        """An image resized and cropped for the task, uint8 of shape `input_shape`.

        Raises:
            InvalidInput: its pixels are of an unknown range.
        """
        channels, height, width = self.input_shape
        image = converted(image, "RGB" if channels == 3 else "L", f"an image of task {self.name}")
        if self.preprocessing is not None:
            return self.preprocessing.apply(image)
        if (image.height, image.width) != (height, width):
            scale = max(height / image.height, width / image.width)
            size = [max(height, round(scale * image.height)), max(width, round(scale * image.width))]
            image = F.resize(image, size, interpolation=InterpolationMode.BILINEAR)
        pixels: Tensor = F.pil_to_tensor(F.center_crop(image, [height, width]))
        return pixels
