"""The display of a run: a live table on a terminal, a line for each cell in a log; and `status` for another shell."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from benchmarks.execution.worker import JobResult
from benchmarks.records.leases import Leases, Running
from benchmarks.records.reading import Results
from benchmarks.records.record import Record
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from benchmarks.text import one_line, printable


class Watch:
    """Shows a run while its `with` block lasts.

    Args:
        store: the store, whose leases are the cells that are being measured.
        total: number of cells to measure.
        workers: number of cells measured at once; 0 if unknown.
        seconds: estimated time of the run; None if unknown.
    """

    def __init__(self, store: Store, total: int, workers: int, seconds: float | None) -> None:
        self.store, self.total, self.workers, self.seconds = store, total, workers, seconds
        self.done = self.failed = 0
        self.started = time.monotonic()
        self.console = Console(stderr=True)
        self.live = Live(
            console=self.console,
            get_renderable=self._table,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> Self:
        if self.console.is_terminal and self.total:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def finish(self, cell: Cell, result: JobResult) -> None:
        """Counts a cell that ended, and prints a line on it."""
        self.done += result.status == "done"
        self.failed += result.status == "failed"
        state, reason, record = self.store.look_up(cell) if result.status == "done" else ("failed", result.reason, None)
        said = outcome(record if state == "done" else None, reason)
        self.say(f"[{self.done + self.failed}/{self.total}] {cell.label}: {said}")

    def say(self, line: str) -> None:
        """Prints a line above the table, or to the log."""
        line = printable(line)
        if self.live.is_started:
            self.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def _table(self) -> RenderableType:
        running = list(Leases(self.store).running())
        head = f"{self.done} done, {self.failed} failed, {len(running)} running, "
        head += f"{self.total - self.done - self.failed - len(running)} waiting{self._left()}"
        return Group(running_table(running), Text(head))

    def _left(self) -> str:
        spent, finished = time.monotonic() - self.started, self.done + self.failed
        if self.seconds is not None:
            left = self.seconds - spent
        elif finished:
            left = spent / finished * (self.total - finished)
        else:
            return ""
        return f"; about {duration(max(left, 0))} left"


def outcome(record: Record | None, reason: str = "") -> str:
    """The outcome of a cell in a line."""
    if record is None or record.status == "failed":
        return f"failed: {reason if record is None else record.reason}"
    value = record.metrics[record.primary_metric]
    seconds = f"converted in {record.convert_s:.1f} s, evaluated in {record.evaluate_s:.1f} s"
    return f"{record.primary_metric} {value.value:.2f} [{value.ci_low:.2f}, {value.ci_high:.2f}], {seconds}"


def running_table(running: Sequence[Running]) -> Table:
    """A table of the cells that are being measured: their conversion, then their progress over the test split."""
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    for item in running:
        what = "loads data" if not item.total else item.doing or f"{item.done} of {item.total} samples"
        where = "" if item.host == socket.gethostname() else f" on {item.host}"
        bar = ProgressBar(total=item.total or 1, completed=item.done, width=20)
        # A clock that was corrected since must not show less than nothing.
        process = f"{duration(max(time.time() - item.started, 0))}, process {item.pid}{where}"
        label, doing, holder = (Text(one_line(said)) for said in (item.label, what, process))
        table.add_row(label, bar, doing, holder)
    return table


def status(cells: Sequence[Cell], store: Results, console: Console) -> None:
    """Prints the state of a suite's cells and those that are being measured, by any run."""
    counts = {"done": 0, "failed": 0, "impossible": 0, "missing": 0}
    failed, impossible = [], dict[str, int]()
    for cell in cells:
        state, reason = store.state(cell)
        counts[state] += 1
        if state == "failed":
            failed.append(f"{cell.label}: {reason}")
        elif state == "impossible":  # Data or weights that are absent keep many cells from being measured.
            impossible[reason] = impossible.get(reason, 0) + 1
    running = list(Leases(store).running())
    console.print(f"{len(cells)} cells: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    for line in failed:
        console.print(f"failed: {one_line(line)}", highlight=False, markup=False)
    for reason, count in impossible.items():
        console.print(f"impossible: {count} cells: {one_line(reason)}", highlight=False, markup=False)
    console.print(f"{len(running)} running" if running else "nothing is running")
    if running:
        console.print(running_table(running))


def duration(seconds: float) -> str:
    """Seconds for people: "45 s", "3 min", "2 h 05 min"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
