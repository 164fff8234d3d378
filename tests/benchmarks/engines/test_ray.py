"""The engine for clusters on a real one: two Ray nodes on this machine."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.engines import EngineMissing, Ray, make_engine
from benchmarks.engines.runner import run
from benchmarks.execution.worker import Job, Settings
from benchmarks.records.leases import Leases
from benchmarks.records.store import Store
from conversion.errors import BenchmarkError
from tests.benchmarks.conftest import CellOf

ray = pytest.importorskip("ray", reason="Ray comes with the extra 'cluster'")
cluster_utils = pytest.importorskip("ray.cluster_utils")

pytestmark = [pytest.mark.slow, pytest.mark.waits]


@pytest.fixture
def cluster(misbehaving: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    # Ray's processes give way to all others, so that beside other tests they would hardly run.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_node_that_dies_in_mid_run_costs_nothing(cluster: Any, tmp_path: Path, digits_cell: CellOf) -> None:
    second = cluster.add_node(num_cpus=1)
    cells = [digits_cell("misbehaving", how="slow", T=T) for T in range(1, 7)]
    cells.append(digits_cell("misbehaving", how="bug"))
    store = Store(tmp_path, "own")
    leases = Leases(store)
    seen: set[int] = set()

    def kill() -> None:
        # Both nodes are at work, and one cell is finished.
        while len(seen) < 2 or not any(True for _ in store.records()):
            seen.update(running.pid for running in leases.running() if running.total)
            time.sleep(0.02)
        cluster.remove_node(second, allow_graceful=False)

    thread = threading.Thread(target=kill)
    thread.start()
    # So much that the first cell of a process, which loads everything, is not late on a busy machine.
    engine = Ray(None, time_limit=900, address=cluster.address)
    ended = run([Job(cell, tmp_path, "own", Settings()) for cell in cells], engine, store)
    thread.join()
    # Nothing lost and nothing twice.
    assert Counter(job.cell.id for job, _ in ended) == Counter(cell.id for cell in cells)
    records = [store.load(cell) for cell in cells]
    assert [record.status for record in records if record is not None] == [*["done"] * 6, "failed"]
    assert records[-1] is not None and records[-1].reason == "RuntimeError: it broke"
    assert not ray.is_initialized()


def test_a_job_that_takes_too_long_is_ended(cluster: Any, tmp_path: Path, digits_cell: CellOf) -> None:
    cell = digits_cell("misbehaving", how="hang")
    store = Store(tmp_path, "own")
    run([Job(cell, tmp_path, "own", Settings())], Ray(None, time_limit=5, address=cluster.address), store)
    record = store.load(cell)
    assert record is not None
    assert (record.status, record.reason) == ("failed", "took longer than the time limit of 5 s")


@pytest.mark.parametrize(("address", "joined"), [(None, "local"), ("auto", "auto"), ("10.0.0.1:6379", "10.0.0.1:6379")])
def test_only_a_cluster_that_was_named_is_joined_c11(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, digits_cell: CellOf, address: str | None, joined: str
) -> None:
    """Somebody's cluster on this machine, or in RAY_ADDRESS, is none of ours."""
    asked: list[Any] = []

    def init(given: Any, **_: Any) -> None:
        asked.append(given)
        raise RuntimeError("no cluster, for this test")

    monkeypatch.setenv("RAY_ADDRESS", "10.9.9.9:6379")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(BenchmarkError, match="There is no Ray cluster"):
        next(Ray(None, 60, address=address).run([Job(digits_cell(), tmp_path, "own", Settings())]))
    assert asked == [joined]


def test_a_missing_engine_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(EngineMissing, match=r"Engine ray needs the extra 'cluster': pip install .*\[cluster\]"):
        make_engine("ray", time_limit=1)
