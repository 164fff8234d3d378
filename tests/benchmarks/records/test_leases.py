"""Leases: one holder at a time, a heartbeat, and an end when the holder is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.records import leases as module
from benchmarks.records.leases import EXPIRY, Lease, Leases, alive, born, watch_over
from benchmarks.records.store import Store
from benchmarks.suites.files import load_suite
from tests.benchmarks.records.edits import edit

CELLS = load_suite("smoke").cells()


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    return Leases(Store(tmp_path, "smoke"))


def taken(leases: Leases, cell: int = 0) -> Lease:
    lease = leases.take(CELLS[cell])
    assert lease is not None
    return lease


def test_one_holder_at_a_time_and_free_again_afterwards(leases: Leases) -> None:
    with taken(leases):
        assert leases.held(CELLS[0])
        assert leases.take(CELLS[0]) is None
        assert not leases.held(CELLS[1])
        with taken(leases, 1):
            assert [running.cell for running in leases.running()] == sorted(cell.id for cell in CELLS[:2])
    assert not leases.held(CELLS[0])
    assert list(leases.folder.iterdir()) == []


def test_of_many_at_once_one_gets_it(leases: Leases) -> None:
    got: list[Lease] = []
    gate = threading.Barrier(16)

    def try_it() -> None:
        gate.wait()
        lease = leases.take(CELLS[0])
        if lease is not None:
            got.append(lease)

    threads = [threading.Thread(target=try_it) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_a_lease_of_a_dead_process_is_anybodys(leases: Leases) -> None:
    lease = taken(leases)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    _rewrite(lease, pid=dead.pid)
    assert not leases.held(CELLS[0])
    assert list(leases.running()) == []
    again = taken(leases)
    assert again.running.token != lease.running.token
    assert json.loads(lease.path.read_text())["token"] == again.running.token


def test_a_number_of_a_process_that_is_used_again_does_not_count(leases: Leases) -> None:
    lease = taken(leases)
    _rewrite(lease, born=born(os.getpid()) - 1)
    assert not leases.held(CELLS[0])


def test_without_a_heartbeat_a_lease_of_another_machine_expires(leases: Leases) -> None:
    lease = taken(leases)
    _rewrite(lease, host="elsewhere", system="another boot")
    assert leases.held(CELLS[0])
    long_ago = time.time() - EXPIRY - 1
    os.utime(lease.path, (long_ago, long_ago))
    assert not leases.held(CELLS[0])
    assert leases.take(CELLS[0]) is not None


def test_the_heartbeat_tells_of_progress_and_keeps_the_lease(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", 0.01)
    with taken(leases) as lease:
        os.utime(lease.path, (0, 0))
        lease.total = 20
        lease.advance(5)
        lease.advance(2)
        assert _eventually(lambda: [(r.done, r.total) for r in leases.running()] == [(7, 20)])


def test_who_lost_a_lease_leaves_the_new_holders_alone(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", 0.01)
    lease = taken(leases)
    content = _rewrite(lease, token="other")
    with lease:
        time.sleep(0.1)
        assert lease.path.read_text() == content
    assert lease.path.read_text() == content


def test_a_worker_ends_when_its_run_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", 0.01)
    run = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ended = threading.Event()
    watch_over(run.pid, born(run.pid), ended.set)
    assert not ended.wait(0.2)
    run.kill()
    run.wait()
    assert ended.wait(60)


@pytest.mark.parametrize("moved", [-7200.0, -3600.0, 3600.0, 7200.0])
def test_a_corrected_clock_ends_nobody_c10(leases: Leases, monkeypatch: pytest.MonkeyPatch, moved: float) -> None:
    with taken(leases):
        true = time.time
        monkeypatch.setattr(time, "time", lambda: true() + moved)
        # As psutil has it, which adds the time of the boot by the present clock.
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: true() + moved)
        assert leases.held(CELLS[0])
        assert leases.take(CELLS[0]) is None


def test_the_start_of_a_process_is_told_from_any_other_c10() -> None:
    assert alive(os.getpid(), born(os.getpid())) and not alive(os.getpid(), born(os.getpid()) + 1)
    assert not alive(2**31 - 1, 0.0)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    since = born(child.pid)
    assert alive(child.pid, since) and since >= born(os.getpid())
    child.kill()
    # Also before its status was asked for.
    assert _eventually(lambda: not alive(child.pid, since))
    child.wait()


@pytest.mark.parametrize(
    ("system", "age", "held"),
    [
        ("another boot", -7200.0, False), ("another boot", -2.0, True), ("another boot", 30.0, True),
        ("another boot", 7200.0, False), (None, -7200.0, True), (None, 7200.0, True),
    ],
)  # fmt: skip
def test_the_age_of_a_heartbeat_counts_only_elsewhere_c10(
    leases: Leases, system: str | None, age: float, held: bool
) -> None:
    """None stands for this system, whose process lives whatever its lease's age."""
    lease = taken(leases)
    if system is not None:
        _rewrite(lease, system=system)
    then = time.time() - age
    os.utime(lease.path, (then, then))
    assert leases.held(CELLS[0]) == held
    assert (leases.take(CELLS[0]) is None) == held


def test_the_same_host_name_and_process_number_in_another_container_c10(leases: Leases) -> None:
    """Its process is none of ours: neither does one of ours with that number keep it, nor does its absence free it."""
    boot = module.this_system().rpartition(" ")[0]
    lease = taken(leases)
    _rewrite(lease, system=f"{boot} 4026530000", pid=2**31 - 1)
    assert leases.held(CELLS[0])
    _rewrite(lease, system=f"{boot} 4026530000", pid=os.getpid())
    then = time.time() - EXPIRY - 1
    os.utime(lease.path, (then, then))
    assert not leases.held(CELLS[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": "x"}, {"pid": "1"}, {"pid": -1}, {"pid": 10**30}, {"born": "then"}, {"started": float("nan")},
        {"done": None}, {"total": -1}, {"doing": 3}, {"more": 1}, {"cell": ["a"]},
    ],
    ids=str,
)  # fmt: skip
def test_a_lease_that_no_run_writes_is_none_c7(leases: Leases, changes: dict[str, object]) -> None:
    lease = taken(leases)
    _rewrite(lease, **changes)
    assert list(leases.running()) == [] and not leases.held(CELLS[0])
    assert leases.take(CELLS[0]) is not None


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 10_000, b"\xff\xfe", b'{"pid": 1}'])
def test_a_file_that_is_no_lease_is_none_c7(leases: Leases, content: bytes) -> None:
    lease = taken(leases)
    lease.path.write_bytes(content)
    assert not leases.held(CELLS[0])
    assert leases.take(CELLS[0]) is not None


def _rewrite(lease: Lease, **changes: object) -> str:
    # As a heartbeat does it: whole.
    temporary = lease.path.with_suffix(".new")
    temporary.write_bytes(lease.path.read_bytes())
    edit(temporary, lambda content: content.update(changes))
    os.replace(temporary, lease.path)
    return lease.path.read_text()


def _eventually(condition: object) -> bool:
    assert callable(condition)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False
