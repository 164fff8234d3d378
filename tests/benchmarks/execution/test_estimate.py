"""Estimates of time, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.execution.estimate import TimeEstimate, estimate, total_time
from benchmarks.records.record import Record, Value
from benchmarks.suites.cell import Cell


def cell(method: str, T: int | None, *, limit: int | None = None, seed: int = 0, **options: Any) -> Cell:
    return Cell(
        task="digits", network="digits_convnet", method=method, options=options, T=T, seed=seed, limit=limit,
        calibration=512,
    )  # fmt: skip


def record(of: Cell, convert_s: float, evaluate_s: float, n: int) -> Record:
    values = {"accuracy": Value(value=90, ci_low=89, ci_high=91, n=n)}
    return Record(
        cell=of, status="done", metrics=values, primary_metric="accuracy", convert_s=convert_s, evaluate_s=evaluate_s
    )


def seconds(of: Cell, *records: Record) -> float | None:
    return estimate([of], records)[of.id]


CALIBRATION = record(cell("calibration", 4), 2.0, 8.0, 500)


def test_the_cells_own_record_comes_first() -> None:
    other = record(cell("calibration", 8), 100.0, 100.0, 500)
    assert seconds(cell("calibration", 4), other, CALIBRATION) == 10


def test_the_same_method_is_scaled_by_steps_and_samples() -> None:
    # Twice the steps: 2 * (2 + 8). A fifth of the samples: 2 + 8 / 5. Both, with another seed: 4 + 16 / 5.
    assert seconds(cell("calibration", 8), CALIBRATION) == 20
    assert seconds(cell("calibration", 4, limit=100), CALIBRATION) == pytest.approx(3.6)
    assert seconds(cell("calibration", 8, limit=100, seed=2), CALIBRATION) == pytest.approx(7.2)
    # The split has no more than 500.
    assert seconds(cell("calibration", 4, limit=9000), CALIBRATION) == 10


def test_of_the_same_method_the_nearest_in_work_counts() -> None:
    far = record(cell("calibration", 1), 50.0, 50.0, 500)
    assert seconds(cell("calibration", 8), far, CALIBRATION) == seconds(cell("calibration", 8), CALIBRATION, far) == 20
    assert seconds(cell("calibration", 2), far, CALIBRATION, record(cell("calibration", 2, seed=1), 1, 2, 500)) == 3


def test_another_method_is_the_median_of_its_network_scaled() -> None:
    ann = record(cell("ann", None), 0.0, 1.0, 500)
    burst = record(cell("burst", 2, phi=4), 1.0, 3.0, 500)
    slow = record(cell("snm", 4), 30.0, 30.0, 500)
    # At T=4: 10, 8 and 60; the ANN is none of them.
    assert seconds(cell("ftbc", 4), ann, CALIBRATION, burst, slow) == 10
    assert seconds(cell("ftbc", 4), CALIBRATION, burst) == 9
    # Other options are another method.
    assert seconds(cell("burst", 4, phi=8), CALIBRATION, burst, slow) == 10
    assert seconds(cell("ftbc", 4), ann) == 4


def test_what_nothing_is_known_of_has_no_estimate() -> None:
    assert seconds(cell("calibration", 4)) is None
    failed = Record(cell=cell("calibration", 4), status="failed", reason="it broke", convert_s=3.0)
    assert seconds(cell("calibration", 4), failed) is None
    elsewhere = CALIBRATION.cell.model_copy(update={"network": "vgg16"})
    assert seconds(elsewhere, CALIBRATION) is None
    # The first 100 samples do not say how many the whole split has.
    first = record(cell("calibration", 4, limit=100), 1.0, 1.0, 100)
    assert seconds(cell("calibration", 4), first) is None
    assert seconds(cell("calibration", 4, limit=300), first) == 4


def test_workers_share_the_sum_and_wait_for_the_longest() -> None:
    assert total_time([10, 20, None, 30]) == TimeEstimate(60, 3, 1)
    assert total_time([10, 20, None, 30], workers=2) == TimeEstimate(30, 3, 1)
    assert total_time([20, 20, 20], workers=2) == TimeEstimate(30, 3, 0)
    assert total_time([100, 1, None], workers=4) == TimeEstimate(100, 2, 1)
    assert total_time([None, None]) == TimeEstimate(0, 0, 2)
