"""Images of other libraries as tasks: torchvision's datasets and folders of classes (docs/bridges.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
import torchvision.transforms.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode

from conversion.errors import DataMissing, InvalidInput
from tasks.base import Split
from tasks.disk import DiskTask, file_hash, folder_gap
from tasks.images.base import ImageClassification
from tasks.images.files import converted, decoded
from tasks.library import Item, LibraryTask

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

SUFFIXES = (".jpg", ".jpeg", ".png")


class SizedImages(ImageClassification):
    """Images of any size, brought to one: the shorter side is resized, the centre is cut out.

    With `weights`, sizes, interpolation and statistics are those of their transforms, and a network's inputs are equal
    to the last bit to those of torchvision's own transforms. Without, images are as small as `input_shape` allows.
    """

    weights: ClassVar[WeightsEnum | None] = None
    """Weights of torchvision, which bring the transforms that their network was trained with."""
    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]
    """Mean and standard deviation of pixels / 255, per channel."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.weights is not None:
            transforms = cls.weights.transforms()
            cls.input_shape = (3, *(2 * transforms.crop_size)[:2])
            cls.mean, cls.std = tuple(transforms.mean), tuple(transforms.std)

    def __init__(self, data_root: Path | None = None) -> None:
        super().__init__(data_root)
        shape = getattr(self, "input_shape", None)
        if not isinstance(shape, tuple) or len(shape) != 3 or shape[0] not in (1, 3) or min(shape[1:]) < 1:
            raise InvalidInput(
                f"The input_shape of task {self.name} is {shape}; set it to (3, height, width), or (1, height, width) "
                "for grey images, or set weights."
            )

    def sized(self, image: Image.Image) -> Tensor:
        """An image resized and cropped for the task, uint8 of shape `input_shape`.

        Raises:
            InvalidInput: its pixels are of an unknown range.
        """
        channels, height, width = self.input_shape
        image = converted(image, "RGB" if channels == 3 else "L", f"an image of task {self.name}")
        if self.weights is not None:
            chosen = self.weights.transforms()
            image = F.resize(image, chosen.resize_size, interpolation=chosen.interpolation, antialias=chosen.antialias)
        elif (image.height, image.width) != (height, width):
            scale = max(height / image.height, width / image.width)
            size = [max(height, round(scale * image.height)), max(width, round(scale * image.width))]
            image = F.resize(image, size, interpolation=InterpolationMode.BILINEAR)
        pixels: Tensor = F.pil_to_tensor(F.center_crop(image, [height, width]))
        return pixels


class TorchvisionTask(LibraryTask, SizedImages):
    """Any dataset of torchvision that gives an image of Pillow and a class.

    Subclasses set `dataset`, `classes`, and `weights` or `input_shape`; `splits` if the dataset names its splits in a
    way of its own, `options` for what else it takes.
    """

    def read(self, sample: Item) -> tuple[Tensor, Tensor]:
        image, label = self.pair(sample)
        if not isinstance(image, Image.Image):
            raise InvalidInput(
                f"The dataset of task {self.name} gives {type(image).__name__} where an image of Pillow belongs; leave "
                "its transform out."
            )
        return self.sized(image), torch.tensor(label)


@dataclass(frozen=True)
class ClassFile:
    """An image on disk and its class."""

    path: Path
    label: int


class ImageFolderTask(SizedImages, DiskTask[ClassFile]):
    """JPEG and PNG images in torchvision's ImageFolder layout, `<folder>/<part>/<class>/*`.

    Subclasses set `folders`, `classes`, and `weights` or `input_shape`; `parts` and `class_folders` if they are called
    otherwise.
    """

    parts: ClassVar[Mapping[Split, str]] = {"train": "train", "test": "test"}
    """The folder of each split; a missing "test" or "validation" is split off the training images."""
    class_folders: ClassVar[Sequence[str]] = ()
    """The folder of each class; empty where folders are named after the classes."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "layout" not in vars(cls):
            cls.layout = f"{cls.folders[0]}/{{{','.join(cls.parts.values())}}}/<class>/*.jpg or *.png."

    def gap(self) -> str | None:
        if self.class_folders and len(self.class_folders) != len(self.classes):
            raise InvalidInput(
                f"Task {self.name} has {len(self.classes)} classes and {len(self.class_folders)} class_folders; name "
                "the folder of every class, in the order of the classes."
            )
        gaps = (folder_gap(self.root / part, self.class_folders or self.classes) for part in self.parts.values())
        return next((gap for gap in gaps if gap is not None), None) or super().gap()

    def listing(self) -> dict[Split, list[ClassFile]]:
        return {split: self._files(self.root / part) for split, part in self.parts.items()}

    def read(self, sample: ClassFile) -> tuple[Tensor, Tensor]:
        return self.sized(decoded(sample.path, mode=None)), torch.tensor(sample.label)

    def label(self, sample: ClassFile) -> int:
        return sample.label

    def key(self, sample: ClassFile) -> str:
        return sample.path.relative_to(self.root).with_suffix("").as_posix()

    def source(self, sample: ClassFile) -> Path:
        return sample.path

    def content(self, sample: ClassFile) -> bytes:
        return f"{self.key(sample)} {sample.label} ".encode() + file_hash(sample.path)

    def _files(self, part: Path) -> list[ClassFile]:
        found = []
        for label, name in enumerate(self.class_folders or self.classes):
            # As torchvision: by name, in folders below, too.
            paths = [path for path in sorted((part / name).rglob("*")) if path.suffix.lower() in SUFFIXES]
            paths = [path for path in paths if not path.name.startswith(".")]
            if not paths:
                raise DataMissing(f"The class folder {part / name} holds no JPEG or PNG image.")
            found += [ClassFile(path, label) for path in paths]
        return found
