"""Runs jobs on an engine until every cell has its record, its own or that of another run."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.engines import Engine
from benchmarks.leases import Leases
from benchmarks.store import Store
from benchmarks.watch import Watch
from benchmarks.worker import Ended, Job
from conversion.errors import BenchmarkError

# Seconds between looks at cells that another run works on.
PATIENCE = 1.0


def run(jobs: Sequence[Job], engine: Engine, store: Store, seconds: float | None = None) -> list[tuple[Job, Ended]]:
    """Runs jobs; each ends as a record, "done" or "failed".

    Args:
        seconds: how long all of it may take, for those who wait; None where nothing is known.

    Raises:
        BenchmarkError: no record can be written any more; those that were are whole.
    """
    finished: list[tuple[Job, Ended]] = []
    with Watch(store, len(jobs), engine.workers, seconds) as watch:
        waiting = list(jobs)
        while waiting:
            held = []
            for job, ended in engine.run(waiting):
                if ended.status == "unwritable":
                    raise BenchmarkError(
                        f"{ended.reason} {len(finished)} cells are stored; the next run does the others."
                    )
                if ended.status == "held":
                    held.append(job)
                else:
                    finished.append((job, ended))
                    watch.end(job.cell, ended)
            waiting = _released(held, store, watch)
    return finished


def _released(held: list[Job], store: Store, watch: Watch) -> list[Job]:
    """Waits until somebody else is done with one of the cells; returns all, to be looked at again."""
    leases = Leases(store)
    if held:
        watch.say(f"{len(held)} cells are being measured by another run; waiting for their records")
    while held and all(leases.held(job.cell) for job in held):
        time.sleep(PATIENCE)
    return held
