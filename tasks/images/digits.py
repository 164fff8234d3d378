"""Handwritten digits that ship with scikit-learn: the embedded task, real data without a download."""

from __future__ import annotations

import gzip
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.base import TASKS, TaskInfo
from tasks.images.base import ImageSplits, LabelledImages, LoadedImages
from tasks.splits import stratified

TEST_FRACTION, VALIDATION_FRACTION, SEED = 0.3, 0.1, 0


@TASKS.register("digits")
class Digits(LoadedImages):
    """1,797 grey 8x8 images of digits, the test part of the UCI set (Alpaydin, Kaynak, 1998).

    The data come without an official split. A fixed, seeded, class-stratified 30 % is the test split, a tenth of the
    rest validation. Pixels, 0..16 in the source, are spread over 0..255.
    """

    info = TaskInfo(
        "Handwritten digits of scikit-learn",
        "Alpaydin, Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998",
        "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits", "CC BY 4.0",
    )  # fmt: skip
    mean, std = (0.306,), (0.376,)
    classes = tuple("0123456789")
    input_shape = (1, 8, 8)
    layout = "nothing; the images come with scikit-learn."

    def missing(self) -> str | None:
        return None

    def load(self) -> ImageSplits:
        return _load()


@lru_cache(maxsize=1)
def _load() -> ImageSplits:
    rows = torch.from_numpy(_rows())
    images = rows[:, :-1].unflatten(1, (1, 8, 8)).mul(255 / 16).round().to(torch.uint8)
    whole = LabelledImages(images, rows[:, -1].long())
    rest, test = stratified(whole.labels, TEST_FRACTION, SEED)
    train, validation = stratified(whole.labels[rest], VALIDATION_FRACTION, SEED)
    return ImageSplits(whole.take(rest[train]), whole.take(rest[validation]), whole.take(test))


def _rows() -> NDArray[np.float64]:
    """The 64 pixels and the class of every image, shape (1797, 65): the file that `sklearn.datasets.load_digits` reads.

    Importing scikit-learn for it would take every process more than a second.
    """
    spec = find_spec("sklearn")
    assert spec is not None and spec.submodule_search_locations is not None, "scikit-learn is required"
    with gzip.open(Path(spec.submodule_search_locations[0], "datasets/data/digits.csv.gz"), "rt") as file:
        return np.loadtxt(file, delimiter=",")
