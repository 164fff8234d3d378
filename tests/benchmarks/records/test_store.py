"""Records are whole or absent, and a damaged one is named."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.records.record import Record, Value
from benchmarks.records.store import DamagedRecord, Store
from benchmarks.references.totals import Totals
from benchmarks.suites.files import load_suite
from conversion.errors import BenchmarkError
from tests.benchmarks.records.edits import edit

CELL = load_suite("smoke").cells()[1]
RECORD = Record(
    cell=CELL, status="done", metrics={"accuracy": Value(value=90, ci_low=88, ci_high=92, n=10)},
    primary_metric="accuracy", curve={1: 80.0, 2: 90.0}, convert_s=1.5, fingerprint={"precision": "float32"},
    provenance={"device": "cpu (x86_64)"},
    totals=Totals(
        steps=2, neurons=10, spikes=20, digits=20, events=20, units=20, synops_unary=200, synops_smallest=200,
        synops_binary=200, synops_graded=200, macs_once=100, macs_step=0, neuron_updates=20, latency_first=1,
        latency_final=2,
    ),
)  # fmt: skip


def test_a_record_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    store = Store(tmp_path, "smoke")
    assert store.load(CELL) is None
    store.save(RECORD)
    assert store.load(CELL) == RECORD
    assert [path.name for path in store.cells.rglob("*.*")] == ["record.json"]


def samples_of(store: Store, record: Record) -> pd.DataFrame:
    samples = store.samples(record)
    assert samples is not None
    return samples


def test_samples_come_back_and_belong_to_their_record(tmp_path: Path) -> None:
    store = Store(tmp_path, "smoke")
    first, second = pd.DataFrame({"outcome": [1.0, 0.0]}), pd.DataFrame({"outcome": [0.0, 0.0]})
    old = store.save(RECORD, first)
    pd.testing.assert_frame_equal(samples_of(store, old), first)
    new = store.save(RECORD, second)
    pd.testing.assert_frame_equal(samples_of(store, new), second)
    assert store.samples(old) is None
    assert sorted(path.name for path in store.cells.rglob("*.*")) == ["record.json", new.samples]
    (store.cells / CELL.id / new.samples).write_bytes(b"damaged")
    assert store.samples(new) is None
    assert store.samples(store.save(RECORD)) is None


@pytest.mark.parametrize("content", ["", "{", '{"schema_version": 1, "status": "done"}', "[]"])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    store = Store(tmp_path, "smoke")
    store.save(RECORD)
    path = next(store.cells.rglob("*.json"))
    path.write_text(content)
    with pytest.raises(BenchmarkError, match=f"{path.name} is damaged"):
        store.load(CELL)


def test_a_record_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path, "smoke")
    store.save(RECORD)
    path = next(store.cells.rglob("*.json"))
    edit(path, lambda content: content.update(schema_version=99))
    with pytest.raises(BenchmarkError, match="newer version"):
        store.load(CELL)


def test_a_write_that_fails_leaves_the_old_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, "smoke")
    store.save(RECORD)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        store.save(RECORD.model_copy(update={"convert_s": 9.0}))
    monkeypatch.undo()
    assert store.load(CELL) == RECORD
    assert len(list(store.cells.rglob("*.*"))) == 1


def test_a_failure_never_takes_the_place_of_what_was_measured(tmp_path: Path) -> None:
    here, there = Store(tmp_path / "a", "smoke"), Store(tmp_path / "b", "smoke")
    failure = Record(cell=CELL, status="failed", reason="no data", cause="impossible")
    there.save(failure)
    assert there.load(CELL) == failure
    assert there.state(CELL) == ("impossible", "no data")
    done = here.save(RECORD, pd.DataFrame({"outcome": [1.0]}))
    here.save(failure)
    assert here.load(CELL) == done
    shutil.copytree(there.folder, here.folder, dirs_exist_ok=True)
    assert here.state(CELL) == ("done", "")
    assert here.samples(done) is not None
    # Measuring it again failed: that is what there is to say, and the old figures stay on disk.
    here.save(failure.model_copy(update={"cause": "error", "reason": "it broke"}))
    assert here.state(CELL) == ("failed", "it broke")
    later = RECORD.model_copy(update={"provenance": RECORD.provenance | {"finished": "2026-11-21T16:00:00"}})
    shutil.rmtree(here.cells)
    here.save(later)
    here.save(failure.model_copy(update={"cause": "error", "provenance": {"finished": "2026-11-20T00:00:00"}}))
    assert here.state(CELL) == ("done", "")
    assert there.save(RECORD) == RECORD
    assert [path.name for path in there.cells.rglob("*.*")] == ["record.json"]


def test_writers_of_one_cell_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    store = Store(tmp_path, "smoke")
    errors: list[BaseException] = []

    def write(value: float) -> None:
        try:
            for number in range(30):
                store.prepare()
                store.save(RECORD.model_copy(update={"convert_s": value}), pd.DataFrame({"outcome": [value, number]}))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(float(value),)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.load(CELL) is not None
    assert list(store.folder.rglob("*.tmp")) == []


def test_leftovers_of_killed_writers_go_after_a_while(tmp_path: Path) -> None:
    store = Store(tmp_path, "smoke")
    store.save(RECORD)
    (tmp_path / "converted").mkdir()
    for beside in (store.cells / CELL.id / "record.json", tmp_path / "converted" / "network.safetensors"):
        old, young = (beside.with_name(f"{beside.name}.{name}.tmp") for name in ("old", "young"))
        old.touch()
        young.touch()
        os.utime(old, (0, 0))
        store.prepare()
        assert not old.exists() and young.exists()


def test_a_record_of_a_method_that_is_not_here_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path, "smoke")
    store.save(RECORD)
    path = next(store.cells.rglob("*.json"))
    edit(path, lambda content: content["cell"].update(method="gone"))
    with pytest.raises(DamagedRecord, match=f"{path.name} cannot be used here: There is no method called 'gone'"):
        store.load(CELL)
    assert list(store.records()) == []
