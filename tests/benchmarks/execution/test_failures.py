"""Memory, disks and the system are no faults of the code, in whatever words a library says so."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from benchmarks.engines.inline import Inline
from benchmarks.execution.failures import cause_of, explain
from benchmarks.execution.plan import cells_to_run, plan
from benchmarks.execution.workbench import Workbench
from benchmarks.execution.worker import Job, Settings
from benchmarks.records.record import UNMEASURED, Record
from benchmarks.records.store import Store
from conversion.errors import CheckpointError, InvalidInput
from tests.benchmarks.conftest import CellOf

SPENT: dict[str, BaseException] = {
    "MemoryError": MemoryError(),
    "numpy": MemoryError("Unable to allocate 3.00 TiB for an array with shape (9,) and data type float64"),
    "torch": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "torch on a CPU": RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory"),
    "oneDNN": RuntimeError("could not create a primitive"),
    "oneDNN, memory": RuntimeError("could not create a memory object; out of memory"),
    "C++": RuntimeError("std::bad_alloc"),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "threads": RuntimeError("can't start new thread"),
    **{name: OSError(getattr(errno, name), name) for name in ("EIO", "ENOSPC", "ENOMEM", "EDQUOT", "EMFILE", "ESTALE")},
}
OTHERS: dict[str, BaseException] = {
    "a bug": RuntimeError("shapes do not match"),
    "a file that is not there": FileNotFoundError(errno.ENOENT, "No such file or directory", "x"),
    "a folder": IsADirectoryError(errno.EISDIR, "Is a directory", "x"),
    "no permission": PermissionError(errno.EACCES, "Permission denied", "x"),
    "a key": KeyError("out of memory"),
    "a value": ValueError("the memory of the network"),
}


@pytest.mark.parametrize("name", SPENT)
def test_resources_have_a_cause_of_their_own_c6(name: str) -> None:
    assert cause_of(SPENT[name]) == "resources" and "resources" in UNMEASURED
    assert "\n" not in explain(SPENT[name])
    # Also where somebody made a sentence, or another error, of it.
    for made in (InvalidInput("The image x.png cannot be read."), RuntimeError("it broke"), CheckpointError("no")):
        for hidden in (True, False):
            try:
                try:
                    raise SPENT[name]
                except BaseException as error:
                    raise made from (None if hidden else error)
            except (InvalidInput, RuntimeError, CheckpointError) as error:
                assert cause_of(error) == "resources"


@pytest.mark.parametrize("name", OTHERS)
def test_other_errors_are_the_codes_c6(name: str) -> None:
    assert cause_of(OTHERS[name]) == "error"


def test_a_reason_can_be_written_whatever_a_file_is_called_c9(tmp_path: Path, digits_cell: CellOf) -> None:
    """Names of files are bytes, and a record is text: a failure is stored all the same."""
    name = b"bad-\xff.png".decode(errors="surrogateescape")
    reason = explain(InvalidInput(f"The image {name} is \x1b[2J damaged."))
    store = Store(tmp_path, "own")
    store.save(Record(cell=digits_cell(), status="failed", reason=reason, cause="refused"))
    assert store.state(digits_cell()) == ("failed", "The image bad-\\udcff.png is \\x1b[2J damaged.")


def test_a_refusal_that_speaks_of_memory_is_one_c6() -> None:
    assert cause_of(InvalidInput("The window is out of memory of the neuron.")) == "refused"


@pytest.mark.slow
def test_what_ran_out_of_resources_is_measured_again_by_the_next_run_c6(
    tmp_path: Path, digits_cell: CellOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cell = tmp_path, digits_cell()
    store, bench = Store(root, "own"), Workbench(None, None, "cpu", "float32")
    job = Job(cell, root, "own", Settings(precision="float32"))
    measure = Workbench.measure

    def spent(*_: object) -> object:
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(Workbench, "measure", spent)
    ((_, result),) = Inline().run([job])
    record = store.load(cell)
    assert record is not None and (record.status, record.cause) == ("failed", "resources")
    assert result.broken and "out of memory: could not create a primitive" in result.reason
    assert cells_to_run(plan([cell], bench, store), "stale") == [cell]
    monkeypatch.setattr(Workbench, "measure", measure)
    ((_, result),) = Inline().run([job])
    assert store.state(cell) == ("done", "") and result.status == "done"
