"""The layout of ShapeNetPart: one text file a shape, a row for each of its points, and lists of the official split."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks.base import Split
from tasks.disk import skipped, skipping
from tasks.points.base import CloudFile

CATEGORIES, LISTS = "synsetoffset2category.txt", "train_test_split"
LIST_NAMES: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}
COLUMNS = 7
"""x y z, a normal, a label."""


@dataclass(frozen=True)
class ShapeNetFolder:
    """A folder in the layout of shapenetcore_partanno_segmentation_benchmark_v0_normal.

    `synsetoffset2category.txt` gives the folder of each category, `<folder>/<shape>.txt` the points of a shape, and
    `train_test_split/shuffled_{train,val,test}_file_list.json` the shapes of a split as "shape_data/<folder>/<shape>".

    Attributes:
        path: where it is.
        categories: those that are read; a shape's class is its category's place among them.
    """

    path: Path
    categories: tuple[str, ...]

    def gap(self) -> str | None:
        """What is not there, as a sentence; None when all is there. Reads no shape."""
        if not self.path.is_dir():
            return f"There is no folder {self.path}."
        try:
            splits = self.splits()
        except (DataMissing, InvalidInput) as error:
            return str(error)
        folders = {file.path.parent for files in splits.values() for file in files}
        present = {folder: _names(folder) for folder in folders}
        for split, files in splits.items():
            for file in files:
                if file.path.name not in present[file.path.parent]:
                    return (
                        f"The shape {file.path} is listed in {self._list(split)} but not there. {skipping(file.path)}"
                    )
        return None

    def splits(self) -> dict[Split, list[CloudFile]]:
        """The listed shapes of the categories, in the order of the lists, but for those in `skip.txt`.

        Raises:
            DataMissing: a file is not there, or a split has no shape of a category.
            InvalidInput: a file cannot be read as what it should be.
        """
        left_out = skipped(self.path)
        return {split: self._listed(split, left_out) for split in LIST_NAMES}

    def skips(self) -> int:
        """How many of the listed shapes are left out."""
        everything = (self._listed(split, frozenset()) for split in LIST_NAMES)
        return sum(map(len, everything)) - sum(map(len, self.splits().values()))

    def _listed(self, split: Split, left_out: frozenset[str]) -> list[CloudFile]:
        path = self._list(split)
        labels = {self.folders[name]: index for index, name in enumerate(self.categories)}
        files = []
        for entry in _entries(path):
            folder, shape = entry.split("/")[-2:]
            if folder in labels and shape not in left_out:
                files.append(CloudFile(self.path / folder / f"{shape}.txt", f"{folder}/{shape}", labels[folder]))
        counts = np.bincount([file.category for file in files], minlength=len(labels))
        for name, count in zip(self.categories, counts, strict=True):
            if not count:
                raise DataMissing(
                    f"There is no shape of category {name} ({self.folders[name]}) in {path}; without one it has no "
                    f"{LIST_NAMES[split]} score. Use the complete list."
                )
        return files

    def _list(self, split: Split) -> Path:
        return self.path / LISTS / f"shuffled_{LIST_NAMES[split]}_file_list.json"

    @cached_property
    def folders(self) -> dict[str, str]:
        """The folder of each category, by name."""
        path = self.path / CATEGORIES
        found: dict[str, str] = {}
        for number, line in enumerate(_text(path).splitlines(), 1):
            fields = line.split()
            if fields and len(fields) != 2:
                raise InvalidInput(f"{path}, line {number}: '{line}' is no category and its folder.")
            if fields:
                found[fields[0]] = fields[1]
        for name in self.categories:
            if name not in found:
                raise DataMissing(f"The category {name} is not in {path}, which names {', '.join(found)}.")
        return found


def read_parts(path: Path, parts: Mapping[int, int]) -> tuple[NDArray[np.float64], Tensor]:
    """The points of one shape and the parts they belong to.

    Args:
        path: of a text file with rows x y z nx ny nz label.
        parts: the labels that its category has, and what each becomes.

    Returns:
        Points of shape (M, 3) and uint8 of shape (M,).

    Raises:
        InvalidInput: the file is missing or empty; a row is malformed, not finite or has another label. The message
            names file and line.
    """
    text, rows = _text(path), None
    if text.strip():
        with suppress(ValueError):  # Found again, with its line, below.
            rows = np.loadtxt(io.StringIO(text), dtype=np.float64, ndmin=2, comments=None)
    sound = rows is not None and rows.shape[1] == COLUMNS and bool(np.isfinite(rows).all())
    if rows is None or not sound or not np.isin(rows[:, -1], list(parts)).all():
        raise InvalidInput(f"{_fault(path, text, parts)} {skipping(path)}")
    renamed = np.zeros(max(parts) + 1, dtype=np.uint8)
    renamed[list(parts)] = list(parts.values())
    return rows[:, :3], torch.from_numpy(renamed[rows[:, -1].astype(np.int64)])


def count_points(path: Path) -> int:
    """How many rows the file of a shape has."""
    return sum(bool(line.strip()) for line in path.read_bytes().splitlines())


def _fault(path: Path, text: str, parts: Collection[int]) -> str:
    """What is wrong with a file of points, and in which line."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        return f"The file {path} holds no point."
    for number, line in lines:
        try:
            row = [float(field) for field in line.split()]
        except ValueError:
            return f"{path}, line {number}: '{line.strip()}' is not all numbers."
        if len(row) != COLUMNS:
            return f"{path}, line {number}: there are {len(row)} numbers; a point has x y z nx ny nz label."
        if not all(math.isfinite(value) for value in row):
            return f"{path}, line {number}: '{line.strip()}' is not finite."
        if row[-1] not in parts:
            return f"{path}, line {number}: the label {row[-1]:g} is none of its category's parts, {sorted(parts)}."
    return f"The file {path} cannot be read as rows of numbers."


def _entries(path: Path) -> Sequence[str]:
    try:
        content: Any = json.loads(_text(path))
    except ValueError as error:
        raise InvalidInput(f"The list {path} is no JSON: {error}.") from error
    if not isinstance(content, list) or not all(isinstance(entry, str) and "/" in entry for entry in content):
        raise InvalidInput(f'The list {path} has to hold names like "shape_data/02691156/<shape>", and nothing else.')
    return content


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataMissing(f"There is no file {path}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The file {path} cannot be read as text.") from error
