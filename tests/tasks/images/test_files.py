"""Image files: what is stored is what is read, and sizes are looked at before pixels."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conversion.errors import InvalidInput
from tasks.detection.base import read_image as read_annotated
from tasks.images.bridge import ImageFolderTask
from tasks.images.files import PIXELS, converted, decoded, opened, stored_values
from tasks.images.folders import read_image_folder
from tasks.segmentation.masks import read_image


class Photographs(ImageFolderTask):
    """Photographs of two classes."""

    name, folders, classes, input_shape = "grey_photographs", ("grey",), ("cat", "dog"), (3, 8, 8)


def png(path: Path, size: tuple[int, int], depth: int, kind: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> Path:
    """A PNG of given chunks: `rows` as they are before they are compressed, each behind a byte 0."""
    head = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0)
    every = ((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    parts = (struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
             for name, data in every)  # fmt: skip
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def test_a_photograph_of_16_bits_is_scaled_to_8_b3(tmp_path: Path) -> None:
    """From black to white: the mean is that of 0 to 255, where clipping makes nearly all of it white."""
    grey = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    for part in ("train", "test"):
        for name in Photographs.classes:
            (tmp_path / "grey" / part / name).mkdir(parents=True)
            Image.fromarray(grey).save(tmp_path / "grey" / part / name / "0.png")
    expected = torch.from_numpy((grey / 257).round().astype(np.uint8))
    image, _ = Photographs(tmp_path).split("test")[0]
    assert all(torch.equal(channel, expected) for channel in image)
    assert 126 < image.float().mean() < 129
    path = tmp_path / "grey/test/cat/0.png"
    assert torch.equal(torch.from_numpy(np.array(decoded(path)))[..., 0], expected)
    assert torch.equal(read_image(path, (3, 8, 8))[1], expected)
    assert torch.equal(read_annotated(path, (8, 8), (8, 8))[2], expected)


def test_colours_of_16_bits_are_scaled_to_8_b3(tmp_path: Path) -> None:
    values = [0, 128, 255]
    row = b"".join(struct.pack(">H", 257 * value) for value in values)
    assert np.array(decoded(png(tmp_path / "a.png", (1, 1), 16, 2, b"\0" + row))).tolist() == [[values]]
    # Grey with an opacity.
    with_opacity = b"\0" + struct.pack(">HH", 257 * 100, 65535)
    assert np.array(decoded(png(tmp_path / "b.png", (1, 1), 16, 4, with_opacity))).tolist() == [[[100] * 3]]


def test_pixels_of_no_known_range_are_refused_b3(tmp_path: Path) -> None:
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "a.tiff")
    with (
        pytest.raises(InvalidInput, match="Pillow's mode F, whose range is unknown"),
        opened(tmp_path / "a.tiff", "image a.tiff", ("TIFF",)) as image,
    ):
        converted(image, "RGB", "a.tiff")


@pytest.mark.parametrize(
    ("depth", "rows", "values"),
    [
        (4, b"\0\x01\xf0", [0, 1, 15, 0]),  # As in the case.
        (2, b"\0\x1b", [0, 1, 2, 3]),
        (1, b"\0\x50", [0, 1, 0, 1]),
        (8, b"\0\x00\x01\x0f\xff", [0, 1, 15, 255]),
    ],
)
def test_a_map_has_the_values_that_are_stored_b4(depth: int, rows: bytes, values: list[int], tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", (4, 1), depth, 0, rows)
    assert stored_values(path).tolist() == [values]
    palette = (b"PLTE", bytes(range(3 * 2 ** min(depth, 8)))[: 3 * 2**depth] if depth < 8 else bytes(768))
    assert stored_values(png(tmp_path / "b.png", (4, 1), depth, 3, rows, palette)).tolist() == [values]


def test_a_map_of_16_bits_is_refused_b4(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"a\.png is no image of one byte a pixel"):
        stored_values(png(tmp_path / "a.png", (1, 1), 16, 0, b"\0\0\1"))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_map_that_is_a_jpeg_is_refused_b5(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (8, 8)).save(tmp_path / "a.png", "JPEG")
    with pytest.raises(InvalidInput, match=r"a\.png is a JPEG, which changes classes"):
        stored_values(tmp_path / "a.png")


def test_a_map_of_another_lossy_format_is_refused_b5(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", "WEBP")
    with pytest.raises(InvalidInput, match=r"a\.png is not a readable PNG"):
        stored_values(tmp_path / "a.png")


HUGE = (14_000, 12_000)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (decoded, "is 14000x12000 pixels, and 89,478,485 pixels are the most"),
        (lambda path: read_annotated(path, (48, 64), (8, 8)), "pixels are the most"),
        (lambda path: read_image(path, (3, 513, 513)), "pixels are the most"),
        (lambda path: stored_values(path), "pixels are the most"),
    ],
)
def test_a_size_is_looked_at_before_pixels_b13(read: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    """Of 168 million pixels; the rows are not there, so that decoding them would be another error."""
    path = png(tmp_path / "a.png", HUGE, 8, 0, b"")
    began = time.process_time()
    with pytest.raises(InvalidInput, match=rf"a\.png .*{said}.*set ACB_MAX_PIXELS to more"):
        read(path)
    assert time.process_time() - began < 1


def test_a_size_that_the_task_does_not_take_is_seen_before_pixels_b13(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", (9000, 9000), 8, 2, b"")
    with pytest.raises(InvalidInput, match=r"a\.png is 9000x9000 pixels; its annotation says 64x48"):
        read_annotated(path, (48, 64), (8, 8))
    with pytest.raises(InvalidInput, match=r"a\.png is 9000x9000 pixels; this task takes at most 513x513"):
        read_image(path, (3, 513, 513))
    (tmp_path / "cat").mkdir()
    path.rename(tmp_path / "cat/a.png")
    with pytest.raises(InvalidInput, match=r"a\.png is 9000x9000 pixels; it must be 32x32"):
        read_image_folder(tmp_path, ("cat",), (32, 32))


def test_the_limit_is_the_users_b13(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    path = png(tmp_path / "a.png", (20, 20), 8, 0, (b"\0" + bytes(20)) * 20)
    monkeypatch.setenv(PIXELS, "399")
    with pytest.raises(InvalidInput, match="is 20x20 pixels, and 399 pixels are the most"):
        decoded(path)
    monkeypatch.setenv(PIXELS, "400")
    assert decoded(path).size == (20, 20)
    monkeypatch.setenv(PIXELS, "1000000000")
    with opened(png(tmp_path / "b.png", (30_000, 30_000), 8, 0, b""), "image b.png") as image:
        assert image.size == (30_000, 30_000)
    monkeypatch.setenv(PIXELS, "many")
    with pytest.raises(InvalidInput, match="ACB_MAX_PIXELS is 'many'; set it to a number"):
        decoded(path)
