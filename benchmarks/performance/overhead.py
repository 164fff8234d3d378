"""Measures the overhead of the runner: `python -m benchmarks.performance.overhead [--cells 500] [--no-minute]`."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.engines import Local
from benchmarks.engines.runner import run
from benchmarks.execution.worker import Job, Settings
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from benchmarks.suites.files import load_suite
from conversion.calibration.statistics import Calibration
from conversion.methods import METHODS, Method
from conversion.simulation.network import SpikingNetwork
from conversion.stages import Stage, Thresholds


@dataclass(frozen=True)
class Busy:
    """Computes for a while and changes nothing."""

    seconds: float
    number: int

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        end = time.process_time() + self.seconds
        while time.process_time() < end:
            pass
        return network


# Registered in workers, too, since they import the module that was started.
@METHODS.register("busy")
class BusyMethod(Method):
    """A cell of known length."""

    seconds: float
    number: int

    def stages(self) -> tuple[Stage, ...]:
        return (Thresholds("max", phi=1), Busy(self.seconds, self.number))


def measured(cells: list[Cell], workers: int) -> tuple[float, float, float]:
    """Seconds of a run, until its first cell was stored, and of its cells together as they recorded them."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), "overhead")
        jobs = [Job(cell, Path(folder), "overhead", Settings()) for cell in cells]
        started = time.time()
        run(jobs, Local(workers, 4 * 3600), store)
        wall = time.time() - started
        records = list(store.records())
        if any(record.status != "done" for record in records) or len(records) != len(cells):
            raise SystemExit("A cell failed, so nothing was measured.")
        first = min(path.stat().st_mtime for path in store.cells.glob("*/record.json"))
        return wall, first - started, sum(record.convert_s + record.evaluate_s for record in records)


def busy(count: int, seconds: float) -> list[Cell]:
    """Cells that compute for a number of seconds, on one test sample."""
    return [
        Cell(
            task="digits", network="digits_convnet", method="busy", options={"seconds": seconds, "number": number},
            T=1, seed=0, limit=1, calibration=4,
        )
        for number in range(count)
    ]  # fmt: skip


def main(
    cells: Annotated[int, typer.Option(min=1, help="How many trivial cells.")] = 500,
    minute: Annotated[bool, typer.Option(help="Also ten cells of a minute.")] = True,
    suite: Annotated[str, typer.Option(help="Measurement with one worker and with two.")] = "mini",
) -> None:
    """Prints the times of trivial cells, of cells of a minute, and of a suite on one worker and on two."""
    wall, first, _ = measured(busy(cells, 0.0), 2)
    print(f"{cells} trivial cells on 2 workers: {wall:.1f} s, the first stored after {first:.1f} s")
    if minute:
        wall, first, own = measured(busy(10, 60.0), 2)
        begin = first - 60
        print(f"10 cells of a minute on 2 workers: {wall:.1f} s, start {begin:.1f} s")
        print(f"overhead of a cell behind the start: {100 * (2 * (wall - begin) / own - 1):.2f} %")
    for workers in (1, 2):
        wall, _, _ = measured(load_suite(suite).cells(), workers)
        print(f"suite {suite} on {workers} workers: {wall:.1f} s")


if __name__ == "__main__":
    typer.run(main)
