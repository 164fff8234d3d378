"""Datasets of other libraries: what their classes are given, raise and give is checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from conversion.errors import InvalidInput
from tasks.images.bridge import TorchvisionTask
from tasks.library import class_index, imported


class Squares:
    """Twenty images of two classes; `own` is what an item says its class is, `error` what opening raises."""

    def __init__(
        self, own: Callable[[int], Any] = lambda target: target, error: Exception | None = None, part: str = "",
        target_transform: Callable[[int], int] | None = None,
    ) -> None:  # fmt: skip
        if error is not None:
            raise error
        self.targets = [number % 2 for number in range(20)]
        self.own, self.target_transform = own, target_transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Image.Image, Any]:
        return Image.new("L", (8, 8), index), self.own((self.target_transform or abs)(self.targets[index]))


class OfSquares(TorchvisionTask):
    name = "squares"
    dataset = Squares
    classes = ("even", "odd")
    input_shape = (1, 8, 8)


def squares(root: Path, **about: Any) -> OfSquares:
    return type("Own", (OfSquares,), about)(root)


@pytest.mark.parametrize("target", [1, 1.0, "odd", "1", np.int64(1), torch.tensor([1]), torch.tensor(1.0), True])
def test_a_class_is_given_by_name_or_as_a_whole_number(target: Any) -> None:
    assert class_index(target, ("even", "odd"), "squares") == 1


@pytest.mark.parametrize(
    "target",
    [
        0.9, 1.7, -0.5, 2, -1, float("nan"), float("inf"), "0.9", "three", None, [0], b"1", np.float32(1.5),
        torch.tensor([1.6]), torch.zeros(2),
    ],
)  # fmt: skip
def test_anything_else_is_no_class(target: Any) -> None:
    with pytest.raises(InvalidInput, match=r"A target of task squares is .* as a whole number counted from 0"):
        class_index(target, ("even", "odd"), "squares")


def test_an_item_of_another_class_than_the_dataset_lists_is_refused(tmp_path: Path) -> None:
    parts = {"train": {"part": "a"}, "test": {"part": "b"}}
    task = squares(tmp_path, options={"own": lambda target: 1 - target}, splits=parts)
    with pytest.raises(InvalidInput, match=r"Sample test/\d+ .* class (even|odd), but (odd|even) in .* write test/\d+"):
        next(task.test(4))
    changed = squares(tmp_path, options={"target_transform": lambda target: 1 - target})
    assert {changed.label(item) == int(changed.read(item)[1]) for item in changed.listed("test")} == {True}


@pytest.mark.parametrize(
    "error", [ImportError("no codec"), AttributeError("x"), IndexError("x"), EOFError(), ZeroDivisionError("x")]
)
def test_whatever_opening_a_dataset_raises_is_a_sentence(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"Squares cannot be opened with \(error=.*`splits` of task squares"):
        squares(tmp_path, options={"error": error}).missing()


def test_two_splits_of_the_same_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"its train and its test split the same arguments \(part='a'\)"):
        squares(tmp_path, splits={"train": {"part": "a"}, "test": {"part": "a"}}).missing()


@pytest.mark.parametrize("splits", [{}, {"test": {}}])
def test_a_dataset_has_samples_to_train_on(splits: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Task squares has no train split"):
        squares(tmp_path, splits=splits).split("test")


def test_a_dataset_without_a_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"cannot be opened with \(\): object of type 'generator' has no len"):
        squares(tmp_path, dataset=staticmethod(lambda: (i for i in range(3)))).missing()


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("NMNIST", "'NMNIST' is no dotted name of a dataset; give module and class"),
        ("", "'' is no dotted name"),
        ("tonic..NMNIST", "is no dotted name"),
        (5, "A dataset is 5; give the library's class"),
        ("no_such_library.Digits", r"needs no_such_library, which is not installed\.$"),
        ("torchvision.no_such_part.Digits", "cannot be imported: No module named 'torchvision.no_such_part'"),
    ],
)
def test_a_name_that_leads_nowhere_is_a_sentence(dataset: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        imported(dataset)
