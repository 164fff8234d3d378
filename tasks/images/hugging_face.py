"""Folders of images of Hugging Face's `datasets`, Parquet or Arrow files, as tasks (docs/bridges.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import torch
from pyarrow.parquet import ParquetFile
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks.base import Split
from tasks.disk import SPLITS, DiskTask
from tasks.images.files import opened
from tasks.images.sized import SizedImages
from tasks.library import class_index

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats of images that datasets keep in their rows."""
DAMAGED = (OSError, pa.ArrowException, UnicodeDecodeError)
"""Errors of pyarrow, by the place of the damage; the last is a name of a column."""


@dataclass(frozen=True)
class Row:
    """A row of a dataset's files.

    Attributes:
        path, group, index: the file, the row group in it (0 for Arrow files), and the row in the group.
        number: number of the row in its split.
    """

    path: Path
    group: int
    index: int
    split: Split
    number: int
    label: int


class HuggingFaceTask(SizedImages, DiskTask[Row]):
    """Images in a folder of Hugging Face's `datasets`: Parquet files as on the hub, or Arrow files of `save_to_disk`.

    The files of a part are all that are named `<part>-*` or `<part>.*`, or lie in a folder `<part>`; the library's own
    cache-*.arrow are passed over. Subclasses set `folders`,
    `classes`, and `weights` or `input_shape`; `parts` and the names of the columns if they are called otherwise.
    """

    parts: ClassVar[Mapping[Split, str]] = {"train": "train", "test": "test"}
    image_column: ClassVar[str] = "image"
    label_column: ClassVar[str] = "label"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "layout" not in vars(cls):
            cls.layout = f"{cls.folders[0]}/ with Parquet or Arrow files of {', '.join(cls.parts.values())}."

    def listing(self) -> dict[Split, list[Row]]:
        return {split: self._rows(split, part) for split, part in self.parts.items()}

    def read(self, sample: Row) -> tuple[Tensor, Tensor]:
        with opened(self._bytes(sample), f"image in row {sample.number} of {sample.path}", FORMATS) as image:
            return self.sized(image), torch.tensor(sample.label)

    def label(self, sample: Row) -> int:
        return sample.label

    def key(self, sample: Row) -> str:
        return f"{sample.split}/{sample.number}"

    def source(self, sample: Row) -> tuple[Path, int, int]:
        return sample.path, sample.group, sample.index

    def content(self, sample: Row) -> bytes:
        return f"{self.key(sample)} {sample.label} ".encode() + hashlib.sha256(self._bytes(sample)).digest()

    def _bytes(self, sample: Row) -> bytes:
        """The encoded image in a row."""
        return embedded(sample.path, sample.group, sample.index, self.image_column, f"Row {sample.number}")

    def _is_of(self, part: str, path: Path) -> bool:
        """Whether a file holds rows of a part, by its name or the folders that it lies in.

        Raises:
            InvalidInput: its name says another part than its folder.
        """
        # The library leaves the results of `map` beside the data.
        if path.suffix not in (".parquet", ".arrow") or path.name.startswith((".", "cache-")):
            return False
        known = {*SPLITS, *self.parts.values()}
        named = [name for name in known if path.name.startswith((f"{name}-", f"{name}."))]
        found = known.intersection(path.relative_to(self.root).parts[:-1]) | set(sorted(named, key=len)[-1:])
        if part in found and len(found) > 1:
            raise InvalidInput(
                f"The file {path} is of the parts {' and '.join(sorted(found))} by its name and folder; move it."
            )
        return part in found

    def _rows(self, split: Split, part: str) -> list[Row]:
        paths = [path for path in sorted(self.root.rglob("*")) if self._is_of(part, path)]
        if not paths:
            raise DataMissing(f"The folder {self.root} holds no Parquet or Arrow file of the split {part}.")
        rows: list[Row] = []
        for path in paths:
            for group in range(shard(path).groups):
                labels = shard(path).column(self.label_column, group)
                for index, label in enumerate(labels.to_pylist()):
                    rows.append(Row(path, group, index, split, len(rows), class_index(label, self.classes, self.name)))
        return rows


class Shard:
    """A Parquet or Arrow file, read by groups of rows.

    Raises:
        InvalidInput: the file is damaged, or lacks a column that is asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.suffix == ".parquet":
                file = ParquetFile(path)
                self.groups, self.columns, self._read = (
                    file.num_row_groups,
                    file.schema_arrow.names,
                    file.read_row_group,
                )
            else:
                table = _arrow(path)
                self.groups, self.columns = 1, table.column_names
                self._read = lambda _, columns: table.select(columns)
        except DAMAGED as error:
            raise InvalidInput(f"The file {path} is not readable ({_reason(error)}); download it again.") from error

    def column(self, name: str, group: int) -> Any:
        """One column of a group of rows."""
        if name not in self.columns:
            raise InvalidInput(f"The file {self.path} has no column {name}; it has {', '.join(self.columns)}.")
        try:
            found = self._read(group, columns=[name])[name]
            found.validate(full=True)  # Offsets of a damaged Arrow file may lie outside of it.
            _ = [found.type.field(k).name for k in range(found.type.num_fields)]  # Which may be no text.
            return found
        except DAMAGED as error:
            raise InvalidInput(
                f"Column {name} of the file {self.path} cannot be read ({_reason(error)}); download the file again."
            ) from error


def _reason(error: Exception) -> str:
    """What pyarrow says, in one line where it writes several."""
    return " ".join(str(error).split()).rstrip(".")


def _arrow(path: Path) -> Any:
    """A table that is mapped into memory: columns are read on access."""
    source = pa.memory_map(str(path))
    try:
        return pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_file(source).read_all()


@lru_cache(maxsize=64)
def shard(path: Path) -> Shard:
    """A file, opened once for all of its rows."""
    return Shard(path)


@lru_cache(maxsize=4)
def _images(path: Path, group: int, column: str) -> Any:
    """The images of a group of rows; consecutive samples share one."""
    return shard(path).column(column, group)


def embedded(path: Path, group: int, index: int, column: str, row: str) -> bytes:
    """The encoded image in a row of a group.

    Args:
        row: the row for the error message.

    Raises:
        InvalidInput: the row names an image elsewhere, or none.
    """
    image = _images(path, group, column)[index].as_py()
    content = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(content, bytes):
        raise InvalidInput(f"{row} of {path} keeps no image in {column}; save the dataset with its images embedded.")
    return content
