"""Image files, read strictly: an error names the file that cannot be decoded."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from conversion.errors import InvalidInput

UNREADABLE = (OSError, SyntaxError, ValueError, ImportError)
"""Errors of Pillow, which depend on where the damage is; with ultralytics imported it also asks for a HEIF plugin."""


def decoded(path: Path, mode: str | None = "RGB", formats: tuple[str, ...] = ("JPEG", "PNG")) -> Image.Image:
    """An image in memory.

    Args:
        path: the file.
        mode: Pillow's mode that the image is converted to; None leaves it as it is.
        formats: formats that the file may have.

    Raises:
        InvalidInput: the file is missing, damaged or of another format.
    """
    try:
        with Image.open(path, formats=formats) as image:
            return image.convert(mode) if mode else image.copy()
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no image {path}; add it or unpack the dataset again.") from error
    except UNREADABLE as error:
        raise InvalidInput(f"The image {path} is not a readable {' or '.join(formats)} file; replace it.") from error
