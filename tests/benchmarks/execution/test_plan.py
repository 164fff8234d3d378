"""The plan says of every cell what it is and why."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.choices import Rerun
from benchmarks.engines import Inline
from benchmarks.engines.runner import run
from benchmarks.execution.plan import Planned, cells_to_run, impossible_cells, plan, summary
from benchmarks.execution.workbench import Workbench
from benchmarks.execution.worker import Job, Settings, workbench
from benchmarks.records.record import Record
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from conversion.errors import BenchmarkError
from tests.benchmarks.conftest import CellOf


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return workbench(Settings())


@pytest.fixture
def cells(digits_cell: CellOf) -> list[Cell]:
    return [digits_cell("burst", phi=phi) for phi in (1, 2, 3)]


@pytest.fixture
def store(tmp_path: Path, cells: list[Cell]) -> Store:
    run([Job(cell, tmp_path, "own", Settings()) for cell in cells], Inline(), Store(tmp_path, "own"))
    return Store(tmp_path, "own")


def states(planned: list[Planned]) -> list[str]:
    return [item.state for item in planned]


@pytest.mark.slow
def test_new_done_stale_and_failed(bench: Workbench, store: Store, cells: list[Cell]) -> None:
    assert states(plan(cells, bench, store)) == ["done"] * 3
    record = store.load(cells[1])
    assert record is not None
    store.save(record.model_copy(update={"fingerprint": record.fingerprint | {"weights": "other", "data": "other"}}))
    shutil.rmtree(store.cells / cells[0].id)
    shutil.rmtree(store.cells / cells[2].id)
    store.save(Record(cell=cells[2], status="failed", reason="it broke"))
    assert plan(cells, bench, store) == [
        Planned(cells[0], "new"), Planned(cells[1], "stale", "weights, data"), Planned(cells[2], "failed", "it broke"),
    ]  # fmt: skip
    assert summary(plan(cells, bench, store)) == "3 cells: 1 new, 1 stale, 1 failed"


@pytest.mark.slow
def test_a_damaged_record_is_named_and_measured_again(bench: Workbench, store: Store, cells: list[Cell]) -> None:
    path = store.cells / cells[0].id / "record.json"
    before = path.read_text()
    path.write_text(before[:1000])
    (item, *others) = plan(cells, bench, store)
    assert item.state == "failed" and f"The record {path} is damaged" in item.reason
    assert states(others) == ["done", "done"]
    to_run = cells_to_run([item, *others], "failed")
    run([Job(cell, store.folder.parent, "own", Settings()) for cell in to_run], Inline(), store)
    assert states(plan(cells, bench, store)) == ["done"] * 3


@pytest.mark.slow
def test_a_record_in_the_folder_of_another_is_damaged(bench: Workbench, store: Store, cells: list[Cell]) -> None:
    shutil.copy(store.cells / cells[0].id / "record.json", store.cells / cells[1].id / "record.json")
    assert states(plan(cells, bench, store)) == ["done", "failed", "done"]


def test_missing_data_and_weights_are_impossible_and_why(bench: Workbench, tmp_path: Path, cells: list[Cell]) -> None:
    elsewhere = cells[0].model_copy(update={"task": "cifar10", "network": "resnet20"})
    (item, *others) = plan([elsewhere, *cells], bench, Store(tmp_path, "empty"))
    assert item.state == "impossible" and "No data root was given" in item.reason
    assert states(others) == ["new"] * 3
    assert elsewhere not in cells_to_run([item, *others], "all")
    assert impossible_cells([item, *others]) == [item]
    with pytest.raises(BenchmarkError, match="No data root was given"):
        impossible_cells([item])


def test_what_was_impossible_and_is_no_more_is_new(bench: Workbench, tmp_path: Path, cells: list[Cell]) -> None:
    store = Store(tmp_path, "own")
    store.save(Record(cell=cells[0], status="failed", reason="no data", cause="impossible"))
    assert plan(cells[:1], bench, store) == [Planned(cells[0], "new")]


def test_what_was_measured_stays_done_where_its_data_are_missing(
    bench: Workbench, store: Store, cells: list[Cell]
) -> None:
    elsewhere = cells[0].model_copy(update={"task": "cifar10", "network": "resnet20"})
    record = store.load(cells[0])
    assert record is not None
    store.save(record.model_copy(update={"cell": elsewhere}))
    (item,) = plan([elsewhere], bench, store)
    assert item.state == "done" and "No data root" in item.reason


@pytest.mark.parametrize(
    ("rerun", "expected"),
    [("missing", "n"), ("failed", "nf"), ("stale", "nsf"), ("all", "ndsf")],
)
def test_what_is_run_again(cells: list[Cell], rerun: Rerun, expected: str) -> None:
    planned = [Planned(cells[0], state) for state in ("new", "done", "stale", "failed", "impossible")]
    assert len(cells_to_run(planned, rerun)) == len(expected)
    assert {item.state[0] for item in planned if cells_to_run([item], rerun)} == set(expected)


def test_two_stores_copied_together_are_one(bench: Workbench, store: Store, cells: list[Cell], tmp_path: Path) -> None:
    first, second = Store(tmp_path / "a", "own"), Store(tmp_path / "b", "own")
    for cell, part in zip(cells, (first, second, second), strict=True):
        shutil.copytree(store.cells / cell.id, part.cells / cell.id)
    shutil.copytree(second.folder, first.folder, dirs_exist_ok=True)
    assert states(plan(cells, bench, first)) == ["done"] * 3
    records = [first.load(cell) for cell in cells]
    assert all(record is not None and first.samples(record) is not None for record in records)


def test_a_network_that_breaks_is_impossible_and_the_others_are_planned(
    bench: Workbench, store: Store, cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a bug in somebody's network")

    real = bench.fingerprint
    monkeypatch.setattr(bench, "fingerprint", lambda cell: broken() if cell == cells[0] else real(cell))
    monkeypatch.setattr(store, "look_up", lambda cell: ("missing", "", None))
    assert [(item.state, item.reason) for item in plan(cells, bench, store)] == [
        ("impossible", "ValueError: a bug in somebody's network"), ("new", ""), ("new", ""),
    ]  # fmt: skip
