"""Images of other libraries as tasks: torchvision's datasets and folders of classes (docs/bridges.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks.base import Split
from tasks.disk import DiskTask, file_hash, folder_gap
from tasks.images.files import decoded
from tasks.images.sized import SizedImages
from tasks.library import Item, LibraryTask

SUFFIXES = (".jpg", ".jpeg", ".png")


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
