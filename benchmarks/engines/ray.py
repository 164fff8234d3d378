"""The engine for many machines: Ray schedules, on whatever cluster it runs (docs/running.md)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.engines.base import EngineMissing
from benchmarks.execution.worker import Job, JobResult, fail, finished_since, run_job
from benchmarks.records.leases import Leases
from conversion.errors import BenchmarkError

ROOT = Path(__file__).parent.parent.parent
# How often Ray retries a job whose machine or process died; results stored before are not measured again.
RETRIES = 2


class Ray:
    """Runs jobs as Ray tasks. Every machine has to see the same store, data and weights under the same paths.

    Args:
        workers: number of jobs that run at once; None for as many as the cluster holds.
        threads: CPU cores of one job.
        gpus: GPUs of one job; a fraction shares one.
        time_limit: seconds that a job may take.
        address: of the cluster, as `ray.init` takes it; "auto" is the one that RAY_ADDRESS names or that runs here.
            None starts one on this machine: a cluster that happens to run here is somebody else's.

    Raises:
        EngineMissing: Ray is not installed.
    """

    def __init__(
        self, workers: int | None, time_limit: float, *, threads: int = 1, gpus: float = 0, address: str | None = None
    ) -> None:
        try:
            import ray
        except ImportError:
            raise EngineMissing("ray", "cluster") from None
        self.ray: Any = ray
        self.workers, self.threads, self.gpus = workers or 0, threads, gpus
        self.time_limit, self.address = time_limit, address

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, JobResult]]:
        ray = self.ray
        begun = not ray.is_initialized()
        if begun:
            path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
            environment = {"env_vars": {"PYTHONPATH": path}}
            try:
                ray.init(self.address or "local", log_to_driver=False, include_dashboard=False, runtime_env=environment)
            except (ValueError, RuntimeError, OSError) as error:
                where = f"at {self.address}" if self.address else "here"
                raise BenchmarkError(f"There is no Ray cluster {where} (--address): {error}") from None
        task = ray.remote(_run_job).options(
            num_cpus=self.threads, num_gpus=self.gpus, max_retries=RETRIES, scheduling_strategy="SPREAD"
        )
        waiting = list(jobs)
        busy: dict[Any, Job] = {}
        late: set[Any] = set()
        begun_at = time.time()
        try:
            while waiting or busy:
                while waiting and not (self.workers and len(busy) >= self.workers):
                    job = waiting.pop(0)
                    busy[task.remote(job, self.threads)] = job
                finished, _ = ray.wait(list(busy), timeout=1)
                for reference in finished:
                    job = busy.pop(reference)
                    yield job, self._end(job, reference, begun_at, reference in late)
                for reference in self._overdue(busy) - late:
                    ray.cancel(reference, force=True)
                    late.add(reference)
        finally:
            for reference in busy:
                ray.cancel(reference, force=True)
            if begun:
                ray.shutdown()

    def _end(self, job: Job, reference: Any, begun_at: float, late: bool) -> JobResult:
        try:
            result: JobResult = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            if finished_since(job, begun_at):
                return JobResult("done")
            if late:
                return fail(job, f"took longer than the time limit of {self.time_limit:g} s", "time limit")
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            return fail(job, f"its process is lost: {reason}", "killed")
        return result

    def _overdue(self, busy: Mapping[Any, Job]) -> set[Any]:
        """The jobs beyond the time limit, by the start in their lease: Ray does not say when a task started."""
        if not busy:
            return set()
        leases = Leases(next(iter(busy.values())).store)
        started = {running.cell: running.started for running in leases.running()}
        limit = time.time() - self.time_limit
        return {reference for reference, job in busy.items() if started.get(job.cell.id, limit) < limit}


def _run_job(job: Job, threads: int) -> JobResult:
    torch.set_num_threads(threads)
    return run_job(job)
