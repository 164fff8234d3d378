"""Image files, read strictly: an error names the file that cannot be decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from conversion.errors import InvalidInput

UNREADABLE = (OSError, SyntaxError, ValueError, ImportError, Image.DecompressionBombError)
"""Errors of Pillow, which depend on where the damage is; with ultralytics imported it also asks for a HEIF plugin."""


def decoded(path: Path, mode: str | None = "RGB", formats: tuple[str, ...] = ("JPEG", "PNG")) -> Image.Image:
    """An image in memory.

    Args:
        path: the file.
        mode: Pillow's mode that the image is converted to; None leaves it as it is.
        formats: formats that the file may have.

    Raises:
        InvalidInput: the file is missing, damaged, of another format, or its pixels are of an unknown range.
    """
    try:
        with Image.open(path, formats=formats) as image:
            return converted(image, mode, str(path)) if mode else image.copy()
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no image {path}; add it or unpack the dataset again.") from error
    except Image.DecompressionBombError as error:
        raise InvalidInput(f"The image {path} is larger than Pillow reads: {error} Make it smaller.") from error
    except UNREADABLE as error:
        raise InvalidInput(f"The image {path} is not a readable {' or '.join(formats)} file; replace it.") from error


def converted(image: Image.Image, mode: str, where: str) -> Image.Image:
    """An image in another mode of eight bits a channel; grey of 16 bits is scaled, where Pillow would clip it.

    Args:
        mode: Pillow's mode, "RGB" or "L".
        where: the image for the error message.

    Raises:
        InvalidInput: its pixels are numbers of an unknown range.
    """
    # PNG has no more than 16 bits; older versions of Pillow read these as numbers of 32 bits.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        image = Image.fromarray(np.round(np.asarray(image, dtype=np.float64) / 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise InvalidInput(
            f"The pixels of {where} are of Pillow's mode {image.mode}, whose range is unknown; store them in 8 or 16 "
            "bits a channel."
        )
    return image.convert(mode)
