"""The interface of engines. An engine decides where and when jobs run; the jobs write to the store themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch

from benchmarks.execution.worker import Job, JobResult
from benchmarks.records.machine import cores
from conversion.errors import BenchmarkError

# The largest default of workers: each holds the data and a network of its own in memory.
MOST_WORKERS = 4


class Engine(Protocol):
    """Runs jobs and yields each as it ends.

    Attributes:
        workers: number of jobs that run at once; 0 if unknown.
    """

    workers: int

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, JobResult]]:
        """Yields every job once, in whatever order they end. Closing the iterator stops those that run."""
        ...


def threads(workers: int) -> int:
    """Threads of one of several workers: its share of the cores, and no more than OMP_NUM_THREADS allows."""
    share = max(1, cores() // workers)
    ceiling = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]  # A list is for nested parallel regions.
    return min(share, int(ceiling)) if ceiling.isdecimal() and int(ceiling) else share


def shared_gpus(device: str) -> int:
    """The number of GPUs that are distributed over workers: all for "cuda"; 0 for "cuda:1", which all workers use."""
    return torch.cuda.device_count() if device == "cuda" else 0


def usual_workers(device: str) -> int:
    """A worker for each GPU; on CPUs one for each core, up to MOST_WORKERS."""
    return max(shared_gpus(device), 1) if device.startswith("cuda") else min(cores(), MOST_WORKERS)


class EngineMissing(BenchmarkError):
    """An engine whose library is not installed."""

    def __init__(self, engine: str, extra: str) -> None:
        super().__init__(f"Engine {engine} needs the extra '{extra}': pip install -c constraints.txt -e '.[{extra}]'.")
