"""The work on one cell, from its lease to its record. Engines call it in processes of their choice."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

from benchmarks.choices import Precision
from benchmarks.execution.failures import cause_of, explain
from benchmarks.execution.workbench import Workbench
from benchmarks.records.leases import Lease, Leases
from benchmarks.records.record import Cause, Record
from benchmarks.records.store import DamagedRecord, Store
from benchmarks.suites.cell import Cell
from benchmarks.suites.plugins import load_plugins
from conversion.errors import BenchmarkError

Status = Literal["done", "failed", "held", "unwritable"]


@dataclass(frozen=True)
class Settings:
    """The arguments of `Workbench`, as they are sent to workers."""

    data_root: Path | None = None
    weights: Path | None = None
    device: str = "cpu"
    precision: Precision = "auto"
    converted: Path | None = None


@dataclass(frozen=True)
class Job:
    """One cell to measure, as it is sent to a worker.

    Attributes:
        results, suite: the store, by folder and name.
        again: measure even if there is a fresh record.
        command: the command line of the run, for the record.
    """

    cell: Cell
    results: Path
    suite: str
    settings: Settings
    again: bool = False
    command: str = ""

    @property
    def store(self) -> Store:
        return Store(self.results, self.suite)


@dataclass(frozen=True)
class JobResult:
    """The result of a job.

    Attributes:
        status: "done" or "failed": there is a record; "held": another run measures the cell; "unwritable": no record
            could be written.
        reason: the error in words; empty if there was none.
        broken: whether an unexpected error may have left the process in a bad state, so that it should be replaced.
    """

    status: Status
    reason: str = ""
    broken: bool = False


@lru_cache(maxsize=1)
def workbench(settings: Settings) -> Workbench:
    """The workbench that all cells measured in this process share."""
    return Workbench(settings.data_root, settings.weights, settings.device, settings.precision, settings.converted)


def run_job(job: Job) -> JobResult:
    """Measures a cell unless another run does or did, and stores its record; a failure is stored as a record, too."""
    load_plugins()
    try:
        lease = Leases(job.store).take(job.cell)
        if lease is None:
            return JobResult("held")
        with lease:
            return _measure(job, lease)
    except OSError as error:
        return unwritable(job, error)


def _measure(job: Job, lease: Lease) -> JobResult:
    fingerprint: dict[str, str] = {}
    try:
        bench = workbench(job.settings)
        lease.total = bench.task(job.cell.task).test_size(job.cell.limit)
        lease.say("loads the network")
        fingerprint = bench.fingerprint(job.cell)
        if not job.again and _fresh(job, fingerprint):
            return JobResult("done")
        measured = bench.measure(job.cell, lease.advance, lease.say)
    except Exception as error:  # Whatever goes wrong in one cell, the others go on.
        cause, foreseen = cause_of(error), isinstance(error, BenchmarkError)
        if cause == "error":
            traceback.print_exc()
        return fail(job, explain(error), cause, fingerprint, broken=not foreseen)
    provenance = measured.record.provenance | _run_provenance(job)
    job.store.save(measured.record.model_copy(update={"provenance": provenance}), measured.samples)
    return JobResult("done")


def fail(
    job: Job, reason: str, cause: Cause, fingerprint: dict[str, str] | None = None, *, broken: bool = False
) -> JobResult:
    """Stores the record of a failed cell."""
    record = Record(
        cell=job.cell, status="failed", reason=reason, cause=cause, fingerprint=fingerprint or {},
        provenance=_run_provenance(job),
    )  # fmt: skip
    try:
        job.store.save(record)
    except OSError as error:
        return unwritable(job, error)
    return JobResult("failed", reason, broken)


def unwritable(job: Job, error: OSError) -> JobResult:
    """The result of a job whose record cannot be written."""
    return JobResult(
        "unwritable", f"{error.filename or job.store.folder} cannot be written: {error.strerror or error}."
    )


def _run_provenance(job: Job) -> dict[str, str]:
    return {"finished": datetime.now(UTC).isoformat(timespec="milliseconds"), "command": job.command}


def finished_since(job: Job, since: float) -> bool:
    """Whether a cell was measured after a time, in seconds since the epoch on this machine's clock."""
    try:
        record = job.store.load(job.cell)
    except DamagedRecord:
        return False
    finished = record.provenance.get("finished") if record is not None and record.status == "done" else None
    return finished is not None and datetime.fromisoformat(finished).timestamp() >= since


def _fresh(job: Job, fingerprint: dict[str, str]) -> bool:
    """Whether another run has measured the cell since this one was planned."""
    try:
        record = job.store.load(job.cell)
    except DamagedRecord:
        return False
    return record is not None and record.status == "done" and record.fingerprint == fingerprint
