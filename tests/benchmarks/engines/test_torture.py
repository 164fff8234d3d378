"""A run that is killed again and again ends like one that nobody disturbed."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
import torch

from benchmarks.records.leases import Leases
from benchmarks.records.machine import cores
from benchmarks.records.store import Store
from benchmarks.suites.files import load_suite
from tests.benchmarks.engines.killing import contents, recorded, start, undisturbed

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


@pytest.fixture(autouse=True, scope="module")
def few_threads() -> None:
    """One, as in every process that the command starts: with more, sums are rounded otherwise."""
    torch.set_num_threads(1)


@pytest.mark.usefixtures("misbehaving")
def test_sixty_cells_survive_a_runner_that_is_killed_twenty_times(tmp_path: Path) -> None:
    path = tmp_path / "torture.yaml"
    path.write_text(SUITE)
    cells = load_suite(str(path)).cells()
    assert len(cells) == 61  # And their ANN.
    expected = undisturbed(tmp_path / "undisturbed", "torture", cells)
    chance = random.Random(0)
    store = Store(tmp_path / "out", "torture")
    leases = Leases(store)
    stored: dict[str, float] = {}
    killed = 0
    while True:
        # Every fourth run has workers, which have to die with it.
        engine = ["local", "--workers", str(max(2, cores()))] if killed % 4 == 0 else ["inline"]
        argv = ["run", "--suite", str(path), "--results", str(tmp_path / "out"), "--engine", *engine]
        process = start(argv)
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
    assert contents(store, cells) == expected
    assert recorded(store) == len(cells)
    assert list(leases.running()) == []
