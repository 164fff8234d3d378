"""The default engine: processes on this machine, each with its share of the cores."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from pathlib import Path

import torch
from pebble import ProcessExpired, ProcessPool

from benchmarks.engines.base import threads
from benchmarks.engines.processes import process_context
from benchmarks.execution.worker import Job, JobResult, fail, finished_since, run_job
from benchmarks.records.leases import born, watch_over
from benchmarks.records.record import Cause
from conversion.errors import BenchmarkError, InvalidInput

ROOT = Path(__file__).parent.parent.parent
# Seconds within which a process must have begun its job.
START = 120.0
# How often a process is started before the run gives up.
STARTS = 5


class Local:
    """Runs jobs in processes; if one of them dies, its cell has failed and the others go on.

    A process is used again as long as its cells end without an unexpected error, so that those of one network load data
    and weights once. After such an error it is replaced.

    Args:
        workers: number of processes; each has its share of the cores.
        time_limit: seconds that a job may take.
        gpus: number of GPUs that are distributed over the processes; 0 leaves the choice to the jobs' device.

    Raises:
        InvalidInput: the script that started this process would start it again in every worker.
    """

    def __init__(self, workers: int, time_limit: float, gpus: int = 0) -> None:
        _require_guard()
        self.workers, self.time_limit, self.gpus = workers, time_limit, gpus
        # The fork server of `multiprocessing` does not pass on the module search path.
        paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path for path in paths if path))
        # Large values are allocated at every step, and their pages, of 4 KiB each, would take as long as the neurons.
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, JobResult]]:
        waiting = list(jobs)
        slots = [_Slot(self, number) for number in range(min(self.workers, len(jobs)))]
        busy: dict[Future[JobResult], _Slot] = {}
        try:
            while waiting or busy:
                for slot in slots:
                    if waiting and slot not in busy.values():
                        job = waiting.pop(_choose(waiting, slot, busy.values()))
                        busy[slot.begin(job)] = slot
                finished, _ = wait(busy, timeout=1, return_when=FIRST_COMPLETED)
                for future in finished:
                    slot = busy.pop(future)
                    yield slot.job, slot.end(future)
                for future, slot in list(busy.items()):
                    if slot.stuck(future):
                        del busy[future]
                        slot.renew()
                        waiting.insert(0, slot.job)
        finally:
            for slot in slots:
                slot.pool.stop()
            for slot in slots:
                slot.pool.join()


class _Slot:
    """A place for one process. Pools of one share no pipe, so that a killed process cannot block its neighbours."""

    def __init__(self, engine: Local, number: int) -> None:
        self.engine, self.number = engine, number
        self.job: Job
        self.begun = time.time()
        self.network: tuple[str, str] | None = None
        self.pool = self._start()

    def _start(self) -> ProcessPool:
        arguments = (self.number, self.engine.workers, self.engine.gpus, os.getpid(), born(os.getpid()))
        context = process_context(["__main__", __name__])
        return ProcessPool(1, initializer=_initialise_worker, initargs=arguments, context=context)

    def begin(self, job: Job) -> Future[JobResult]:
        self.job, self.begun = job, time.time()
        for _ in range(STARTS):
            try:
                future = self.pool.schedule(run_job, args=(job,), timeout=self.engine.time_limit)
            except RuntimeError:  # The process was killed before it could say that it runs.
                self.renew()
            else:
                self.network = (job.cell.task, job.cell.network)
                return future
        raise BenchmarkError(
            f"A worker process was killed {STARTS} times while it started; most often the machine is out of memory. "
            "Give fewer --workers, or --engine inline."
        )

    def stuck(self, future: Future[JobResult]) -> bool:
        """Whether the process died between taking the job and saying so."""
        return not future.running() and not future.done() and time.time() - self.begun > START

    def end(self, future: Future[JobResult]) -> JobResult:
        """The result of the job. The process is replaced if it has died or may be in a bad state."""
        try:
            result = future.result()
        except TimeoutError:
            result = self._lost(f"took longer than the time limit of {self.engine.time_limit:g} s", "time limit")
        except ProcessExpired as error:
            result = self._lost(exit_reason(error.exitcode), "killed")
        except Exception as error:  # An answer that cannot be pickled, or a pool that broke.
            result = self._lost(f"its process is lost: {type(error).__name__}: {error}", "killed")
        if result.broken:
            self.renew()
        return result

    def _lost(self, reason: str, cause: Cause) -> JobResult:
        if finished_since(self.job, self.begun):
            return JobResult("done", broken=True)
        return fail(self.job, reason, cause, broken=True)

    def renew(self) -> None:
        """Ends the process and makes room for another."""
        self.pool.stop()
        self.pool.join()
        self.network = None
        self.pool = self._start()


def exit_reason(exitcode: int | None) -> str:
    """A sentence on why a process ended, from its exit status."""
    if exitcode is None or exitcode >= 0:
        return f"its process ended with exit status {exitcode}"
    name = signal.Signals(-exitcode).name
    hint = "; most often the machine was out of memory" if -exitcode == signal.SIGKILL else ""
    return f"its process was killed ({name}){hint}"


def _require_guard() -> None:
    """Refuses a script without `if __name__ == "__main__":`. Workers import it, so each would run all of it again."""
    path = getattr(sys.modules["__main__"], "__file__", None)
    try:
        text = Path(path).read_text(encoding="utf-8") if path is not None else None
    except (OSError, UnicodeDecodeError):  # Not a script in plain text, such as a frozen program.
        return
    if text is not None and not re.search(r"__name__\s*==", text):
        raise InvalidInput(
            f"{path} calls the benchmark without a guard, and the processes of engine local would each run it again; "
            'put the call below `if __name__ == "__main__":`, or take engine inline.'
        )


def _choose(waiting: Sequence[Job], slot: _Slot, busy: Collection[_Slot]) -> int:
    """The index of the next job of a free process: of its network, else of one that no process has loaded, else 0."""
    networks = [(job.cell.task, job.cell.network) for job in waiting]
    if slot.network in networks:
        return networks.index(slot.network)
    taken = {other.network for other in busy}
    return next((index for index, network in enumerate(networks) if network not in taken), 0)


def _initialise_worker(number: int, workers: int, gpus: int, run: int, since: float) -> None:
    """Prepares a new process: sets its share of the cores and its GPU, and ends it when its run is gone."""
    torch.set_num_threads(threads(workers))
    gc.freeze()  # What the server has loaded stays: no search for garbage looks through it, or copies its pages.
    # torch.fx uses tqdm if it is installed. Its lock between processes leaks when a process is killed, and Python warns
    # of it at the end of the run.
    with suppress(ImportError):
        from tqdm import tqdm

        tqdm.set_lock(threading.RLock())
    if gpus:
        # The GPUs that this process may use, as a cluster's scheduler sets them.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = visible.split(",") if visible else [str(gpu) for gpu in range(gpus)]
        os.environ["CUDA_VISIBLE_DEVICES"] = names[number % len(names)]
    watch_over(run, since, lambda: os._exit(1))
