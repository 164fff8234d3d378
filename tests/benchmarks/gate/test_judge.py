"""Verdicts of the gate: what is caught, what passes, and what is not said to pass."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmarks.gate.baselines import OPERATIONS, Row, take_baseline
from benchmarks.gate.figures import TOLERANCE
from benchmarks.gate.judge import INCONCLUSIVE, PASS, REGRESSION, Comparison, Gate, judge, judge_all
from benchmarks.gate.paired import adjusted, compare
from benchmarks.gate.reports import COLUMNS, junit, markdown, print_verdicts
from benchmarks.records.record import Cause, Record
from benchmarks.records.store import RECORD, Store
from benchmarks.suites.cell import Cell
from tests.benchmarks.gate.measurements import INPUTS, SYNOPS, Runs, cells, flipped, right, save

# One point of accuracy of 1,000 samples: ten that were right are wrong.
LOSS = slice(500, 510)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "losing"), [(1, 1), (11, 1), (11, 11), (50, 1), (50, 50)])
def test_a_point_of_accuracy_is_caught_while_the_other_cells_stay_as_they_were(
    tmp_path: Path, count: int, losing: int
) -> None:
    runs = Runs(tmp_path, count)
    for cell in runs.cells[:losing]:
        save(runs.store, cell, flipped(runs.outcomes, LOSS))
    found = runs.judged()
    assert found.exit_code == REGRESSION
    assert runs.verdicts() == ["regressed"] * losing + ["pass"] * (count - losing)
    assert found.cells[0].reason == "accuracy fell: 10 samples lost, 0 won, p = 0.002 among all cells"


@pytest.mark.slow
@pytest.mark.parametrize(("count", "caught"), [(11, True), (25, True), (26, False), (50, False)])
def test_a_point_of_one_cell_drowns_among_26_that_change_at_random(tmp_path: Path, count: int, caught: bool) -> None:
    # p is 2 / 2^10 = 1 / 512, and the smallest of n tests has to be below 0.05 / n: n up to 25.
    runs = Runs(tmp_path, count)
    save(runs.store, runs.cells[0], flipped(runs.outcomes, LOSS))
    for cell in runs.cells[1:]:
        save(runs.store, cell, flipped(runs.outcomes, slice(97, 103)))
    assert runs.verdicts() == ["regressed" if caught else "pass", *["pass"] * (count - 1)]


def test_noise_passes(tmp_path: Path) -> None:
    runs = Runs(tmp_path, 3)
    for cell in runs.cells:
        save(runs.store, cell, flipped(runs.outcomes, slice(90, 110)))
    found = runs.judged()
    assert found.exit_code == PASS
    assert found.cells[0].reason == "accuracy within chance: 10 samples lost, 10 won, p = 1 among all cells"


def test_an_improvement_is_one_and_passes(tmp_path: Path) -> None:
    runs = Runs(tmp_path, 2)
    save(runs.store, runs.cells[0], flipped(runs.outcomes, slice(0, 10)))
    save(runs.store, runs.cells[1], runs.outcomes, graded=SYNOPS * 0.4)
    found = runs.judged()
    assert runs.verdicts() == ["improved", "improved"]
    assert (found.exit_code, found.cells[1].reason) == (PASS, "synops_graded -20.00%")


@pytest.mark.parametrize("figure", ["unary", "smallest", "graded", "macs", "steps"])
@pytest.mark.parametrize(
    ("rise", "verdict"), [(1.01, "regressed"), (1.0005, "pass"), (0.9995, "pass"), (0.99, "improved")]
)
def test_a_percent_more_operations_is_caught_and_rounding_is_not(
    tmp_path: Path, figure: str, rise: float, verdict: str
) -> None:
    runs = Runs(tmp_path, 2)
    base = {"unary": SYNOPS, "smallest": SYNOPS, "graded": SYNOPS / 2, "macs": 868_000.0, "steps": 4.0}[figure]
    changed: dict[str, Any] = {figure: base * rise}
    save(runs.store, runs.cells[1], runs.outcomes, **changed)
    assert runs.verdicts() == ["pass", verdict]


def test_answers_that_come_later_are_regressed(tmp_path: Path) -> None:
    """As many steps, of which the first one's answer comes 3 steps later: neurons that wait."""
    runs = Runs(tmp_path, 2)
    save(runs.store, runs.cells[1], runs.outcomes, delay=3)
    found = runs.judged()
    assert runs.verdicts() == ["pass", "regressed"]
    assert found.cells[1].reason == "latency_first +300.00%"
    assert "| 4 -> 4 | 4 -> 7 | regressed |" in markdown(found)


def test_the_ann_has_no_synaptic_operations_and_may_not_get_any(tmp_path: Path) -> None:
    ann = Cell(task="digits", network="digits_convnet", method="ann", T=None, seed=0, limit=1000, calibration=64)
    store = Store(tmp_path, "toy")
    save(store, ann, right(), unary=0, smallest=0, graded=0)
    baseline = take_baseline("toy", [ann], store)
    assert judge_all(baseline, store).exit_code == PASS
    save(store, ann, right(), unary=1, smallest=0, graded=0)
    found = judge_all(baseline, store)
    assert (found.exit_code, found.cells[0].reason) == (REGRESSION, "synops_unary +inf%")


def test_worse_in_one_and_better_in_the_other_is_regressed_and_said(tmp_path: Path) -> None:
    runs = Runs(tmp_path, 2)
    save(runs.store, runs.cells[0], flipped(runs.outcomes, LOSS), unary=SYNOPS / 2)
    save(runs.store, runs.cells[1], flipped(runs.outcomes, slice(0, 10)), unary=SYNOPS * 2)
    found = runs.judged()
    assert runs.verdicts() == ["regressed", "regressed"]
    assert found.cells[0].reason.endswith("although synops_unary -50.00%")
    assert found.cells[1].reason.startswith("synops_unary +100.00%; although accuracy rose: 0 samples lost, 10 won")


def gone(store: Store, cell: Cell) -> None:
    (store.cells / cell.id / RECORD).unlink()


def damaged(store: Store, cell: Cell) -> None:
    (store.cells / cell.id / RECORD).write_text("{")


def without_outcomes(store: Store, cell: Cell) -> None:
    save(store, cell, None)


def shorter(store: Store, cell: Cell) -> None:
    save(store, cell, right(900))


def cut(store: Store, cell: Cell) -> None:
    save(store, cell, right(900), n=1000)


def not_finite(store: Store, cell: Cell) -> None:
    save(store, cell, np.where(right() > 0, 1.0, np.nan))


def other(key: str, value: str = "other") -> Callable[[Store, Cell], None]:
    return lambda store, cell: (save(store, cell, right(), inputs=INPUTS | {key: value}), None)[1]


@pytest.mark.parametrize(
    ("change", "verdict", "reason"),
    [
        (gone, "missing", "there is no record of it in"),
        (damaged, "incomparable", "its record or its samples are damaged"),
        (without_outcomes, "incomparable", "the outcomes of its samples are not beside its record"),
        (cut, "incomparable", "the outcomes of its samples are not beside its record"),
        (not_finite, "incomparable", "not finite"),
        (shorter, "incomparable", "measured with other n (1000 before, 900 now)"),
        (other("weights"), "incomparable", "measured with other weights"),
        (other("data"), "incomparable", "measured with other data"),
        (other("precision", "bfloat16"), "incomparable", "other precision (float32 before, bfloat16 now)"),
        (other("data", ""), "incomparable", "its record does not say its data"),
    ],
)
def test_what_cannot_be_compared_is_inconclusive_and_never_passes(
    tmp_path: Path, change: Callable[[Store, Cell], None], verdict: str, reason: str
) -> None:
    runs = Runs(tmp_path, 3)
    change(runs.store, runs.cells[1])
    found = runs.judged()
    assert runs.verdicts() == ["pass", verdict, "pass"]
    assert found.exit_code == INCONCLUSIVE
    assert reason in found.cells[1].reason
    # Regressed is what it is, whatever else could not be compared.
    save(runs.store, runs.cells[2], right(), unary=2 * SYNOPS)
    assert runs.judged().exit_code == REGRESSION


def test_nothing_to_compare_is_inconclusive(tmp_path: Path) -> None:
    runs = Runs(tmp_path, 2)
    for cell in runs.cells:
        gone(runs.store, cell)
    assert runs.judged().exit_code == INCONCLUSIVE
    assert runs.judged().conclusion == "Gate of suite toy: inconclusive. Of 2 cells 2 missing."
    assert Gate("toy", [], []).exit_code == INCONCLUSIVE


def test_a_cell_that_fails_to_run_is_regressed(tmp_path: Path) -> None:
    runs = Runs(tmp_path, 2)
    runs.store.save(Record(cell=runs.cells[0], status="failed", reason="out of memory"))
    found = runs.judged()
    assert (found.exit_code, runs.verdicts()) == (REGRESSION, ["regressed", "pass"])
    assert found.cells[0].reason == "it ran when the baseline was taken, and fails now: out of memory"


@pytest.mark.parametrize("cause", ["impossible", "killed", "time limit", "resources"])
def test_a_cell_that_could_not_be_measured_says_nothing_of_the_code(tmp_path: Path, cause: Cause) -> None:
    runs = Runs(tmp_path, 2)
    shutil.rmtree(runs.store.cells / runs.cells[0].id)
    runs.store.save(Record(cell=runs.cells[0], status="failed", reason="no data", cause=cause))
    found = runs.judged()
    assert (found.exit_code, runs.verdicts()) == (INCONCLUSIVE, ["incomparable", "pass"])
    assert found.cells[0].reason == "it could not be measured: no data"


def test_too_few_samples_are_inconclusive(tmp_path: Path) -> None:
    runs = Runs(tmp_path, 1, right(5, 0))
    save(runs.store, runs.cells[0], right(5, 5))
    found = runs.judged()
    assert (found.exit_code, runs.verdicts()) == (INCONCLUSIVE, ["incomparable"])
    assert found.cells[0].reason == "5 samples are too few to tell a loss from chance"


def test_a_new_cell_is_mentioned_and_has_no_verdict(tmp_path: Path) -> None:
    runs = Runs(tmp_path, 2)
    save(runs.store, cells(3)[2], right(1000, 900))
    found = runs.judged()
    assert (found.exit_code, len(found.cells), len(found.new)) == (PASS, 2, 1)
    assert found.conclusion == "Gate of suite toy: pass. Of 2 cells 2 pass; 1 new, without a verdict."
    assert "Not in the baseline, without a verdict: digits digits_convnet calibration T=4" in markdown(found)


KINDS = len(OPERATIONS)


def row(operations: list[float]) -> Row:
    return Row(
        id="cell", task="digits", network="net", method="burst", T=4, seed=0, profile="full", calibration=64, n=100,
        metric="accuracy", value=90.0, weights="w", data="d", precision="float32", steps=4.0, latency_first=1.0,
        latency_final=4.0, operations=dict(zip(OPERATIONS, operations, strict=True)),
    )  # fmt: skip


RUN = st.tuples(
    st.lists(st.sampled_from([0.0, 1000.0, 1000.5, 1001.0, 1001.001, 1002.0]), min_size=KINDS, max_size=KINDS),
    st.integers(0, 2**12 - 1),
)


@pytest.mark.slow
@given(RUN, RUN)
def test_to_swap_baseline_and_run_swaps_regressed_and_improved(
    one: tuple[list[float], int], two: tuple[list[float], int]
) -> None:
    def verdict(before: tuple[list[float], int], now: tuple[list[float], int]) -> tuple[str, str]:
        outcomes = [np.array([bits >> i & 1 for i in range(12)]) for _, bits in (before, now)]
        paired = compare(*outcomes)
        return judge(Comparison(row(before[0]), row(now[0]), paired, *adjusted([paired])))

    (there, reason), (back, _) = verdict(one, two), verdict(two, one)
    if "although" in reason:
        assert (there, back) == ("regressed", "regressed")
    else:
        assert back == {"pass": "pass", "regressed": "improved", "improved": "regressed"}[there]
    assert verdict(one, one)[0] == "pass"


def test_the_tolerance_is_a_tenth_of_a_percent() -> None:
    same = compare(right(), right())
    for rise, verdict in ((1 + 0.99 * TOLERANCE, "pass"), (1 + 1.01 * TOLERANCE, "regressed")):
        assert judge(Comparison(row([1000.0] * KINDS), row([1000.0 * rise] * KINDS), same))[0] == verdict
    assert TOLERANCE == 0.001


@pytest.fixture
def every_verdict(tmp_path: Path) -> Gate:
    runs = Runs(tmp_path, 6)
    save(runs.store, runs.cells[1], flipped(runs.outcomes, LOSS), steps=3.5)
    save(runs.store, runs.cells[2], runs.outcomes, unary=SYNOPS * 0.9)
    gone(runs.store, runs.cells[3])
    other("weights")(runs.store, runs.cells[4])
    runs.store.save(Record(cell=runs.cells[5], status="failed", reason="no | way,\n\x1b[31mred <&>"))
    return runs.judged()


def test_junit_counts_what_the_gate_found(every_verdict: Gate) -> None:
    root = ElementTree.fromstring(junit(every_verdict))
    (suite,) = root
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6", "failures": "2", "errors": "2", "skipped": "0",
    }  # fmt: skip
    children = [[child.tag for child in case] for case in suite]
    assert children == [["system-out"], ["failure"], ["system-out"], ["error"], ["error"], ["failure"]]
    assert len({(case.get("classname"), case.get("name")) for case in suite}) == 6
    assert suite[0].attrib == {
        "classname": "toy.digits.digits_convnet.first-1000",
        "name": "calibration T=4 seed=0",
        "time": "0",
    }
    assert (suite[5][0].text or "").endswith("fails now: no | way,\n\\x1b[31mred <&>")


def test_markdown_has_a_row_for_every_cell(every_verdict: Gate) -> None:
    lines = markdown(every_verdict).splitlines()
    assert lines[2] == (
        "Gate of suite toy: regression. Of 6 cells 2 regressed, 1 pass, 1 improved, 1 missing, 1 incomparable."
    )
    rows = [line for line in lines if line.startswith("| digits")]
    assert len(rows) == 6
    assert all(line.replace("\\|", "").count("|") == len(COLUMNS) + 1 for line in rows)
    assert (
        "| 90.00 -> 89.00 | -1.00 | 10 / 0 | 0.002 | 0.002 | +0.00 / +0.00 / +0.00 / +0.00 | 4 -> 3.5 | 4 -> 3.5 | "
        "regressed |" in rows[1]
    )
    assert "| -10.00 / +0.00 / +0.00 / +0.00 | 4 -> 4 | 4 -> 4 | improved | synops_unary -10.00% |" in rows[2]
    assert "| 90.00 -> |  |  |  |  |  | 4 -> | 4 -> | missing |" in rows[3]


def test_a_terminal_shows_the_figures_and_says_why_below(every_verdict: Gate) -> None:
    screen = StringIO()
    print_verdicts(every_verdict, Console(file=screen, force_terminal=True, color_system=None, width=150))
    lines = [" ".join(line.split()) for line in screen.getvalue().splitlines()]
    assert (
        "digits digits_convnet calibration T=4 first-1000 seed=1 90.00 -> 89.00 -1.00 10 / 0 0.002 "
        "+0.00 / +0.00 / +0.00 / +0.00 regressed"
    ) in lines
    reasons = [line for line in lines if line.startswith("digits") and ": " in line]
    # All but the cell in which nothing changed.
    assert [reason.split(": ")[1].split(",")[0] for reason in reasons] == [
        "regressed", "improved", "missing", "incomparable", "regressed",
    ]  # fmt: skip
