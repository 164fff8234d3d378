"""Runs that are killed at random: `python -m tests.benchmarks.engines.killing --kills 300`.

One to three runs measure into one store. Again and again one of them, or one of the processes that it has started, gets
SIGKILL. No record may be lost, changed or doubled by that; when all cells are measured, each is compared with the same
cell of a run that nobody disturbed, and the next store begins.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout, suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.engines import Inline
from benchmarks.engines.runner import run
from benchmarks.execution.worker import Job, Settings
from benchmarks.records.leases import Leases
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from benchmarks.suites.files import load_suite
from run_all import main

TIMINGS = {"convert_s", "evaluate_s", "provenance"}
SUITE = """
name: killing
title: Small cells
calibration: 16
entries:
  - tasks: [digits]
    networks: [digits_convnet]
    methods: [{burst: {phi: 2, light: false, thresholds: max}}, {burst: {phi: 4}}, calibration]
    T: [1, 2, 3, 4, 5]
    seeds: [0, 1, 2, 3]
    limit: 200
"""


def command(argv: list[str]) -> None:
    """The command line in a process of its own, in which torch is imported already."""
    torch.set_num_threads(1)  # As in the run that is not disturbed.
    sys.argv = ["run_all.py", *argv]
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        main()


def start(argv: list[str]) -> ForkServerProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "benchmarks.engines.local", "benchmarks.api", "run_all"])
    process = context.Process(target=command, args=(argv,))
    process.start()
    return process


def contents(store: Store, cells: list[Cell]) -> list[tuple[dict[str, Any], list[list[Any]]]]:
    """What is recorded of each cell, but for times."""
    found = []
    for cell in cells:
        record = store.load(cell)
        assert record is not None, f"nothing is recorded of {cell.id}"
        samples = store.samples(record)
        assert samples is not None, f"the samples of {cell.id} are not there"
        found.append((record.model_dump(exclude=TIMINGS), samples.to_numpy().tolist()))
    return found


def recorded(store: Store) -> int:
    return sum(True for _ in store.cells.glob("*/record.json"))


def undisturbed(folder: Path, name: str, cells: list[Cell]) -> list[tuple[dict[str, Any], list[list[Any]]]]:
    """What is recorded where nobody disturbs."""
    store = Store(folder, name)
    run([Job(cell, folder, name, Settings()) for cell in cells], Inline(), store)
    return contents(store, cells)


def victim(chance: random.Random, runs: list[ForkServerProcess]) -> psutil.Process | None:
    """One of the runs or of their workers, if any is alive.

    Both are children of the server that forks them, which is a child of this process, as is Python's resource tracker.
    """
    processes = [process for server in psutil.Process().children() for process in server.children(recursive=True)]
    started = {process.pid for process in runs}
    kinds = [[one for one in processes if (one.pid in started) is run] for run in (True, False)]
    kinds = [kind for kind in kinds if kind]
    return chance.choice(chance.choice(kinds)) if kinds else None


def disturbed(chance: random.Random, suite: Path, folder: Path, cells: list[Cell], kills: int) -> Counter[str]:
    """Runs a suite under at most so many kills until all is measured; what was killed.

    Raises:
        AssertionError: a record was changed, a run failed that nobody killed, or a lease is left.
    """
    store, killed = Store(folder, "killing"), Counter[str]()
    argv = ["run", "--suite", str(suite), "--results", str(folder), "--engine"]
    runs: list[ForkServerProcess] = []
    stored: dict[str, tuple[float, bytes]] = {}
    while recorded(store) < len(cells) and killed.total() < kills:
        runs = [process for process in runs if process.is_alive()]
        while len(runs) < chance.randint(1, 3):
            engine = ["local", "--workers", str(chance.randint(1, 2))] if chance.random() < 0.6 else ["inline"]
            runs.append(start([*argv, *engine]))
        # From before a run has planned until after it has measured some cells.
        measured = len(stored) + chance.choice([0, 0, 1, 2, 4])
        until = time.monotonic() + chance.uniform(0, 20)
        while time.monotonic() < until and recorded(store) < min(measured, len(cells)):
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.5))
        found = victim(chance, runs)
        if found is None:
            continue
        with suppress(psutil.NoSuchProcess):
            found.kill()
        killed["run" if any(found.pid == process.pid for process in runs) else "worker"] += 1
        if killed.total() % 25 == 0:
            print(f"{killed.total()} kills in {folder.name}, {recorded(store)} of {len(cells)} cells", flush=True)
        now = {str(path): (path.stat().st_mtime, path.read_bytes()) for path in store.cells.glob("*/record.json")}
        assert stored.items() <= now.items(), "a kill changed what was recorded before it"
        stored = now
    for process in runs:
        process.join()
    last = start([*argv, "inline"])
    last.join()
    assert last.exitcode == 0, f"the last run, which nobody killed, ended with {last.exitcode}"
    assert list(Leases(store).running()) == [], "a lease is left"
    return killed


def storm(kills: int, seed: int, folder: Path) -> Counter[str]:
    """So many kills, over as many stores as that takes; see the module's text."""
    chance, killed = random.Random(seed), Counter[str]()
    suite = folder / "killing.yaml"
    suite.write_text(SUITE)
    cells = load_suite(str(suite)).cells()
    expected = undisturbed(folder / "undisturbed", "killing", cells)
    while killed.total() < kills:
        results = folder / f"disturbed{killed.total()}"
        killed += disturbed(chance, suite, results, cells, kills - killed.total())
        store = Store(results, "killing")
        assert contents(store, cells) == expected, f"seed {seed}: records differ from those of an undisturbed run"
        assert recorded(store) == len(cells)
        # What a writer that was killed leaves behind goes when a run begins later, and no writer can be at work on it.
        for path in results.rglob("*.tmp"):
            os.utime(path, (0, 0))
        store.prepare()
        left = [str(path) for path in results.rglob("*.tmp")]
        assert not left, f"temporary files are left: {left}"
        print(dict(killed), "kills so far: every record is there once, as in an undisturbed run", flush=True)
    return killed


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        storm(options.kills, options.seed, Path(temporary))
