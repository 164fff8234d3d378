"""The layout of ShapeNetPart: one text file a shape, a row for each of its points, and lists of the official split."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks.base import Split
from tasks.disk import text_of
from tasks.points.base import CloudFile
from tasks.typed import FileName, Record

CATEGORIES, LISTS = "synsetoffset2category.txt", "train_test_split"
LIST_NAMES: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}
COLUMNS = 7
"""Numbers in a row: x y z, a normal, a label."""


class Category(Record):
    """A line of the table of categories."""

    expected = "a category and its folder"
    category: str = Field(description="a name")
    folder: FileName = Field(description="a name")


class Shape(Record):
    """An entry of a list of shapes; its last two parts are folder and file."""

    name: Annotated[FileName, Field(pattern="/")] = Field(
        description="a name like shape_data/02691156/<shape>, as all entries of the list"
    )


def list_of(folder: Path, split: Split) -> Path:
    """The file that lists the shapes of a split."""
    return folder / LISTS / f"shuffled_{LIST_NAMES[split]}_file_list.json"


def listed(folder: Path, categories: Sequence[str]) -> dict[Split, list[CloudFile]]:
    """The shapes of some categories in the order of the lists; a shape's class is its category's place among them.

    `synsetoffset2category.txt` gives the folder of each category, `<folder>/<shape>.txt` the points of a shape, and
    `train_test_split/shuffled_{train,val,test}_file_list.json` the shapes of a split as "shape_data/<folder>/<shape>".

    Raises:
        DataMissing: a file is not there, or a split has no shape of a category.
        InvalidInput: a file cannot be read as what it should be.
    """
    places = _places(folder / CATEGORIES, categories)
    return {split: _listed(folder, split, places) for split in LIST_NAMES}


def _listed(folder: Path, split: Split, places: Mapping[str, str]) -> list[CloudFile]:
    path = list_of(folder, split)
    labels = {place: index for index, place in enumerate(places.values())}
    files = []
    for entry in _entries(path):
        place, shape = entry.split("/")[-2:]
        if place in labels:
            files.append(CloudFile(folder / place / f"{shape}.txt", f"{place}/{shape}", labels[place]))
    counts = np.bincount([file.category for file in files], minlength=len(labels))
    for (name, place), count in zip(places.items(), counts, strict=True):
        if not count:
            raise DataMissing(
                f"There is no shape of category {name} ({place}) in {path}, and without one it has no "
                f"{LIST_NAMES[split]} score. Use the complete list, and the {CATEGORIES} that belongs to it."
            )
    return files


def _places(path: Path, categories: Sequence[str]) -> dict[str, str]:
    """The folder of each category, by name."""
    found: dict[str, str] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        told = Category.of_row(fields, f"{path}, line {number}")
        if told.category in found or told.folder in found.values():
            raise InvalidInput(f"{path}, line {number}: '{line:.60}' repeats a category or a folder; name each once.")
        found[told.category] = told.folder
    for name in categories:
        if name not in found:
            raise DataMissing(f"The category {name} is not in {path}, which names {', '.join(found)}.")
    return {name: found[name] for name in categories}


def read_parts(path: Path, parts: Mapping[int, int]) -> tuple[NDArray[np.float64], Tensor]:
    """The points of one shape and the parts they belong to.

    Args:
        path: of a text file with rows x y z nx ny nz label.
        parts: the labels of its category in the file, and the part that each stands for.

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
        raise InvalidInput(_fault(path, text, parts))
    renamed = np.zeros(max(parts) + 1, dtype=np.uint8)
    renamed[list(parts)] = list(parts.values())
    return rows[:, :3], torch.from_numpy(renamed[rows[:, -1].astype(np.int64)])


def count_points(path: Path) -> int:
    """The number of rows in the file of a shape."""
    return sum(bool(line.strip()) for line in path.read_bytes().splitlines())


def _fault(path: Path, text: str, parts: Collection[int]) -> str:
    """A sentence that says what is wrong with a file of points, and in which line."""
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


def _entries(path: Path) -> list[str]:
    try:
        content: Any = json.loads(_text(path))
    except (ValueError, RecursionError) as error:  # The second: brackets in brackets without end.
        raise InvalidInput(f"The list {path} is no JSON: {error}.") from error
    if not isinstance(content, list):
        raise InvalidInput(f"{path} has to be a list of names; it is {type(content).__name__}.")
    seen: dict[str, int] = {}
    for number, entry in enumerate(content, 1):
        name = Shape.of({"name": entry}, f"{path}, entry {number}").name
        if seen.setdefault(name, number) != number:
            raise InvalidInput(f"{path}, entry {number}: '{name}' is entry {seen[name]}, too; list it once.")
    return list(seen)


def _text(path: Path) -> str:
    if not path.exists():
        raise DataMissing(f"There is no file {path}.")
    return text_of(path)
