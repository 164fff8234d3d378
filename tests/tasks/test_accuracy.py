"""Top-1 accuracy: percent, Wilson's interval, per-sample outcomes."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import binomtest

from conversion.errors import InvalidInput
from tasks.accuracy import Accuracy, wilson


def measured(correct: int, n: int) -> Accuracy:
    metric = Accuracy()
    metric.update(torch.zeros(n, dtype=torch.long), (torch.arange(n) >= correct).long())
    return metric


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        # Closed form: (k + z^2/2 -+ z sqrt(k (n - k) / n + z^2 / 4)) / (n + z^2), z = 1.959964.
        (8, 10, 49.02, 94.33),
        (0, 10, 0.0, 27.75),
        (10, 10, 72.25, 100.0),
        (9173, 10000, 91.17, 92.25),
    ],
)
def test_interval_is_wilsons(correct: int, n: int, low: float, high: float) -> None:
    measure = measured(correct, n).compute()["accuracy"]
    assert measure.value == pytest.approx(100 * correct / n)
    assert measure.ci_low == pytest.approx(low, abs=0.005)
    assert measure.ci_high == pytest.approx(high, abs=0.005)
    assert measure.n == n


def test_interval_is_scipys_to_the_last_digit() -> None:
    for n in (1, 7, 240, 1797, 10000):
        for k in range(0, n + 1, 1 + n // 50):
            assert wilson(k, n) == tuple(binomtest(k, n).proportion_ci(0.95, "wilson"))


def test_batches_add_up_in_order() -> None:
    metric = Accuracy()
    metric.update(torch.tensor([1, 2]), torch.tensor([1, 0]))
    metric.update(torch.tensor([3]), torch.tensor([3]))
    assert metric.outcomes().tolist() == [1.0, 0.0, 1.0]
    assert metric.outcomes().dtype == torch.float32
    assert metric.compute()["accuracy"].value == pytest.approx(100 * 2 / 3)


def test_no_sample_has_no_accuracy() -> None:
    assert len(Accuracy().outcomes()) == 0
    with pytest.raises(InvalidInput, match="zero samples"):
        Accuracy().compute()


@pytest.mark.parametrize("shape", [(3, 10), (2,), ()])
def test_logits_and_other_misfits_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"shape \(N,\)"):
        Accuracy().update(torch.zeros(shape), torch.zeros(3))
