"""Images and maps, and the lists, tables and columns that say what is in them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import scipy.io
from PIL import Image

from tasks.disk import skipped
from tasks.images.files import decoded
from tasks.images.hugging_face import Shard
from tasks.images.imagenet_labels import META, TRUTH, caffe, devkit, imagenet_classes, kaggle
from tasks.images.sized import SizedImages
from tasks.segmentation.masks import read_map
from tasks.segmentation.voc import VocSegmentation
from tests.fuzz.foreign.parser import Parser, written

CANVAS = (3, 30, 40)


def rechecked(read: Callable[[Path], object]) -> Callable[[Path], object]:
    """Reads a PNG whose chunks have the checksums of what is in them, so that a decoder goes on to their content."""

    def go(path: Path) -> object:
        content, position = path.read_bytes(), 8
        chunks = [content[:8]]
        while position + 12 <= len(content):
            length = int.from_bytes(content[position : position + 4])
            body = content[position + 4 : position + 8 + length]
            chunks += [content[position : position + 4], body, zlib.crc32(body).to_bytes(4)]
            position += 12 + length
        path.write_bytes(b"".join(chunks))
        return read(path)

    return go


def pictures(folder: Path) -> list[Path]:
    noise = np.random.default_rng(0)
    grey = Image.fromarray(noise.integers(0, 256, (30, 40), dtype=np.uint8))
    made = {
        "grey.png": grey, "colour.png": grey.convert("RGB"), "two.png": grey.convert("1"),
        "palette.png": grey.convert("P"),
        "wide.png": Image.fromarray(noise.integers(0, 2**16, (30, 40), dtype=np.uint16)),
        "a.jpg": grey.convert("RGB"), "grey.jpg": grey, "cmyk.jpg": grey.convert("CMYK"),
    }  # fmt: skip
    for name, image in made.items():
        image.save(folder / name, progressive=name == "grey.jpg")
    return [folder / name for name in made]


def maps(folder: Path) -> list[Path]:
    grey = np.random.default_rng(0).integers(0, 3, (30, 40), dtype=np.uint8)
    Image.fromarray(grey).save(folder / "grey.png")
    palette = Image.fromarray(grey).convert("P")
    palette.save(folder / "palette.png", bits=4)
    return [folder / "grey.png", folder / "palette.png"]


class Sized(SizedImages):
    """Photographs of 8x8 pixels."""

    name, input_shape = "fuzzed", (3, 8, 8)
    mean, std = (0.5,), (0.5,)
    missing = split = digest = None  # type: ignore[assignment]


def photograph(path: Path) -> object:
    return Sized.__new__(Sized).sized(decoded(path, mode=None)), decoded(path)


def sbd(folder: Path) -> list[Path]:
    drawn = np.random.default_rng(0).integers(0, 21, (30, 40), dtype=np.uint8)
    for name, packed in (("0.mat", False), ("1.mat", True)):
        scipy.io.savemat(folder / name, {"GTcls": {"Segmentation": drawn}}, do_compression=packed)
    return [folder / "0.mat", folder / "1.mat"]


@cache
def kit() -> bytes:
    """The list of classes in the development kit of ImageNet."""
    kind = np.dtype([("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")])
    rows = np.array([(number, wnid, 0) for number, wnid in enumerate(imagenet_classes(), 1)], kind)
    file = io.BytesIO()
    scipy.io.savemat(file, {"synsets": rows.reshape(-1, 1)}, do_compression=True)
    return file.getvalue()


def meta(path: Path) -> object:
    (path.parent / TRUTH).write_text("1\n2\n")
    return devkit(path.parent, ["a.JPEG", "b.JPEG"])


def truth(path: Path) -> object:
    (path.parent / META).write_bytes(kit())
    return devkit(path.parent, ["a.JPEG", "b.JPEG"])


def rows(suffix: str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        file = io.BytesIO()
        Image.new("RGB", (4, 4)).save(file, "PNG")
        table = pa.table({"image": [{"bytes": file.getvalue(), "path": None}] * 3, "label": [0, 1, 0]})
        path = folder / f"a{suffix}"
        if suffix == ".parquet":
            pyarrow.parquet.write_table(table, path)
        else:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
        return [path]

    return write


def shard(path: Path) -> object:
    file = Shard(path)
    return [file.column(name, group).to_pylist() for group in range(file.groups) for name in ("label", "image")]


PARSERS: tuple[Parser, ...] = (
    Parser("photograph", "a.png", pictures, photograph),
    Parser("map", "a.png", maps, lambda path: read_map(path, {255: 0}, CANVAS)),
    Parser("photograph with checksums", "a.png", pictures, rechecked(photograph)),
    Parser("map with checksums", "a.png", maps, rechecked(lambda path: read_map(path, {255: 0}, CANVAS))),
    Parser("sbd", "a.mat", sbd, lambda path: VocSegmentation.read_mask(VocSegmentation.__new__(VocSegmentation), path)),
    Parser("caffe", "val.txt", written("val.txt", "ILSVRC2012_val_00000001.JPEG 65\nb.JPEG 970\n"), caffe),
    Parser("kaggle", "LOC_val_solution.csv",
           written("x.csv", "ImageId,PredictionString\nILSVRC2012_val_00000001,n01440764 1 2 3 4\n"), kaggle),
    Parser("devkit", META, lambda folder: written(META, kit())(folder), meta),
    Parser("devkit truth", TRUTH, written("x.txt", "490\n361\n"), truth),
    Parser("parquet", "a.parquet", rows(".parquet"), shard),
    Parser("arrow", "a.arrow", rows(".arrow"), shard),
    Parser("skip list", "skip.txt", written("skip.txt", "a/b # damaged\nc\n"), skipped),
)  # fmt: skip
