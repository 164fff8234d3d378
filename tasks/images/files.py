"""Image files, read strictly: an error names the file that cannot be decoded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from conversion.errors import InvalidInput

UNREADABLE = (OSError, SyntaxError, ValueError, ImportError)
"""Errors of Pillow, which depend on where the damage is; with ultralytics imported it also asks for a HEIF plugin."""
PIXELS, MOST_PIXELS = "ACB_MAX_PIXELS", 89_478_485
"""The variable that sets how many pixels an image may have, and its default: 256 MB of grey, where Pillow warns."""
Check = Callable[[Image.Image], None]


def most_pixels() -> int:
    """How many pixels an image may have.

    Raises:
        InvalidInput: the variable is set to something other than a positive number.
    """
    given = os.environ.get(PIXELS, str(MOST_PIXELS))
    if not (given.isascii() and given.isdecimal() and int(given) > 0):
        raise InvalidInput(f"{PIXELS} is '{given:.60}'; set it to a number of pixels, {MOST_PIXELS} for instance.")
    return int(given)


@contextmanager
def opened(source: Path | bytes, where: str, formats: tuple[str, ...] = ("JPEG", "PNG")) -> Iterator[Image.Image]:
    """An image whose header is read and whose pixels are not; errors of the block are named as of this image.

    Args:
        source: the file, or its content.
        where: the image for messages: "image a/b.png".

    Raises:
        InvalidInput: the file is missing, damaged, of another format, or larger than `most_pixels`.
    """
    most = most_pixels()
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, most)  # Pillow's own limit is no lower than the user's.
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=formats) as image:
            if image.width * image.height > most:
                raise InvalidInput(_too_large(where, f"{image.width}x{image.height} pixels"))
            yield image
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no {where}; add it or unpack the dataset again.") from error
    except Image.DecompressionBombError as error:  # Twice the limit, or more.
        raise InvalidInput(_too_large(where, "twice as large as the limit or more")) from error
    except UNREADABLE as error:
        raise InvalidInput(f"The {where} is not a readable {' or '.join(formats)} file; replace it.") from error


def _too_large(where: str, size: str) -> str:
    return (
        f"The {where} is {size}, and {most_pixels():,} pixels are the most that are read; make it smaller, or set "
        f"{PIXELS} to more."
    )


def decoded(
    path: Path, mode: str | None = "RGB", formats: tuple[str, ...] = ("JPEG", "PNG"), check: Check | None = None
) -> Image.Image:
    """An image in memory.

    Args:
        path: the file.
        mode: Pillow's mode that the image is converted to; None leaves it as it is.
        formats: formats that the file may have.
        check: is given the image before its pixels are decoded, to raise InvalidInput if its size is wrong.

    Raises:
        InvalidInput: the file is missing, damaged, of another format, too large, or its pixels are of an unknown range.
    """
    with opened(path, f"image {path}", formats) as image:
        if check is not None:
            check(image)
        return converted(image, mode, str(path)) if mode else image.copy()


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


def stored_values(path: Path, check: Check | None = None) -> NDArray[np.uint8]:
    """The numbers that a PNG of one number a pixel stores, grey or palette's index, shape (H, W).

    Pillow spreads grey of 1, 2 and 4 bits over 0 to 255, which is undone here.

    Args:
        check: as in `decoded`.

    Raises:
        InvalidInput: as `decoded`; or it is a JPEG, or has colours or 16 bits.
    """
    try:
        with path.open("rb") as file:
            head = file.read(26)
    except OSError:
        head = b""  # `decoded` says what is wrong.
    if head.startswith(b"\xff\xd8"):
        raise InvalidInput(f"The map {path} is a JPEG, which changes classes to neighbouring ones; give a PNG.")
    image = decoded(path, mode=None, formats=("PNG",), check=check)
    values = np.array(image)
    if head[12:16] != b"IHDR" or values.ndim != 2 or image.mode not in ("1", "L", "P"):
        raise InvalidInput(
            f"The map {path} is no image of one byte a pixel (it has shape {values.shape} of {values.dtype}); "
            "give class indices, not colours."
        )
    spread = {2: 85, 4: 17}.get(head[24], 1) if image.mode == "L" else 1
    return values.astype(np.uint8) // np.uint8(spread)
