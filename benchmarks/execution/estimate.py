"""Estimates how long cells take, from the recorded seconds of others (docs/suites.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log
from statistics import median

from benchmarks.execution.watch import duration
from benchmarks.records.record import Record
from benchmarks.suites.cell import Cell


@dataclass(frozen=True)
class TimeEstimate:
    """The estimated time of a run.

    Attributes:
        seconds: time of the cells that have an estimate.
        known, unknown: numbers of cells with and without an estimate.
    """

    seconds: float
    known: int
    unknown: int

    def __str__(self) -> str:
        if not self.known:
            return "no timings are stored yet" if self.unknown else "nothing to do"
        return f"about {duration(self.seconds)}" + f", and {self.unknown} cells without a timing" * bool(self.unknown)


def estimate(cells: Sequence[Cell], records: Iterable[Record]) -> dict[str, float | None]:
    """Estimated seconds of every cell, by its id; None where no cell of its network was measured.

    The best source is used: the cell's own earlier record; then the record of the same method on the same network that
    is nearest in work; then the median over the methods on that network. Other records are scaled:
    conversion with T, evaluation with T times the number of test samples.
    """
    done = [record for record in records if record.status == "done" and record.primary_metric in record.metrics]
    own = {record.cell.id: record for record in done}
    sizes = {record.cell.task: _samples(record) for record in done if record.cell.limit is None}
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in done:
        groups.setdefault((record.cell.task, record.cell.network), []).append(record)
    return {
        cell.id: _seconds(own[cell.id])
        if cell.id in own
        else _from_others(cell, groups.get((cell.task, cell.network), []), sizes.get(cell.task))
        for cell in cells
    }


def time_needed(cells: Sequence[Cell], records: Iterable[Record], workers: int) -> TimeEstimate:
    """The estimated time of measuring cells, from the records of others, which are read if there are cells."""
    if not cells:
        return TimeEstimate(0.0, 0, 0)
    return total_time(estimate(cells, records).values(), workers)


def total_time(estimates: Iterable[float | None], workers: int = 1) -> TimeEstimate:
    """The time of all cells, shared evenly by `workers` (0, unknown, counts as one); at least that of the longest."""
    found = list(estimates)
    known = [seconds for seconds in found if seconds is not None]
    seconds = max(sum(known) / max(workers, 1), max(known, default=0.0))
    return TimeEstimate(seconds, len(known), len(found) - len(known))


def _from_others(cell: Cell, records: Sequence[Record], size: int | None) -> float | None:
    samples = cell.limit if size is None or cell.limit is None else min(cell.limit, size)
    samples = size if samples is None else samples
    if samples is None:
        return None  # All of a test split that nobody has measured yet.
    same = [record for record in records if (record.cell.method, record.cell.options) == (cell.method, cell.options)]
    if same:
        nearest = min(same, key=lambda record: abs(log(_work(record) / ((cell.T or 1) * samples))))
        return _scaled(nearest, cell, samples)
    # The ANN has one step and no conversion: its time predicts little of methods', and theirs little of it.
    alike = [record for record in records if (record.cell.T is None) == (cell.T is None)]
    return median([_scaled(record, cell, samples) for record in alike or records]) if records else None


def _scaled(record: Record, cell: Cell, samples: int) -> float:
    steps = (cell.T or 1) / (record.cell.T or 1)
    return record.convert_s * steps + record.evaluate_s * steps * samples / _samples(record)


def _work(record: Record) -> int:
    return (record.cell.T or 1) * _samples(record)


def _samples(record: Record) -> int:
    return record.metrics[record.primary_metric].n


def _seconds(record: Record) -> float:
    return record.convert_s + record.evaluate_s
