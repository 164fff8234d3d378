"""The display of a run, and `status` from another shell."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.execution.watch import Watch, duration, outcome, running_table, status
from benchmarks.execution.worker import JobResult
from benchmarks.records.leases import Leases, Running
from benchmarks.records.record import Record, Value
from benchmarks.records.store import Store
from tests.benchmarks.conftest import CellOf
from tests.benchmarks.gate.measurements import save


def text(item: object, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(item)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.4, 89, 90, 3600, 5400, 9000)] == [
        "0 s", "89 s", "2 min", "60 min", "1 h 30 min", "2 h 30 min",
    ]  # fmt: skip


def test_outcomes_in_a_line(digits_cell: CellOf) -> None:
    record = Record(
        cell=digits_cell(), status="done", metrics={"accuracy": Value(value=90, ci_low=88, ci_high=92, n=10)},
        primary_metric="accuracy", convert_s=1.5, evaluate_s=3,
    )  # fmt: skip
    assert outcome(record) == "accuracy 90.00 [88.00, 92.00], converted in 1.5 s, evaluated in 3.0 s"
    assert outcome(Record(cell=digits_cell(), status="failed", reason="it broke")) == "failed: it broke"
    assert outcome(None, "it is lost") == "failed: it is lost"


def test_the_table_tells_what_each_worker_does() -> None:
    started = time.time() - 100
    table = text(
        running_table([
            Running("a", "first", started=started),
            Running("b", "second", total=200, doing="converts: stage 1 of 2, AdaFire", started=started),
            Running("c", "third", total=200, done=50, host="elsewhere", pid=7, started=started),
        ])
    )  # fmt: skip
    first, second, third = table.splitlines()
    assert "loads data" in first and "converts: stage 1 of 2, AdaFire" in second and "50 of 200 samples" in third
    assert "2 min, process 7 on elsewhere" in third and "on" not in first.split("process")[1]


def test_a_log_gets_a_line_for_each_cell(
    tmp_path: Path, digits_cell: CellOf, capsys: pytest.CaptureFixture[str]
) -> None:
    with Watch(Store(tmp_path, "own"), 2, 1, None) as watch:
        watch.finish(digits_cell(), JobResult("failed", "it broke"))
        watch.say("something else")
    assert capsys.readouterr().err.splitlines() == [
        "[1/2] digits digits_convnet calibration T=2 first-20: failed: it broke", "something else",
    ]  # fmt: skip


def test_the_head_counts_and_estimates(tmp_path: Path, digits_cell: CellOf) -> None:
    store = Store(tmp_path, "own")
    with Watch(store, 5, 2, None) as watch, Leases(store).take(digits_cell(T=3)) as lease:  # type: ignore[union-attr]
        assert lease is not None
        assert "left" not in text(watch._table())
        watch.finish(digits_cell(), JobResult("failed", "it broke"))
        watch.started = time.monotonic() - 10
        shown = text(watch._table())
        assert "0 done, 1 failed, 1 running, 3 waiting; about 40 s left" in shown
        assert "calibration T=3" in shown
    with Watch(store, 5, 2, 100) as watch:
        watch.started = time.monotonic() - 10
        assert "about 90 s left" in text(watch._table()) or "about 2 min left" in text(watch._table())


def test_status_tells_of_records_and_of_runs_elsewhere(tmp_path: Path, digits_cell: CellOf) -> None:
    store = Store(tmp_path, "own")
    cells = [digits_cell(T=T) for T in range(1, 7)]
    store.save(Record(cell=cells[0], status="failed", reason="it broke"))
    save(store, cells[1], None)
    for cell in cells[4:]:
        store.save(Record(cell=cell, status="failed", reason="no data", cause="impossible"))
    (store.cells / cells[2].id).mkdir()
    (store.cells / cells[2].id / "record.json").write_text("{")
    console = Console(file=io.StringIO(), width=200)
    lease = Leases(store).take(cells[3])
    assert lease is not None
    with lease:
        status(cells, store, console)
    file = console.file
    assert isinstance(file, io.StringIO)
    shown = file.getvalue()
    assert "6 cells: 1 done, 2 failed, 2 impossible, 1 missing" in shown
    assert shown.count("no data") == 1 and "impossible: 2 cells: no data" in shown
    assert "T=1 first-20: it broke" in shown and "damaged" in shown
    assert "1 running" in shown and "T=4 first-20" in shown
    console = Console(file=io.StringIO(), width=200)
    status(cells, store, console)
    assert isinstance(console.file, io.StringIO) and "nothing is running" in console.file.getvalue()
