"""The gate: compares the present results with a committed baseline and judges each cell (docs/gate.md)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.gate.baselines import Baseline, Incomparable, Row, believed
from benchmarks.gate.figures import TOLERANCE
from benchmarks.gate.paired import LEVEL, Paired, adjusted, compare
from benchmarks.records.reading import Results
from benchmarks.records.record import INPUTS, UNMEASURED, Record
from benchmarks.records.store import RECORD

Verdict = Literal["pass", "regressed", "improved", "missing", "incomparable"]
PASS, REGRESSION, INCONCLUSIVE = 0, 4, 5


@dataclass(frozen=True)
class Comparison:
    """A cell in the baseline and now.

    Attributes:
        paired: paired comparison of the samples' outcomes.
        p: p of `paired`, adjusted for the number of cells compared.
    """

    before: Row
    now: Row
    paired: Paired
    p: float = 1.0


@dataclass(frozen=True)
class CellVerdict:
    """A cell of the baseline with its verdict, the reason in words, and the figures where there are two to compare."""

    row: Row
    verdict: Verdict
    reason: str
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Gate:
    """All verdicts; `new` are cells that were measured but are not in the baseline."""

    suite: str
    cells: Sequence[CellVerdict]
    new: Sequence[str]

    @property
    def exit_code(self) -> int:
        """4 when a cell regressed, else 5 when one is missing or incomparable, else 0."""
        verdicts = {cell.verdict for cell in self.cells}
        if "regressed" in verdicts:
            return REGRESSION
        return PASS if verdicts and verdicts <= {"pass", "improved"} else INCONCLUSIVE

    @property
    def conclusion(self) -> str:
        """The outcome in one line."""
        word = {PASS: "pass", REGRESSION: "regression", INCONCLUSIVE: "inconclusive"}[self.exit_code]
        counted = Counter(cell.verdict for cell in self.cells)
        found = ", ".join(f"{number} {verdict}" for verdict, number in counted.most_common())
        new = f"; {len(self.new)} new, without a verdict" if self.new else ""
        return f"Gate of suite {self.suite}: {word}. Of {len(self.cells)} cells {found}{new}."


def judge_all(baseline: Baseline, store: Results) -> Gate:
    """Compares the records of a store with a baseline.

    Raises:
        BenchmarkError: a record was written by a newer version.
    """
    records = {record.cell.id: record for record in store.records()}
    found = [_look_up(row, baseline, store, records.get(row.id)) for row in baseline.rows]
    comparisons = [item for item in found if isinstance(item, Comparison)]
    ps = iter(adjusted([comparison.paired for comparison in comparisons]))
    cells = []
    for item in found:
        if isinstance(item, Comparison):
            comparison = Comparison(item.before, item.now, item.paired, next(ps))
            cells.append(CellVerdict(item.before, *judge(comparison), comparison))
        else:
            cells.append(item)
    known = {row.id for row in baseline.rows}
    return Gate(baseline.suite, cells, [record.cell.label for id, record in records.items() if id not in known])


def _look_up(row: Row, baseline: Baseline, store: Results, record: Record | None) -> Comparison | CellVerdict:
    """The comparison of a cell, or its verdict where it cannot be compared."""
    if record is None:
        if (store.folder / "cells" / row.id / RECORD).is_file():
            return CellVerdict(row, "incomparable", "its record or its samples are damaged; measure it again")
        return CellVerdict(row, "missing", f"there is no record of it in {store.folder}")
    if record.status == "failed":
        if record.cause in UNMEASURED:
            return CellVerdict(row, "incomparable", f"it could not be measured: {record.reason}")
        return CellVerdict(row, "regressed", f"it ran when the baseline was taken, and fails now: {record.reason}")
    if 2 * 0.5**row.n > LEVEL:
        return CellVerdict(row, "incomparable", f"{row.n} samples are too few to tell a loss from chance")
    try:
        now, outcomes = believed(record, store)
    except Incomparable as error:
        return CellVerdict(row, "incomparable", str(error))
    if other := [name for name in (*INPUTS, "metric", "n") if getattr(now, name) != getattr(row, name)]:
        shown = [name if name in ("weights", "data") else f"{name} ({_change(row, now, name)})" for name in other]
        return CellVerdict(row, "incomparable", f"measured with other {' and '.join(shown)}")
    if row.order and row.order != now.order:
        return CellVerdict(row, "incomparable", "its samples are others than the baseline's, or in another order")
    return Comparison(row, now, compare(baseline.outcomes[row.id], outcomes))


def _change(before: Row, now: Row, name: str) -> str:
    return f"{getattr(before, name)} before, {getattr(now, name)} now"


def judge(comparison: Comparison) -> tuple[Verdict, str]:
    """The verdict on a cell and the reason: worse in anything is regressed, else better in anything is improved."""
    worse, better, same = [], [], []
    before, now, paired = comparison.before, comparison.now, comparison.paired
    if not paired.lost + paired.won:
        same.append("every sample came out as before")
    else:
        counted = f"{paired.lost} samples lost, {paired.won} won, p = {comparison.p:.2g} among all cells"
        if comparison.p > LEVEL:
            same.append(f"{before.metric} within chance: {counted}")
        elif paired.mean < 0:
            worse.append(f"{before.metric} fell: {counted}")
        else:
            better.append(f"{before.metric} rose: {counted}")
    figures = now.compared()
    for name, figure in before.compared().items():
        if not math.isclose(figure, figures[name], rel_tol=TOLERANCE):
            change = relative(figure, figures[name])
            (worse if change > 0 else better).append(f"{name} {change:+.2%}")
    if worse:
        return "regressed", "; ".join(worse) + (f"; although {', '.join(better)}" if better else "")
    return ("improved", "; ".join(better)) if better else ("pass", "; ".join(same))


def relative(before: float, now: float) -> float:
    """Relative change; infinite where there was nothing before."""
    if before == now:
        return 0.0
    return (now - before) / before if before else math.inf
