"""Reads one split of torchvision's ImageFolder layout, `<folder>/<class>/*.png`, strictly and quickly."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_png, read_file

from conversion.errors import DataMissing, InvalidInput
from tasks.images import LabelledImages

# Decoding releases the interpreter lock, but reading thousands of small files does not: more threads gain nothing.
THREADS = 4


def folder_gap(folder: Path, classes: Sequence[str]) -> str | None:
    """Why `folder` is not exactly one sub-folder per class, as a sentence; None when it is. Opens no file."""
    if not folder.is_dir():
        return f"There is no folder {folder}."
    present = {entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    for name in sorted(present - set(classes)):
        near = get_close_matches(name, classes, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"the classes are {', '.join(classes)}."
        return f"The folder {folder / name} is not named after a class; {hint}"
    for name in classes:
        if name not in present:
            return f"The class folder {folder / name} is not there."
    return None


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

    images = torch.empty(len(files), 3, *size, dtype=torch.uint8)

    def place(index: int) -> None:
        images[index] = _decode(files[index], size)

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(place, range(len(files)), chunksize=64):
            pass  # Draining the results raises the first error.
    return LabelledImages(images, torch.tensor(labels))


def _is_png(path: Path) -> bool:
    return path.suffix.lower() == ".png" and not path.name.startswith(".")


def _decode(path: Path, size: tuple[int, int]) -> Tensor:
    """One image as uint8 RGB of shape (3, *size)."""
    try:
        image: Tensor = decode_png(read_file(str(path)), mode=ImageReadMode.RGB)
    except (RuntimeError, ValueError) as error:
        raise InvalidInput(f"The image {path} is not a readable PNG file; replace it.") from error
    if image.dtype != torch.uint8 or image.shape[1:] != size:
        height, width = image.shape[1:]
        depth = 8 * image.element_size()
        raise InvalidInput(
            f"The image {path} is {width}x{height} pixels of {depth} bits; it must be {size[1]}x{size[0]} of 8 bits."
        )
    return image
