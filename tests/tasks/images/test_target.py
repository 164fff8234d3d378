"""Classes as targets: mistakes to try a metric with, and confusion matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tasks.images.target import ClassTarget, confusion


def test_rows_of_a_confusion_matrix_are_shares_of_the_true_class() -> None:
    found = confusion(np.array([0, 0, 0, 2]), np.array([0, 1, 1, 2]), 3)
    assert found.tolist() == [[pytest.approx(1 / 3), pytest.approx(2 / 3), 0], [0, 0, 0], [0, 0, 1]]


def test_some_mistakes_are_those_of_the_first_class_whatever_batch_a_sample_is_in() -> None:
    classes, target = torch.tensor([0, 2, 1, 0]), ClassTarget()
    assert target.imitate(classes, 3, "none").tolist() == [0, 2, 1, 0]
    assert target.imitate(classes, 3, "some").tolist() == [1, 2, 1, 1]
    assert target.imitate(classes, 3, "all").tolist() == [1, 0, 2, 1]
