"""Reads one split of torchvision's ImageFolder layout, `<folder>/<class>/*.png`, strictly and into one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from conversion.errors import DataMissing, InvalidInput
from tasks.images.base import LabelledImages
from tasks.images.files import decoded


def read_image_folder(folder: Path, classes: Sequence[str], size: tuple[int, int]) -> LabelledImages:
    """All PNG images of one split, class after class and by file name within a class, as RGB.

    Args:
        folder: holds one sub-folder per class; hidden files and other file types in them are passed over.
        classes: their names; a class's position here is its label.
        size: height and width that every image must have.

    Raises:
        DataMissing: when a class folder holds no PNG.
        InvalidInput: when a file is corrupt or of another size; the message names it.
    """
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        # Sorted, because the order in which a directory lists its entries differs between file systems.
        members = sorted(path for path in (folder / name).iterdir() if _is_png(path))
        if not members:
            raise DataMissing(f"The class folder {folder / name} holds no PNG image.")
        files += members
        labels += [label] * len(members)

    # One thread: with images this small most of the time is spent under the interpreter lock, and more were slower.
    pixels = np.empty((len(files), *size, 3), dtype=np.uint8)
    for index, path in enumerate(files):
        pixels[index] = _decode(path, size)
    return LabelledImages(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels))


def _is_png(path: Path) -> bool:
    return path.suffix.lower() == ".png" and not path.name.startswith(".")


def _decode(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """One image as RGB of shape (*size, 3)."""

    def check(image: Image.Image) -> None:
        if (image.height, image.width) != size:
            raise InvalidInput(
                f"The image {path} is {image.width}x{image.height} pixels; it must be {size[1]}x{size[0]}."
            )

    return np.asarray(decoded(path, formats=("PNG",), check=check))
