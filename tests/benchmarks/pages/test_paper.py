"""The paper's numbers beside ours: what is printed, what is matched, and the verdicts."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from benchmarks.pages.beside import ENERGY_POINTS, POINTS, beside, energy_change, verdict
from benchmarks.pages.paper import paper_page
from benchmarks.pages.paper_docs import with_sections
from benchmarks.references.paper import energy_changes, printed
from benchmarks.suites.files import load_suite, load_suites
from benchmarks.suites.suite import Suite
from tests.test_docs import ROOT


def rows(suite: Suite, **values: Any) -> pd.DataFrame:
    """Rows of results.csv for all cells of a suite, done, with these values."""
    base = {
        "metric": None, "value": 50.0, "ci_low": 49.0, "ci_high": 51.0, "ann_value": 60.0, "status": "done",
        "reason": "", "energy_unary_mJ": 2.0, "energy_graded_mJ": 1.0, "convert_s": 1.0, "evaluate_s": 2.0,
        "device": "cpu",
    }  # fmt: skip
    cells = [
        {"task": c.task, "network": c.network, "method": c.recipe.label, "T": c.T, "profile": c.profile, "cell": c.id}
        for c in suite.cells()
    ]
    return pd.DataFrame([cell | base | values for cell in cells])


def test_the_printed_numbers_are_complete() -> None:
    assert {table: len(printed(table)) for table in range(1, 8)} == {1: 26, 2: 15, 3: 8, 4: 4, 5: 2, 6: 34, 7: 15}
    assert printed(8) == ()


def test_the_mean_of_table6_is_that_of_its_categories() -> None:
    """Unweighted: the printed means are those of the 16 printed values, to their last digit."""
    for method in ("Calibration", "AdaFire"):
        own = [row for row in printed(6) if row.method == method]
        (mean,) = [row for row in own if row.dataset == "mean"]
        values = [row.value for row in own if row.dataset != "mean"]
        assert len(values) == 16
        assert sum(values) / 16 == pytest.approx(mean.value, abs=0.0051)


def test_printed_percentages_are_those_of_the_printed_energies_but_for_slips() -> None:
    odd = []
    for row in printed(7):
        assert row.energy_change is not None
        if abs(energy_changes(row.dataset)[row.method] - row.energy_change) > 0.011:
            odd.append((row.dataset, row.method, bool(row.note)))
    assert odd == [("CIFAR-100", "AdaFire", True), ("ImageNet", "AdaFire", True)]


@pytest.mark.parametrize(
    ("value", "half", "mark"),
    [(95.95, 0.01, "reproduced"), (95.95 + 1.5 * POINTS, 0.01, "off"), (80.0, 16.0, "reproduced"), (80.0, 15.0, "off")],
)
def test_a_number_is_reproduced_within_its_interval_or_the_tolerance(value: float, half: float, mark: str) -> None:
    """Calibration on ShapeNet is printed as 95.89."""
    suite = load_suite("table5")
    frame = rows(suite, value=value, ci_low=value - half, ci_high=value + half)
    assert suite.table is not None
    first = beside(suite.table, frame)[0]
    assert (first.printed.value, verdict(first)) == (95.89, mark)


def test_a_part_of_the_test_split_gives_no_verdict() -> None:
    suite = load_suite("table5").adjusted(limit=4)
    assert suite.table is not None
    assert verdict(beside(suite.table, rows(suite, value=95.89))[0]) == "first-4"


def test_several_seeds_are_a_mean_and_none_may_be_missing() -> None:
    """Two seeds of 94 and 96: t(0.975, 1) is 12.7, so that 95.89 lies inside; each alone, at +-0.1, is off."""
    suite = load_suite("table5")
    assert suite.table is not None
    seeds = [rows(suite, value=value, ci_low=value - 0.1, ci_high=value + 0.1) for value in (94.0, 96.5)]
    frame = pd.concat(seeds, ignore_index=True)
    first = beside(suite.table, frame)[0]
    assert first.score is not None and first.score.value == 95.25
    assert verdict(first) == "reproduced"
    frame.loc[frame.index[-len(seeds[1]) :], ["status", "reason"]] = ["failed", "it broke"]
    assert verdict(beside(suite.table, frame)[0]) == "not run"


def test_the_mean_over_categories_needs_all_of_them() -> None:
    suite = load_suite("table6")
    assert suite.table is not None
    frame = rows(suite, value=70.0, ci_low=66.0, ci_high=74.0)
    mean = beside(suite.table, frame)[0]
    # Sixteen independent errors of 4: their mean is one of 4 / sqrt(16).
    assert mean.score is not None
    assert (mean.score.value, mean.score.low, mean.score.high) == (70.0, 69.0, 71.0)
    frame.loc[frame["task"] == "shapenet_parts_mug", "status"] = "missing"
    assert beside(suite.table, frame)[0].score is None
    assert "| mean | (77.46) | not run (72.25) |" in "\n".join(paper_page(suite, frame))


def test_energy_is_compared_by_its_change_and_priced_as_released() -> None:
    suite = load_suite("table7")
    assert suite.table is not None
    frame = rows(suite)
    changed = frame["method"] == "adafire"
    frame.loc[changed, ["energy_unary_mJ", "energy_graded_mJ"]] = [3.0, 1.35]
    found = beside(suite.table, frame)
    change = energy_change(found[1], found)
    assert change.unary == pytest.approx(50) and change.graded == pytest.approx(35)
    assert change.near and abs(35 - 37.887) < ENERGY_POINTS
    page = "\n".join(paper_page(suite, frame))
    assert "| 3 / 1.35 (20.49) | +50.0 / +35.0 (+37.9, -2.9) reproduced |" in page
    frame.loc[frame["method"] == "calibration", "status"] = "failed"
    assert "| 3 / 1.35 (20.49) | no row `none` (+37.9) |" in "\n".join(paper_page(suite, frame))


def test_numbers_that_nobody_measures_are_quoted_and_never_ours() -> None:
    for suite in load_suites("paper"):
        assert suite.table is not None
        found = beside(suite.table, rows(suite))
        assert {one.quoted for one in found} <= {True, False}
        assert all(one.score is None for one in found if one.quoted)
        assert all(one.score is not None and one.score.value == 50 for one in found if not one.quoted)
        direct = [one for one in found if one.printed.training == "direct"]
        assert all(one.quoted for one in direct)
    assert math.isclose(printed(2)[0].value, 72.0)


def test_every_number_of_our_methods_is_measured() -> None:
    quoted = {
        (one.printed.table, one.printed.method)
        for suite in load_suites("paper")
        if suite.table is not None
        for one in beside(suite.table, rows(suite))
        if one.quoted and one.printed.training == "conversion"
    }
    assert quoted == {(3, "Spiking-YOLO"), (3, "B-Spiking-YOLO")}


def test_the_sections_of_the_documentation_are_those_of_the_suites() -> None:
    page = (ROOT / "docs/paper.md").read_text()
    # After a change: python -m benchmarks.pages.paper_docs docs/paper.md
    assert page == with_sections(page)
    assert page.count("\n## Table ") == 7
    assert f"within {POINTS:g} points of ours; a change of energy within {ENERGY_POINTS:g} points" in page
