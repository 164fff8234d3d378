"""Whatever happens to one cell is a row with a reason, and the others go on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest
from pebble.pool.process import WorkerManager

from benchmarks.engines import Engine, Inline, Local, make_engine
from benchmarks.engines.base import usual_workers
from benchmarks.engines.local import _initialise_worker, exit_reason
from benchmarks.engines.runner import run
from benchmarks.execution.worker import Job, JobResult, Settings, run_job, workbench
from benchmarks.records.leases import Leases
from benchmarks.records.machine import cores
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from conversion.errors import BenchmarkError
from tests.benchmarks.conftest import CellOf

pytestmark = [pytest.mark.slow, pytest.mark.waits, pytest.mark.usefixtures("misbehaving")]
# Seconds for a cell that is not about time: the first of a process loads everything, on a busy machine slowly.
AMPLE = 600


def jobs(cells: Sequence[Cell], folder: Path) -> list[Job]:
    return [Job(cell, folder, "own", Settings()) for cell in cells]


def outcomes(cells: Sequence[Cell], folder: Path) -> list[tuple[str, str]]:
    """Status and reason of every cell, as stored."""
    records = [Store(folder, "own").load(cell) for cell in cells]
    return [(record.status, record.reason) if record is not None else ("missing", "") for record in records]


def test_every_way_to_go_wrong_is_a_row_with_its_reason(tmp_path: Path, digits_cell: CellOf) -> None:
    ways = ("exit", "kill", "memory", "hang", "bug", "nan")
    cells = [digits_cell("misbehaving", how=how) for how in ways]
    cells.insert(3, digits_cell("burst", phi=2))
    cells += [digits_cell("burst", phi=4), digits_cell("misbehaving", network="unsupported", how="slow")]
    store, started = Store(tmp_path, "own"), time.monotonic()
    ended = run(jobs(cells[:3] + cells[5:], tmp_path), Local(2, AMPLE), store)
    # Three processes died and were replaced meanwhile, at most two at a time: half of what all of these took is enough
    # to start one and measure a cell, however slow and busy the machine is.
    limit = 5 + round((time.monotonic() - started) / 2)
    ended += run(jobs(cells[3:5], tmp_path), Local(2, limit), store)
    assert sorted(job.cell.id for job, _ in ended) == sorted(cell.id for cell in cells)
    found = outcomes(cells, tmp_path)
    assert [status for status, _ in found] == [*["failed"] * 3, "done", *["failed"] * 3, "done", "failed"]
    reasons = [reason for status, reason in found if status == "failed"]
    assert reasons[0] == "its process ended with exit status 7"
    assert reasons[1] == "its process was killed (SIGKILL); most often the machine was out of memory"
    assert reasons[2].startswith("out of memory")
    assert reasons[3] == f"took longer than the time limit of {limit} s"
    assert reasons[4] == "RuntimeError: it broke"
    assert reasons[5] == "The network's output is not finite."
    assert "no weights of unsupported" in reasons[6]
    assert list(Leases(Store(tmp_path, "own")).running()) == []


def test_a_worker_killed_from_outside_loses_its_cell_only(tmp_path: Path, digits_cell: CellOf) -> None:
    cells = [digits_cell("misbehaving", how="slow"), *(digits_cell("burst", phi=phi) for phi in (1, 2, 3, 4, 5))]
    leases = Leases(Store(tmp_path, "own"))

    def kill() -> None:
        while not (slow := [r for r in leases.running() if r.cell == cells[0].id and r.total]):
            time.sleep(0.01)
        os.kill(slow[0].pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    run(jobs(cells, tmp_path), Local(2, AMPLE), Store(tmp_path, "own"))
    thread.join()
    assert [status for status, _ in outcomes(cells, tmp_path)] == ["failed", *["done"] * 5]
    # A second attempt is all it takes.
    run(jobs(cells[:1], tmp_path), Local(1, AMPLE), Store(tmp_path, "own"))
    assert outcomes(cells[:1], tmp_path) == [("done", "")]


def test_a_worker_killed_while_it_starts_is_started_again(
    tmp_path: Path, digits_cell: CellOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pebble's pool is broken when a process dies before it has said its number."""
    start, failures = WorkerManager.new_worker, iter([True, True, False])

    def new_worker(self: WorkerManager) -> None:
        if next(failures, False):
            raise BrokenProcessPool
        start(self)

    monkeypatch.setattr(WorkerManager, "new_worker", new_worker)
    run(jobs([digits_cell()], tmp_path), Local(1, AMPLE), Store(tmp_path, "own"))
    assert outcomes([digits_cell()], tmp_path) == [("done", "")]
    failures = iter([True] * 100)
    with pytest.raises(BenchmarkError, match="killed 5 times while it started"):
        run(jobs([digits_cell(T=3)], tmp_path), Local(1, AMPLE), Store(tmp_path, "own"))


def test_processes_are_used_again_and_gone_afterwards(tmp_path: Path, digits_cell: CellOf) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    cells = [digits_cell("burst", phi=phi) for phi in range(1, 9)]
    ended = list(Local(2, AMPLE).run(jobs(cells, tmp_path)))
    assert [result for _, result in ended] == [JobResult("done")] * 8
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    # What stays are the two helpers of multiprocessing, which serve the whole process.
    assert not any("pebble" in child.name() for child in left) and len(left) <= 2
    threads = {record.provenance["threads"] for cell in cells if (record := Store(tmp_path, "own").load(cell))}
    assert threads == {str(max(1, cores() // 2))}


def test_a_closed_run_stops_its_processes(tmp_path: Path, digits_cell: CellOf) -> None:
    cells = [digits_cell("burst", phi=1), digits_cell("misbehaving", how="hang")]
    results = Local(1, AMPLE).run(jobs(cells, tmp_path))
    assert next(results)[1] == JobResult("done")
    started = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < AMPLE / 2  # It would hang up to the limit.
    assert list(Leases(Store(tmp_path, "own")).running()) == []


@pytest.mark.parametrize("engine", [Inline(), Local(1, AMPLE)])
def test_what_another_run_holds_is_waited_for(tmp_path: Path, digits_cell: CellOf, engine: Engine) -> None:
    cells = [digits_cell("burst", phi=1), digits_cell("burst", phi=2)]
    store = Store(tmp_path, "own")
    theirs = Leases(store).take(cells[0])
    assert theirs is not None
    theirs.__enter__()

    def finish() -> None:
        while store.load(cells[1]) is None:
            time.sleep(0.05)
        # The other run's record is taken over, not measured again.
        done = store.load(cells[1])
        assert done is not None
        own = {"cell": cells[0], "fingerprint": workbench(Settings()).fingerprint(cells[0])}
        store.save(done.model_copy(update=own | {"provenance": {"device": "theirs"}}))
        theirs.__exit__()

    thread = threading.Thread(target=finish)
    thread.start()
    run(jobs(cells, tmp_path), engine, store)
    thread.join()
    record = store.load(cells[0])
    assert record is not None and record.provenance == {"device": "theirs"}


def test_two_runs_on_one_store_share_the_work(tmp_path: Path, digits_cell: CellOf) -> None:
    cells = [digits_cell("burst", phi=phi) for phi in range(1, 9)]
    both: list[list[tuple[Job, JobResult]]] = [[], []]

    def one(index: int) -> None:
        both[index] = run(jobs(cells, tmp_path), Inline(), Store(tmp_path, "own"))

    threads = [threading.Thread(target=one, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(ended) for ended in both] == [8, 8]
    assert outcomes(cells, tmp_path) == [("done", "")] * 8
    assert len(list(Store(tmp_path, "own").cells.iterdir())) == 8


def test_an_unwritable_store_ends_the_run_with_a_sentence(
    tmp_path: Path, digits_cell: CellOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = jobs([digits_cell()], tmp_path)[0]

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "record.json")

    monkeypatch.setattr(Store, "save", full_disk)
    assert run_job(job) == JobResult("unwritable", "record.json cannot be written: No space left on device.")
    with pytest.raises(BenchmarkError, match=r"record.json cannot be written: No space left .* 0 cells are stored"):
        run([job], Inline(), Store(tmp_path, "own"))


def test_engines_by_name_and_their_usual_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_engine("inline", time_limit=1), Inline)
    assert make_engine("local", workers=3, time_limit=1).workers == 3
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    assert usual_workers("cpu") == min(cores(), 4)
    assert usual_workers("cuda") == 8
    assert usual_workers("cuda:1") == 1


def test_reasons_of_death() -> None:
    assert exit_reason(-signal.SIGSEGV) == "its process was killed (SIGSEGV)"
    assert exit_reason(3) == "its process ended with exit status 3"


def test_options_that_an_engine_does_not_have_are_refused() -> None:
    with pytest.raises(BenchmarkError, match="add --engine ray"):
        make_engine("local", time_limit=1, address="host:1")
    with pytest.raises(BenchmarkError, match="drop --workers"):
        make_engine("inline", time_limit=1, workers=2)


@pytest.mark.parametrize(("visible", "expected"), [("", "1"), ("2,3", "3"), ("GPU-a,GPU-b", "GPU-b")])
def test_gpus_are_shared_out_of_those_that_may_be_seen(
    monkeypatch: pytest.MonkeyPatch, visible: str, expected: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr("benchmarks.engines.local.watch_over", lambda *_: None)
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    _initialise_worker(3, 4, 2, 0, 0.0)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == expected
