"""Runs jobs on an engine until every cell has its record, its own or that of another run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from benchmarks.engines import Engine
from benchmarks.execution.watch import Watch
from benchmarks.execution.worker import Job, JobResult
from benchmarks.records.leases import Leases
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from conversion.errors import BenchmarkError

# Seconds between looks at cells that another run works on.
PATIENCE = 1.0


def run(
    jobs: Sequence[Job], engine: Engine, store: Store, seconds: float | None = None,
    measured: Callable[[Cell], None] | None = None,
) -> list[tuple[Job, JobResult]]:  # fmt: skip
    """Runs jobs; each ends as a record, "done" or "failed".

    Args:
        seconds: estimated time of the run, for its display; None if unknown.
        measured: is told each cell of these jobs whose record is there.

    Raises:
        BenchmarkError: no record can be written any more; earlier records are intact.
    """
    finished: list[tuple[Job, JobResult]] = []
    leases = Leases(store)
    waiting, elsewhere = list(jobs), list[Job]()
    with Watch(store, len(jobs), engine.workers, seconds) as watch:
        while waiting or elsewhere:
            held = []
            for job, result in engine.run(waiting):
                if result.status == "unwritable":
                    raise BenchmarkError(
                        f"{result.reason} {len(finished)} cells are stored; the next run measures the others."
                    )
                if result.status == "held":
                    held.append(job)
                else:
                    finished.append((job, result))
                    watch.finish(job.cell, result)
                    if measured is not None:
                        measured(job.cell)
            if held:
                watch.say(f"{len(held)} cells are being measured by another run; waiting for their records")
            elsewhere += held
            waiting = []
            while elsewhere and not (waiting := [job for job in elsewhere if not leases.held(job.cell)]):
                time.sleep(PATIENCE)
            elsewhere = [job for job in elsewhere if job not in waiting]
    return finished
