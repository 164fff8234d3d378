"""Measures what a large store costs: `OMP_NUM_THREADS=1 python -m benchmarks.performance.store [--cells 10000]`.

A suite of so many cells is made of one measured cell: records and samples as they are, under the names of others.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.execution.workbench import ROOT, Workbench
from benchmarks.records.store import Store
from benchmarks.suites.files import load_suite
from benchmarks.suites.suite import Suite

SEEDS, STEPS = 10, 20
"""Seeds and numbers of timesteps of every method; the number of methods follows."""

SUITE = """
name: large
title: Many cells
calibration: 16
entries:
  - {{tasks: [digits], networks: [digits_convnet], methods: [ann], T: [1], limit: 20}}
  - tasks: [digits]
    networks: [digits_convnet]
    methods: [{methods}]
    T: [{steps}]
    seeds: [{seeds}]
    limit: 20
"""


def suite_file(cells: int, folder: Path) -> Path:
    """Writes a suite of at least so many cells."""
    methods = -(-cells // (SEEDS * STEPS))
    path = folder / "large.yaml"
    path.write_text(
        SUITE.format(
            methods=", ".join(f"{{burst: {{phi: {phi}}}}}" for phi in range(1, methods + 1)),
            steps=", ".join(map(str, range(1, STEPS + 1))),
            seeds=", ".join(map(str, range(SEEDS))),
        )
    )
    return path


def fill(suite: Suite, results: Path) -> None:
    """Measures the ANN and one cell, and stores the latter as all others."""
    bench, store = Workbench(None, None, "cpu", "float32"), Store(results, suite.name)
    ann, first, *others = suite.cells()
    for cell in (ann, first):
        measured = bench.measure(cell, lambda samples: None)
        store.save(measured.record, measured.samples)
    for cell in others:
        renamed = measured.record.model_copy(update={"cell": cell, "fingerprint": bench.fingerprint(cell)})
        store.save(renamed, measured.samples)


def seconds(folder: Path, *arguments: str) -> float:
    """Processor time of a command, of all its processes."""
    before = os.times()
    command = [sys.executable, str(ROOT / "run_all.py"), *arguments, "--suite", "large.yaml", "--results", "results"]
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main(cells: Annotated[int, typer.Option(min=2, help="How many cells.")] = 10_000) -> None:
    """Prints the processor time of `plan`, `status` and `report`, and of the latter's start."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite = load_suite(str(suite_file(cells, folder)))
        fill(suite, folder / "results")
        print(f"{len(suite.cells())} cells; seconds of processor time, of which starting takes a few:")
        for command, *options in (["plan"], ["status"], ["report", "--pictures", "0"]):
            print(f"{command}: {seconds(folder, command, *options):.1f}", flush=True)


if __name__ == "__main__":
    typer.run(main)
