"""A run that is killed again and again ends like one that nobody disturbed."""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.engines import Inline
from benchmarks.engines.runner import run
from benchmarks.execution.worker import Job, Settings
from benchmarks.records.leases import Leases
from benchmarks.records.machine import cores
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from benchmarks.suites.files import load_suite
from run_all import main

pytestmark = [pytest.mark.slow, pytest.mark.waits]

SUITE = """
name: torture
title: Sixty small cells
calibration: 16
entries:
  - tasks: [digits]
    networks: [digits_convnet]
    methods: [{misbehaving: {how: nap}}, {burst: {phi: 2, light: false, thresholds: max}}, calibration]
    T: [1, 2, 3, 4, 5]
    seeds: [0, 1, 2, 3]
    limit: 20
"""
KILLS = 20
TIMINGS = {"convert_s", "evaluate_s", "provenance"}


@pytest.fixture(autouse=True, scope="module")
def few_threads() -> None:
    """One, as in every process that the command starts: with more, sums are rounded otherwise."""
    torch.set_num_threads(1)


def command(argv: list[str]) -> None:
    """The command line in a process of its own, in which torch is imported already."""
    torch.set_num_threads(1)  # As in the run that is not disturbed.
    sys.argv = ["run_all.py", *argv]
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        main()


def contents(store: Store, cells: list[Cell]) -> list[tuple[dict[str, Any], list[list[Any]]]]:
    found = []
    for cell in cells:
        record = store.load(cell)
        assert record is not None
        samples = store.samples(record)
        assert samples is not None
        found.append((record.model_dump(exclude=TIMINGS), samples.to_numpy().tolist()))
    return found


def recorded(store: Store) -> int:
    return sum(True for _ in store.cells.glob("*/record.json"))


@pytest.mark.usefixtures("misbehaving")
def test_sixty_cells_survive_a_runner_that_is_killed_twenty_times(tmp_path: Path) -> None:
    path = tmp_path / "torture.yaml"
    path.write_text(SUITE)
    cells = load_suite(str(path)).cells()
    assert len(cells) == 61  # And their ANN.
    undisturbed = Store(tmp_path / "undisturbed", "torture")
    run([Job(cell, tmp_path / "undisturbed", "torture", Settings()) for cell in cells], Inline(), undisturbed)

    chance = random.Random(0)
    store = Store(tmp_path / "out", "torture")
    leases = Leases(store)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "benchmarks.engines.local", "benchmarks.api", "run_all"])
    stored: dict[str, float] = {}
    killed = 0
    while True:
        # Every fourth run has workers, which have to die with it.
        engine = ["local", "--workers", str(max(2, cores()))] if killed % 4 == 0 else ["inline"]
        argv = ["run", "--suite", str(path), "--results", str(tmp_path / "out"), "--engine", *engine]
        process = context.Process(target=command, args=(argv,))
        process.start()
        while process.is_alive() and not any(True for _ in leases.running()):
            time.sleep(0.01)
        if killed < KILLS:
            # Early enough that on a fast machine, too, cells are left for the kills to come.
            until = time.monotonic() + chance.uniform(0, 0.8)
            enough = len(stored) + max(1, (len(cells) - len(stored)) // (KILLS - killed + 1))
            while process.is_alive() and time.monotonic() < until and recorded(store) < enough:
                time.sleep(0.01)
        else:
            process.join()
        if not process.is_alive():
            break
        process.kill()
        process.join()
        killed += 1
        # What was stored before the kill is untouched, to the file.
        now = {str(file): file.stat().st_mtime for file in store.cells.rglob("record.json")}
        assert stored.items() <= now.items()
        stored = now
    assert killed == KILLS
    assert process.exitcode == 0
    assert contents(store, cells) == contents(undisturbed, cells)
    assert recorded(store) == len(cells)
    assert list(leases.running()) == []
