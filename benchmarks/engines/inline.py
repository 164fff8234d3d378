"""The engine for debugging: one job after another in this process, without isolation or time limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.execution.worker import Job, JobResult, run_job


class Inline:
    """Runs jobs in the calling process and thread, where a debugger sees them."""

    workers = 1

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, JobResult]]:
        for job in jobs:
            yield job, run_job(job)
