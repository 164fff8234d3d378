"""Accuracy at equal energy, and the ablation beside the paper's."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.pages.comparisons import ablation, iso_energy, value_at
from benchmarks.suites.comparisons import Ablation, IsoEnergy


def rows(points: list[tuple[str, int, float, float, float]]) -> pd.DataFrame:
    """Measurement rows: method, T, accuracy, unary and graded energy relative to the ANN's 2 mJ."""
    frame = pd.DataFrame(points, columns=["method", "T", "value", "unary", "graded"])
    energies = {"energy_unary_mJ": 2 * frame["unary"], "energy_graded_mJ": 2 * frame["graded"]}
    return frame.assign(energy_ann_mJ=2.0, status="done", **energies).drop(columns=["unary", "graded"])


MEASURED = rows([
    ("burst:phi=2", 1, 60.0, 0.1, 0.1), ("burst:phi=4", 1, 80.0, 0.2, 0.15), ("burst:phi=8", 1, 90.0, 0.4, 0.2),
    ("burst:phi=2", 2, 70.0, 0.2, 0.2), ("adafire", 1, 76.0, 0.15, 0.1),
])  # fmt: skip
SPEC = IsoEnergy(budgets=[0.15], families={"uniform": ["burst:phi=*"], "AdaFire": ["adafire"]}, reference="uniform")


def test_a_row_below_the_line_between_two_others_is_beaten_by_a_coin() -> None:
    points = pd.DataFrame({"energy": [0.1, 0.5, 0.6], "value": [50.0, 51.0, 95.0]})
    assert value_at(points, 0.5) == pytest.approx(50 + 45 * 0.4 / 0.5)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 50)), min_size=2, max_size=8), st.integers(1, 20))
def test_more_rows_never_reach_less(found: list[tuple[int, int]], budget: int) -> None:
    points = pd.DataFrame(found, columns=["energy", "value"])
    fewer, more = value_at(points.iloc[1:], budget), value_at(points, budget)
    assert fewer is None or (more is not None and more >= fewer - 1e-9)


def test_value_between_two_rows_is_that_of_a_coin_between_them() -> None:
    points = pd.DataFrame({"energy": [0.1, 0.2, 0.3, 0.4], "value": [60.0, 80.0, 70.0, 90.0]})
    assert value_at(points, 0.1) == 60
    assert value_at(points, 0.15) == pytest.approx(70)
    assert value_at(points, 0.3) == pytest.approx(85)  # The row at 0.3 is beaten by the one at 0.2.
    assert value_at(points, 9.0) == 90
    assert value_at(points, 0.05) is None


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 100)), min_size=1, max_size=8), st.floats(0.01, 1))
def test_a_family_reaches_at_least_its_best_affordable_row(found: list[tuple[float, float]], budget: float) -> None:
    points = pd.DataFrame(found, columns=["energy", "value"])
    affordable = points[points["energy"] <= budget]["value"]
    reached = value_at(points, budget)
    if affordable.empty:
        assert reached is None
    else:
        assert reached is not None
        assert affordable.max() <= reached + 1e-9 <= points["value"].max() + 2e-9


def test_iso_energy_table_by_hand() -> None:
    lines = iso_energy(MEASURED, SPEC)
    at = lines.index("At 15 % of the ANN's energy, unary:")
    assert lines[at + 2] == "| family | T=1 | T=2 | any T |"
    assert lines[at + 4 : at + 6] == ["| uniform | 70.0 |  | 70.0 |", "| AdaFire | 76.0 |  | 76.0 |"]
    against = lines.index("Each row against uniform at the row's own energy, unary:")
    assert lines[against + 4] == "| `adafire` | 1 | 76.00 | 15.0 | +6.00 | +6.00 |"
    # As one event a burst is cheaper: 60 is what uniform phi reaches at 0.1.
    graded = lines.index("Each row against uniform at the row's own energy, graded:")
    assert lines[graded + 4] == "| `adafire` | 1 | 76.00 | 10.0 | +16.00 | +16.00 |"


def test_ablation_by_hand() -> None:
    spec = Ablation(
        paper="CIFAR-10", baseline="burst:phi=2", rows={"AdaFire": "adafire", "AdaFire + IAT": "adafire_iat"}
    )
    lines = ablation(MEASURED, spec)
    assert lines[0] == "Ablation at T=1: changes against `burst:phi=2`, beside the paper's on CIFAR-10:"
    assert lines[4:7] == [
        "| none | `burst:phi=2` | 60.00 | +0.00 | +0.0 | +0.0 | +0.00 | +0.0 |",
        "| AdaFire | `adafire` | 76.00 | +16.00 | +50.0 | +0.0 | +0.35 | +37.9 |",
        "| AdaFire + IAT | `adafire_iat` | not run |  |  |  | +0.33 | -52.5 |",
    ]
    assert any(line.startswith("Ablation at T=2") for line in lines)


def test_unknown_techniques_and_datasets_are_refused() -> None:
    with pytest.raises(ValidationError, match="AdaFire"):
        Ablation.model_validate({"paper": "CIFAR-10", "baseline": "calibration", "rows": {"SSC": "x"}})
    with pytest.raises(ValidationError, match="ImageNet"):
        Ablation.model_validate({"paper": "CIFAR10", "baseline": "calibration", "rows": {}})


def test_no_mean_is_of_the_seeds_that_happen_to_be_there() -> None:
    failed = MEASURED.iloc[[4]].assign(status="failed", value=float("nan"))
    both = pd.concat([MEASURED, failed], ignore_index=True)
    assert not any("adafire" in line for line in iso_energy(both, SPEC))
    spec = Ablation.model_validate({"paper": "CIFAR-10", "baseline": "burst:phi=2", "rows": {"AdaFire": "adafire"}})
    assert "| AdaFire | `adafire` | not run |  |  |  | +0.35 | +37.9 |" in ablation(both, spec)


def test_comparisons_are_of_means_over_seeds() -> None:
    """AdaFire as two seeds, 70 at 0.125 and 82 at 0.175, is one row of 76 at 0.15."""
    seeds = rows([("adafire", 1, 70.0, 0.125, 0.05), ("adafire", 1, 82.0, 0.175, 0.15)])
    both = pd.concat([MEASURED.iloc[:4], seeds], ignore_index=True)
    assert iso_energy(both, SPEC) == iso_energy(MEASURED, SPEC)
    spec = Ablation.model_validate({"paper": "CIFAR-10", "baseline": "burst:phi=2", "rows": {"AdaFire": "adafire"}})
    assert ablation(both, spec) == ablation(MEASURED, spec)
