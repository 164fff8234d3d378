"""Segmentation from files: an image and a map of classes beside it, read one sample at a time, strictly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks.disk import SKIPPED, SPLITS, DiskTask, file_hash, first_missing
from tasks.images.files import Check, decoded, stored_values
from tasks.segmentation.base import IGNORE, Segmentation, padded


class Masked(NamedTuple):
    """The files of an image and of its map."""

    image: Path
    mask: Path


class MaskedImages(Segmentation, DiskTask[Masked]):
    """Segmentation of images with a map beside each. Subclasses set the class attributes and implement `listing`."""

    renamed: ClassVar[Mapping[int, int]] = {}
    """Classes of values in the maps that are no classes themselves, as 255 for void."""

    def read(self, sample: Masked) -> tuple[Tensor, Tensor]:
        image = read_image(sample.image, self.input_shape)
        mask = self.read_mask(sample.mask)
        require_fit(mask.shape, sample.mask, image, sample.image)
        require_classes(mask, len(self.classes), f"The map {sample.mask}")
        return padded(image, mask, self.input_shape, self.padding)

    def read_mask(self, path: Path) -> Tensor:
        """A map, uint8 of shape (H, W)."""
        return read_map(path, self.renamed, self.input_shape)

    def gap(self) -> str | None:
        try:
            splits = self.split_listing()
        except DataMissing as error:
            return str(error)
        path = first_missing(path for samples in splits.values() for sample in samples for path in sample)
        return None if path is None else f"The file {path} is not there."

    def key(self, sample: Masked) -> str:
        return sample.image.stem

    def source(self, sample: Masked) -> Path:
        return sample.image

    def skip_list(self, sample: Masked) -> Path:
        return sample.image.parent.parent / SKIPPED

    def content(self, sample: Masked) -> bytes:
        assert self.data_root is not None  # `missing` says so before.
        return b"".join(path.relative_to(self.data_root).as_posix().encode() + file_hash(path) for path in sample)

    @cached_property
    def _digest(self) -> str:
        """SHA-256, hexadecimal, over names and contents alone, as in published records."""
        samples = (sample for name in SPLITS for sample in self._splits[name])
        return hashlib.sha256(b"".join(map(self.content, samples))).hexdigest()


def read_image(path: Path, shape: tuple[int, ...]) -> Tensor:
    """A photograph as RGB, uint8 of shape (3, H, W).

    Raises:
        InvalidInput: it cannot be decoded, or is larger than the canvas of a shape (3, height, width).
    """
    image = decoded(path, check=room(path, shape))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def read_map(path: Path, renamed: Mapping[int, int] | None = None, shape: tuple[int, ...] | None = None) -> Tensor:
    """A map of class indices, uint8 of shape (H, W), from a PNG of one number a pixel: grey, or with a palette.

    Args:
        renamed: classes of values in the file that are no classes themselves, as 255 for void.
        shape: of the canvas, (3, height, width), if it may not be larger.
    """
    values = stored_values(path, None if shape is None else room(path, shape))
    table = np.arange(256, dtype=np.uint8)
    for found, meant in (renamed or {}).items():
        table[found] = meant
    return torch.from_numpy(table[values])


def require_fit(size: Sequence[int], mask_path: Path | str, image: Tensor, image_path: Path) -> None:
    """Raises InvalidInput unless a map, of a height and width, is as large as its image."""
    (height, width), (rows, columns) = size, image.shape[1:]
    if (height, width) != (rows, columns):
        raise InvalidInput(
            f"The map {mask_path} is {width}x{height} pixels, its image {image_path} {columns}x{rows}; "
            "they must be of one size."
        )


def require_classes(mask: Tensor, classes: int, what: str) -> None:
    """Raises InvalidInput if a map holds an index that is no class and not 255."""
    known = mask[mask != IGNORE]
    if known.numel() and int(known.max()) >= classes:
        raise InvalidInput(
            f"{what} holds class {int(known.max())}; there are {classes}, counted from 0, and {IGNORE} marks pixels "
            "that do not count."
        )


def room(path: Path, shape: tuple[int, ...]) -> Check:
    """Raises InvalidInput, of an image whose pixels are not yet decoded, if it is larger than a canvas."""

    def check(image: Image.Image) -> None:
        if image.height > shape[1] or image.width > shape[2]:
            raise InvalidInput(
                f"The image {path} is {image.width}x{image.height} pixels; this task takes at most "
                f"{shape[2]}x{shape[1]}. Is it a file of the dataset?"
            )

    return check
