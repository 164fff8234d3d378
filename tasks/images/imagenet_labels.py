"""The classes of ImageNet and the lists that say which class an image is of: Caffe's, Kaggle's, the devkit's."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from conversion.errors import DataMissing, InvalidInput
from tasks.disk import text_of
from tasks.matlab import read_mat

CLASSES = Path(__file__).with_name("imagenet_classes.tsv")
NUMBERED = re.compile(r"ILSVRC2012_val_(\d{8})$")
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
SOLUTION = "LOC_val_solution.csv"
TEST_SIZE = 50_000
"""Images of ImageNet's validation set, which is the test split."""


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
        name, _, label = line.strip().rpartition(" ")
        if not line.strip():
            continue
        if not (name and label.isdecimal() and int(label) < len(imagenet_classes())):
            raise DataMissing(
                f"Line {number} of {path} is '{line:.60}'; a line is the name of a file and a class from 0 to 999."
            )
        _add(labels, Path(name.strip()).stem, int(label), f"Line {number} of {path}")
    return labels


def kaggle(path: Path) -> dict[str, int]:
    """The labels of Kaggle's solution, a name, a comma, and boxes that begin with a wnid."""
    order = class_order()
    labels: dict[str, int] = {}
    try:
        rows = list(csv.reader(text_of(path).splitlines()))
    except csv.Error as error:
        raise DataMissing(f"{path} is not a list of images and classes as Kaggle's: {error}.") from error
    for number, row in enumerate(rows, 1):
        if number == 1 and row[:1] == ["ImageId"]:
            continue
        wnid = row[1].split()[0] if len(row) == 2 and row[1].split() else ""
        if wnid not in order:
            raise DataMissing(f"Line {number} of {path} does not name a class of ImageNet-1k: '{','.join(row):.60}'.")
        _add(labels, row[0], order[wnid], f"Line {number} of {path}")
    return labels


def _is_number(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.size == 1 and bool(np.isfinite(value).all())


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
    for row in synsets if isinstance(synsets, list) else ():
        number, wnid, children = (row.get(name) for name in ("ILSVRC2012_ID", "WNID", "num_children"))
        if not (_is_number(number) and _is_number(children) and isinstance(wnid, str)) or int(number.item()) in wnids:
            raise DataMissing(f"{meta} is not the list of classes of the development kit; unpack it again.")
        if int(children.item()) == 0:
            wnids[int(number.item())] = wnid
    order = class_order()
    if sorted(wnids.values()) != list(order):
        raise DataMissing(f"{meta} does not list the 1,000 classes of ImageNet-1k; unpack the development kit again.")
    lines = text_of(kit / TRUTH).split()
    if not all(line.isdecimal() and int(line) in wnids for line in lines):
        raise DataMissing(f"{kit / TRUTH} holds more than numbers of classes from 1 to {len(wnids)}.")
    if len(lines) > TEST_SIZE:
        raise DataMissing(f"{kit / TRUTH} has {len(lines)} lines, more than the {TEST_SIZE:,} images it is of.")
    labels = [order[wnids[int(line)]] for line in lines]
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
