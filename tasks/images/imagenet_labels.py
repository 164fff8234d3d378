"""The classes of ImageNet and the lists that say which class an image is of: Caffe's, Kaggle's, the devkit's."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

from conversion.errors import DataMissing, InvalidInput
from tasks.disk import text_of
from tasks.matlab import read_mat
from tasks.typed import Record, Whole, Written, WrittenWhole

CLASSES = Path(__file__).with_name("imagenet_classes.tsv")
NUMBERED = re.compile(r"ILSVRC2012_val_(\d{8})$")
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
SOLUTION = "LOC_val_solution.csv"
TEST_SIZE = 50_000
"""Images of ImageNet's validation set, which is the test split."""


def _wnid(text: str) -> str:
    """The id that a text begins with."""
    wnid = (text.split() or [""])[0]
    if wnid not in class_order():
        raise ValueError("begins with the id of no class of ImageNet-1k")
    return wnid


def _scalar(value: Any) -> Any:
    """The number in an array of one, as files of MATLAB have numbers, which are floats there as a rule."""
    value = value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Record(Record):
    error = DataMissing


class CaffeLine(_Record):
    """A line of Caffe's val.txt."""

    expected = "the name of a file and a class"
    file: str = Field(description="the name of a file")
    label: Annotated[int, Written("0{0,9}[0-9]{1,3}")] = Field(
        alias="class", description="a class from 0 to 999, in the order of wnids"
    )


class KaggleRow(_Record):
    """A row of Kaggle's solution; boxes follow behind the wnid."""

    expected = "an image and its class"
    image: str = Field(alias="ImageId", description="the name of an image")
    wnid: Annotated[str, AfterValidator(_wnid)] = Field(alias="PredictionString", description="a wnid and boxes")


class Synset(_Record):
    """A row of the list of classes in the development kit; one with children is a group of classes."""

    number: Annotated[Whole, BeforeValidator(_scalar)] = Field(alias="ILSVRC2012_ID", description="a whole number")
    wnid: str = Field(alias="WNID", description="a WordNet id")
    children: Annotated[Whole, BeforeValidator(_scalar)] = Field(alias="num_children", description="a whole number")


class TruthLine(_Record):
    """A line of the development kit's labels."""

    expected = "a label"
    number: WrittenWhole = Field(alias="class", description="a whole number")


@cache
def imagenet_classes() -> dict[str, str]:
    """The 1,000 classes of ImageNet-1k: name by wnid, in the order of networks."""
    lines = CLASSES.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines if not line.startswith("#"))


@cache
def class_order() -> dict[str, int]:
    """The class of each wnid, counted as networks count them."""
    return {wnid: index for index, wnid in enumerate(imagenet_classes())}


def require_agreement(sources: Sequence[tuple[Path, Mapping[str, int]]]) -> None:
    """Raises DataMissing if a source of labels gives an image another class than the first source."""
    (first, labels), *others = sources
    for path, theirs in others:
        unlike = next((name for name, label in theirs.items() if labels.get(name, label) != label), None)
        if unlike is not None:
            raise DataMissing(
                f"{first} gives {unlike} the class {labels[unlike]}, and {path} gives it {theirs[unlike]}; remove the "
                "one that is of another dataset."
            )


def _add(labels: dict[str, int], name: str, label: int, where: str) -> None:
    """Adds the label of an image. Raises DataMissing if it has another already."""
    if labels.setdefault(name, label) != label:
        raise DataMissing(
            f"{where} gives {name} the class {label}, and a line before gives it {labels[name]}; get the list again."
        )


def caffe(path: Path) -> dict[str, int]:
    """The labels of Caffe's val.txt, a name and a class in each line, classes in the order of wnids."""
    labels: dict[str, int] = {}
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if line.strip():
            found = CaffeLine.of_row(line.rsplit(maxsplit=1), f"{path}, line {number}")
            _add(labels, Path(found.file.strip()).stem, found.label, f"Line {number} of {path}")
    return labels


def kaggle(path: Path) -> dict[str, int]:
    """The labels of Kaggle's solution, a name, a comma, and boxes that begin with a wnid."""
    labels: dict[str, int] = {}
    try:
        rows = list(csv.reader(text_of(path).splitlines()))
    except csv.Error as error:
        raise DataMissing(f"{path} is not a list of images and classes as Kaggle's: {error}.") from error
    for number, row in enumerate(rows, 1):
        if number == 1 and row[:1] == ["ImageId"]:
            continue
        found = KaggleRow.of_row(row, f"{path}, line {number}")
        _add(labels, found.image, class_order()[found.wnid], f"Line {number} of {path}")
    return labels


def devkit(kit: Path, names: Sequence[str]) -> dict[str, int]:
    """The labels of ILSVRC's development kit, a number a line that counts classes from 1 in an order of its own.

    meta.mat says which wnid each number is; its rows with children are groups of classes and are left out. Line i is
    the image ILSVRC2012_val_<i>, or the i-th by name where all are called otherwise.
    """
    meta = kit / META
    if not meta.is_file():
        raise DataMissing(
            f"{kit / TRUTH} numbers classes in an order of its own, and {meta}, which says their WordNet ids, is not "
            "there; unpack the development kit beside it."
        )
    try:
        synsets = read_mat(meta, "synsets", "list of classes of the development kit")
    except InvalidInput as error:
        raise DataMissing(f"{meta} is not the list of classes of the development kit. {error}") from error
    wnids: dict[int, str] = {}
    for place, row in enumerate(synsets if isinstance(synsets, list) else (), 1):
        synset = Synset.of(row, f"{meta}, class {place}")
        if synset.number in wnids:
            raise DataMissing(f"{meta}, class {place}: the number {synset.number} is of another; unpack it again.")
        if synset.children == 0:
            wnids[synset.number] = synset.wnid
    order = class_order()
    if sorted(wnids.values()) != list(order):
        raise DataMissing(f"{meta} does not list the 1,000 classes of ImageNet-1k; unpack the development kit again.")
    labels: list[int] = []
    for place, line in enumerate(text_of(kit / TRUTH).rstrip().splitlines(), 1):
        where = f"{kit / TRUTH}, line {place}"
        truth = TruthLine.of_row(line.split(), where).number
        if truth not in wnids:
            raise DataMissing(f"{where}: there is no class {truth}; there are 1 to {len(wnids)}.")
        labels.append(order[wnids[truth]])
    if len(labels) > TEST_SIZE:
        raise DataMissing(f"{kit / TRUTH} has {len(labels)} lines, more than the {TEST_SIZE:,} images it is of.")
    stems = [name.rpartition(".")[0] for name in names]
    other = [name for name, stem in zip(names, stems, strict=True) if not NUMBERED.match(stem)]
    if len(other) < len(names):
        if other:
            raise DataMissing(
                f"{kit / TRUTH} labels images by their number, and {other[0]} is not called ILSVRC2012_val_<number> as "
                f"others beside it are{f', nor are {len(other) - 1} more' if len(other) > 1 else ''}; move it away, or "
                "give it its name back."
            )
        return {f"ILSVRC2012_val_{number:08}": label for number, label in enumerate(labels, 1)}
    if len(labels) != len(stems):
        raise DataMissing(f"{kit / TRUTH} has {len(labels)} lines, and there are {len(stems)} images of other names.")
    return dict(zip(stems, labels, strict=True))
