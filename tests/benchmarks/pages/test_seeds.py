"""Seeds draw the calibration set, and a mean over them has a t-interval."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from benchmarks.execution.workbench import Workbench
from benchmarks.pages.seeds import half_width, shortage


def test_the_interval_of_a_mean_by_hand() -> None:
    # s = 1 and sqrt(2); t(0.975, 2) = 4.3027 and t(0.975, 1) = 12.7062, of any table.
    assert half_width([90, 91, 92]) == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert half_width([1, 3]) == pytest.approx(12.7062, rel=1e-4)
    assert half_width([5, 5, 5]) == 0


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=8, unique=True))
def test_zero_is_outside_the_interval_just_where_a_t_test_rejects_it(values: list[float]) -> None:
    mean, p = sum(values) / len(values), stats.ttest_1samp(values, 0).pvalue
    if abs(p - 0.05) > 1e-6:
        assert (abs(mean) > half_width(values)) == (p < 0.05)


def test_what_is_absent_is_said_with_how_many() -> None:
    assert shortage(pd.Series(["missing"])) == "missing"
    assert shortage(pd.Series(["done", "missing", "missing"])) == "2 of 3 seeds missing"
    assert shortage(pd.Series(["failed", "done", "stale", "failed"])) == "2 of 4 seeds failed, 1 stale"


def test_the_workbench_draws_all_of_a_cell_with_its_seed() -> None:
    bench = Workbench(None, None, "cpu", "float32")
    zero, one = (bench.calibration("digits", "digits_convnet", 32, seed) for seed in (0, 1))
    assert (zero.seed, one.seed) == (0, 1)
    assert zero.held_out is not None and one.held_out is not None
    (held_out, _), (other, _) = zero.held_out, one.held_out
    assert isinstance(zero.inputs, Tensor) and isinstance(one.inputs, Tensor)
    assert isinstance(held_out, Tensor) and isinstance(other, Tensor)
    assert not torch.equal(zero.inputs, one.inputs)
    assert not torch.equal(held_out, other)
