"""Runs the cells of a suite one after another and writes its tables."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.cells import Cell
from benchmarks.execute import Workbench
from benchmarks.records import Record
from benchmarks.store import Store
from conversion.errors import BenchmarkError

Rerun = Literal["missing", "failed", "stale", "all"]


@dataclass(frozen=True)
class Planned:
    """A cell and why it will or will not be run: new, done, failed, or stale (with the inputs that changed)."""

    cell: Cell
    state: Literal["new", "done", "stale", "failed"]
    changed: tuple[str, ...] = ()


def plan(cells: Sequence[Cell], bench: Workbench, store: Store) -> list[Planned]:
    """Compares cells with the store. Loads every network and task, so that bad input is refused before work starts."""
    planned = []
    for cell in cells:
        fingerprint = bench.fingerprint(cell)
        record = store.load(cell)
        if record is None:
            planned.append(Planned(cell, "new"))
        elif record.status == "failed":
            planned.append(Planned(cell, "failed"))
        else:
            changed = tuple(key for key, value in fingerprint.items() if record.fingerprint.get(key) != value)
            planned.append(Planned(cell, "stale" if changed else "done", changed))
    return planned


def due(planned: Sequence[Planned], rerun: Rerun) -> list[Cell]:
    """The cells to run: new ones always, and with "failed", "stale" or "all" those too."""
    states = {"missing": {"new"}, "failed": {"new", "failed"}, "stale": {"new", "failed", "stale"}}
    wanted = states.get(rerun, {"new", "failed", "stale", "done"})
    return [item.cell for item in planned if item.state in wanted]


def run(cells: Sequence[Cell], bench: Workbench, store: Store) -> list[Record]:
    """Measures cells and stores a record of each as soon as it is there. A failure is a record with its reason."""
    records = []
    total = sum(bench.task(cell.task).test_size(cell.limit) for cell in cells)
    with _progress(total) as show:
        for number, cell in enumerate(cells, 1):
            show.begin(f"[{number}/{len(cells)}] {cell.label}")
            try:
                measured = bench.measure(cell, show.advance)
                record = store.save(measured.record, measured.samples)
            except Exception as error:  # Whatever goes wrong in one cell, the others go on.
                reason = str(error) if isinstance(error, BenchmarkError) else f"{type(error).__name__}: {error}"
                reason = next(iter(reason.splitlines()), type(error).__name__)
                if not isinstance(error, BenchmarkError):
                    traceback.print_exc()
                record = Record(cell=cell, status="failed", reason=reason, fingerprint=bench.fingerprint(cell))
                store.save(record)
            records.append(record)
            show.end(_summary(record))
    return records


def _summary(record: Record) -> str:
    if record.status == "failed":
        return f"failed: {record.reason}"
    value = record.metrics[record.primary_metric]
    seconds = f"converted in {record.convert_s:.1f} s, evaluated in {record.evaluate_s:.1f} s"
    return f"{record.primary_metric} {value.value:.2f} [{value.ci_low:.2f}, {value.ci_high:.2f}], {seconds}"


class _Show:
    """Progress of a run: a bar on a terminal, a line for each cell in a log."""

    def __init__(self, bar: Progress | None, total: int) -> None:
        self.bar = bar
        self.label = ""
        self.task = bar.add_task("", total=total) if bar is not None else None

    def begin(self, label: str) -> None:
        self.label = label
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, description=label)

    def advance(self, samples: int) -> None:
        if self.bar is not None and self.task is not None:
            self.bar.advance(self.task, samples)

    def end(self, summary: str) -> None:
        if self.bar is not None:
            self.bar.console.print(f"{self.label}: {summary}", highlight=False, markup=False)
        else:
            print(f"{self.label}: {summary}", file=sys.stderr, flush=True)


@contextmanager
def _progress(total: int) -> Iterator[_Show]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Show(None, total)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("samples"), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}", markup=False), *columns, console=console) as bar:
        yield _Show(bar, total)
