"""Measures cells of a published suite again, with this code on this machine, and compares (docs/gate.md)."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Literal

from scipy.stats import binomtest

from benchmarks.choices import EngineName
from benchmarks.engines import make_engine
from benchmarks.engines.runner import run as run_jobs
from benchmarks.execution.failures import explain
from benchmarks.execution.worker import Job, Settings, fail, workbench
from benchmarks.gate.baselines import Incomparable, measured, row_of
from benchmarks.gate.figures import (
    beyond_tolerance,
    changed,
    contradictions,
    counted_alike,
    exact_fields,
    other_outcomes,
    unrecorded,
)
from benchmarks.gate.judge import PASS, REGRESSION, Comparison, judge
from benchmarks.gate.paired import Paired, adjusted, compare
from benchmarks.pages.tables import collect, pages
from benchmarks.records.machine import this_machine
from benchmarks.records.manifest import LIBRARIES, Verification
from benchmarks.records.manifest import Verdict as Measured
from benchmarks.records.published import PublishedSuite
from benchmarks.records.reading import Results
from benchmarks.records.record import INPUTS, UNMEASURED, Record
from benchmarks.records.store import Store
from benchmarks.suites.suite import Suite
from conversion.errors import BenchmarkError

Verdict = Measured | Literal["not measured"]
MISSING = 3
CHEAP = 1 / 3
"""The share of a method's cells, the cheapest ones, that a cell is drawn from."""
SHOWN = 3
"""Number of figures that are named for a cell that is different."""


@dataclass(frozen=True)
class VerifiedCell:
    """The verdict on one cell and its reason.

    Attributes:
        now: the new record; None for cells that were not measured.
    """

    record: Record
    verdict: Verdict
    reason: str
    now: Record | None = None

    def __str__(self) -> str:
        return f"{self.verdict}: {self.record.cell.label}: {self.reason}"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a verification.

    Attributes:
        faults: sentences on contradictions between tables, records and samples, of all cells.
        cells: the cells that were drawn.
        total: number of cells that are published.
        missing: labels of the cells of the suite that are not published.
    """

    suite: str
    faults: Sequence[str]
    cells: Sequence[VerifiedCell]
    total: int
    missing: Sequence[str] = ()

    @property
    def exit_code(self) -> int:
        """4 when anything is different, else 3 when a cell could not be measured or is not published, else 0."""
        verdicts = {found.verdict for found in self.cells}
        if self.faults or "different" in verdicts:
            return REGRESSION
        return MISSING if self.missing or "not measured" in verdicts else PASS

    @property
    def conclusion(self) -> str:
        """The outcome in a line."""
        counts = Counter(found.verdict for found in self.cells)
        found = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
        faults = f"; {len(self.faults)} contradictions in what is published" if self.faults else ""
        missing = f"; not published: {', '.join(self.missing)}" if self.missing else ""
        return f"Suite {self.suite}: of {self.total} cells {len(self.cells)} drawn, {found}{faults}{missing}."


def draw(records: Iterable[Record], count: int, seed: int) -> list[Record]:
    """Draws cells: methods in turn, in a random order, and of each one of the cheapest cells that are left.

    Cells that a method refuses cost nothing and are drawn as if they were of a method of their own.

    Args:
        count: number of cells; all where there are fewer.
        seed: the same seed draws the same cells.
    """
    source = random.Random(seed)
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda record: record.convert_s + record.evaluate_s):
        groups.setdefault((record.cell.recipe.label, record.status), []).append(record)
    order = [groups[key] for key in sorted(groups)]
    source.shuffle(order)
    found: list[Record] = []
    while len(found) < count and any(order):
        for group in order:
            if group and len(found) < count:
                found.append(group.pop(source.randrange(ceil(CHEAP * len(group)))))
    return found


def verify(
    suite: Suite, published: PublishedSuite, count: int, seed: int, data_root: Path | None, weights: Path | None,
    engine: EngineName = "local", workers: int | None = None,
) -> Outcome:  # fmt: skip
    """Measures drawn cells again, in the precision and on the kind of device they were measured with.

    Args:
        suite: the suite as it is defined now.
        published: its published results.
        count, seed: see `draw`.
        data_root, weights: see `Workbench`.
        engine, workers: see `make_engine`.
    """
    records = list(published.records())
    found = faults(suite, published)
    # Cells of one network follow each other, so that it is loaded once.
    drawn = sorted(
        draw(records, count, seed), key=lambda record: (_settings(record, None, None).precision, record.cell.id)
    )
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        root = Path(folder)
        store = Store(root, suite.name)
        store.prepare()
        jobs = [Job(record.cell, root, suite.name, _settings(record, data_root, weights)) for record in drawn]
        to_run = []
        for record, job in zip(drawn, jobs, strict=True):
            if reason := _obstacle(record, job):
                fail(job, reason, "impossible")
            else:
                to_run.append(job)
        device = "cuda" if any(job.settings.device == "cuda" for job in to_run) else "cpu"
        run_jobs(to_run, make_engine(engine, workers=workers, device=device, time_limit=suite.time_limit), store)
        cells = judge_again(drawn, published, store)
    missing = [cell.label for cell in suite.cells() if published.load(cell) is None]
    return Outcome(suite.name, found, cells, len(records), missing)


def _settings(record: Record, data_root: Path | None, weights: Path | None) -> Settings:
    found = record.fingerprint
    precision: Literal["float32", "bfloat16"] = "bfloat16" if found.get("precision") == "bfloat16" else "float32"
    return Settings(data_root, weights, found.get("device", "cpu"), precision)


def _obstacle(record: Record, job: Job) -> str:
    """The reason why a cell cannot be measured again here, missing or different data or weights; "" if it can."""
    try:
        now = workbench(job.settings).fingerprint(record.cell)
    except Exception as error:  # A network or task may break in any way; the others go on.
        return explain(error)
    if record.status == "failed" and not record.fingerprint:  # It was refused before anything was loaded.
        return ""
    other = [name for name in INPUTS if record.fingerprint.get(name) != now[name]]
    return f"it was published with other {' and '.join(other)} than are here" if other else ""


def faults(suite: Suite, published: PublishedSuite) -> list[str]:
    """Contradictions in what is published, as sentences: tables that do not follow from records, wrong sums."""
    found = published.contradictions()
    for name, content in pages(suite, published, collect(suite, published)).items():
        if name not in published.manifest.files or (published.folder / name).read_bytes() != content:
            found.append(f"{name} is not what the records say; `report` writes it again")
    for record in published.records():
        if record.status == "done":
            said = contradictions(record, published.samples(record))
            found += [f"{record.cell.label}: {sentence}" for sentence in said]
        elif record.cause != "refused":
            found.append(f"{record.cell.label}: it is published as failed, and not because the method refused it")
    return found


def judge_again(drawn: Sequence[Record], published: Results, store: Results) -> list[VerifiedCell]:
    """Compares cells that were measured again with their published records."""
    without = unrecorded(published.records())
    sides = [_look_up(record, published, store) for record in drawn]
    comparisons = [side for side in sides if isinstance(side, Comparison)]
    ps = iter(adjusted([comparison.paired for comparison in comparisons]))
    found = []
    for record, side in zip(drawn, sides, strict=True):
        if isinstance(side, VerifiedCell):
            found.append(side)
            continue
        now = store.load(record.cell)
        assert now is not None  # There is a comparison.
        found.append(_verdict(record, now, replace(side, p=next(ps)), published, store, without))
    return found


def _look_up(record: Record, published: Results, store: Results) -> Comparison | VerifiedCell:
    now = store.load(record.cell)
    if now is None:
        return VerifiedCell(record, "not measured", "it has no record")
    if now.status == "failed" and now.cause in UNMEASURED:
        return VerifiedCell(record, "not measured", now.reason)
    if record.status == "failed":
        return _refused_again(record, now)
    if now.status == "failed":
        return VerifiedCell(record, "different", f"it was measured when it was published, and fails now: {now.reason}")
    try:
        if not record.samples:
            return _unpaired(record, now)
        (before, outcomes), (after, again) = measured(record, published), measured(now, store)
    except Incomparable as error:
        return VerifiedCell(record, "not measured", str(error))
    if before.n != after.n or before.metric != after.metric:
        return VerifiedCell(
            record, "different", f"{before.n} samples by {before.metric}, now {after.n} by {after.metric}"
        )
    return Comparison(before, after, compare(outcomes, again))


def _refused_again(record: Record, now: Record) -> VerifiedCell:
    """The verdict on a cell that its method refused when it was published."""
    if now.status == "done":
        value = now.metrics[now.primary_metric].value
        return VerifiedCell(record, "different", f"it was refused, and is measured now: {value:.2f}", now)
    if now.cause != record.cause or now.reason != record.reason:
        return VerifiedCell(
            record, "different", f"it failed ({record.reason}), and fails otherwise now: {now.reason}", now
        )
    return VerifiedCell(record, "equal", f"it is refused: {now.reason}", now)


def _unpaired(record: Record, now: Record) -> Comparison:
    """The comparison without outcomes: it assumes that all differing samples differ one way, the strictest case."""
    before, after = row_of(record), row_of(now)
    net = (after.value - before.value) * before.n / 100
    lost, won = max(0, round(-net)), max(0, round(net))
    return Comparison(
        before, after, Paired(lost, won, net / before.n, float(binomtest(lost, max(lost + won, 1)).pvalue))
    )


def _verdict(
    record: Record, now: Record, comparison: Comparison, published: Results, store: Results, without: Collection[str]
) -> VerifiedCell:
    figure = f"{comparison.before.metric} {comparison.before.value:.2f}"
    pairs = changed(record, now, without)
    table, again = published.samples(record), store.samples(now)
    alike = counted_alike(pairs, table, again)
    said = beyond_tolerance(record, pairs, exact_fields(pairs, alike))
    if alike and (others := other_outcomes(table, again)):
        said.append(f"{others} samples came out otherwise")
    verdict, reason = judge(comparison)
    if said or verdict != "pass":
        reasons = [reason] if verdict != "pass" else ["no spike moved"] if alike else []
        return VerifiedCell(record, "different", "; ".join([*reasons, *said[:SHOWN], *_more(said)]), now)
    if alike and all(place.startswith("report.") for place in pairs):
        all_of_them = ", and every other figure" if not pairs else ", and every count"
        # Nothing is said of what could not be compared.
        left_out = sorted(field for field in without if getattr(now, field))
        but = f" but {' and '.join(left_out)}, which the suite was published without" if left_out else ""
        return VerifiedCell(record, "equal", figure + all_of_them + but, now)
    return VerifiedCell(record, "within tolerance", f"{figure}, now {comparison.now.value:.2f}; {reason}", now)


def _more(sentences: Sequence[str]) -> list[str]:
    return [f"and {len(sentences) - SHOWN} more figures"] if len(sentences) > SHOWN else []


def verification(outcome: Outcome) -> Verification:
    """The entry of an outcome for the manifest.

    Raises:
        BenchmarkError: no cell could be measured.
    """
    measured_again = {
        found.record.cell.id: found.verdict for found in outcome.cells if found.verdict != "not measured"
    }  # fmt: skip
    # A cell that is refused says less of what ran it.
    said = max((found.now.provenance for found in outcome.cells if found.now is not None), key=len, default=None)
    if said is None:
        raise BenchmarkError(f"Nothing of suite {outcome.suite} could be measured, so there is nothing to record.")
    return Verification(
        date=datetime.now(UTC).date().isoformat(), commit=said.get("git", ""), dirty=said.get("dirty") == "true",
        machine=this_machine(), versions={name: said[name] for name in LIBRARIES if name in said},
        cells=measured_again,
    )  # fmt: skip
