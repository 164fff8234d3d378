"""Segmentation from files: an image and a map of classes beside it, read one sample at a time, strictly."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from conversion.errors import InvalidInput
from tasks.disk import skipped, skipping
from tasks.segmentation.base import IGNORE, padded

Pair = tuple[Path, Path]
"""The files of an image and of its map."""
FORMATS = ("JPEG", "PNG")


class ImageMaskPairs(Dataset[tuple[Tensor, Tensor]]):
    """Samples (image, map) of one size from pairs of files.

    Args:
        pairs: the files, in the order of the samples.
        shape: (3, height, width) of every sample; what is smaller is padded.
        colour: of an image's padding.
        classes: how many there are; a map's other values but 255 are refused.
        read: of a map's file, uint8 of shape (H, W).

    Raises:
        InvalidInput: on reading a sample that is corrupt, of another size or out of range; the message names the file.
    """

    def __init__(
        self, pairs: Sequence[Pair], shape: tuple[int, ...], colour: tuple[int, ...], classes: int,
        read: Callable[[Path], Tensor],
    ) -> None:  # fmt: skip
        self.pairs = pairs
        self.shape = shape
        self.colour = colour
        self.classes = classes
        self.read = read

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image_path, mask_path = self.pairs[index]
        image, mask = read_image(image_path), self.read(mask_path)
        require_fit(mask, mask_path, image, image_path)
        require_classes(mask, self.classes, f"The map {mask_path}")
        require_room(image, image_path, self.shape)
        return padded(image, mask, self.shape, self.colour)


def read_image(path: Path) -> Tensor:
    """A photograph as RGB, uint8 of shape (3, H, W)."""
    return torch.from_numpy(_decode(path, "RGB")).permute(2, 0, 1).contiguous()


def read_map(path: Path, renamed: Mapping[int, int] | None = None) -> Tensor:
    """A map of class indices, uint8 of shape (H, W), from an image of one byte a pixel: grey, or with a palette.

    Args:
        renamed: values in the file that stand for others, void for 255.
    """
    values = _decode(path, None)
    if values.ndim != 2 or values.dtype != np.uint8:
        raise InvalidInput(
            f"The map {path} is no image of one byte a pixel (it has shape {values.shape} of {values.dtype}); "
            "give class indices, not colours."
        )
    table = np.arange(256, dtype=np.uint8)
    for found, meant in (renamed or {}).items():
        table[found] = meant
    return torch.from_numpy(table[values])


def require_fit(mask: Tensor, mask_path: Path | str, image: Tensor, image_path: Path) -> None:
    """Raises InvalidInput unless a map is as large as its image."""
    if mask.shape != image.shape[1:]:
        (height, width), (rows, columns) = mask.shape, image.shape[1:]
        raise InvalidInput(
            f"The map {mask_path} is {width}x{height} pixels, its image {image_path} {columns}x{rows}; "
            f"they must be of one size. {skipping(image_path)}"
        )


def require_classes(mask: Tensor, classes: int, what: str) -> None:
    """Raises InvalidInput if a map holds an index that is no class and not 255."""
    known = mask[mask != IGNORE]
    if known.numel() and int(known.max()) >= classes:
        raise InvalidInput(
            f"{what} holds class {int(known.max())}; there are {classes}, counted from 0, and {IGNORE} marks pixels "
            "that do not count."
        )


def require_room(image: Tensor, path: Path, shape: tuple[int, ...]) -> None:
    """Raises InvalidInput if an image is larger than the canvas that samples are padded to."""
    if image.shape[1] > shape[1] or image.shape[2] > shape[2]:
        raise InvalidInput(
            f"The image {path} is {image.shape[2]}x{image.shape[1]} pixels; this task takes at most "
            f"{shape[2]}x{shape[1]}. Is it a file of the dataset?"
        )


def kept(pairs: Sequence[Pair], folder: Path) -> list[Pair]:
    """The pairs that the list in a dataset's folder does not leave out."""
    left_out = skipped(folder)
    return [pair for pair in pairs if pair[0].stem not in left_out]


def absent(paths: Iterable[Path]) -> Path | None:
    """The first of the files that is not there. Every folder is listed once, which is quicker than asking for each."""
    listed: dict[Path, set[str]] = {}
    for path in paths:
        folder = path.parent
        if folder not in listed:
            listed[folder] = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
        if path.name not in listed[folder]:
            return path
    return None


def digest_of(paths: Iterable[Path], root: Path) -> str:
    """SHA-256, hexadecimal, over names and contents of files."""
    state = hashlib.sha256()
    for path in paths:
        state.update(path.relative_to(root).as_posix().encode())
        state.update(hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()


def _decode(path: Path, mode: str | None) -> np.ndarray:
    try:
        with Image.open(path, formats=FORMATS) as image:
            return np.array(image.convert(mode) if mode else image)
    except FileNotFoundError as error:
        raise InvalidInput(f"The file {path} is not there; unpack the dataset again. {skipping(path)}") from error
    # What Pillow raises depends on where the damage is; ultralytics, once imported, makes it ask for a HEIF plugin.
    except (OSError, SyntaxError, ValueError, ImportError) as error:
        raise InvalidInput(
            f"The image {path} is not a readable JPEG or PNG file; replace it. {skipping(path)}"
        ) from error
