"""Why a cell failed: a line for its row, and whether it says anything of the code (docs/gate.md)."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import torch
from pydantic import ValidationError

from benchmarks.records.record import Cause, first_error
from benchmarks.text import printable
from conversion.errors import BenchmarkError

MEMORY = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "could not allocate", "not enough memory",
    "bad_alloc", "bad allocation", "alloc_failed", "could not create a primitive", "unable to allocate",
    "failed to allocate", "insufficient shared memory",
)  # fmt: skip
"""What libraries say where memory ran out, in lower case: torch's allocators, oneDNN, cuBLAS, cuDNN, numpy, C++."""
OTHERS = ("no space left on device", "input/output error", "can't start new thread", "too many open files")
"""What they say of a disk or of the system, where they do not raise OSError."""
NUMBERS = {
    getattr(errno, name)
    for name in ("ENOMEM", "ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE", "EAGAIN", "ESTALE", "EROFS", "ETIMEDOUT")
    if hasattr(errno, name)
}
"""Errors of the system that have nothing to do with the code: memory, disks, open files, threads."""


def explain(error: BaseException) -> str:
    """An error in one line; in its own words, if it is one of ours."""
    return printable(_said_of(error))


def _said_of(error: BaseException) -> str:
    if isinstance(error, BenchmarkError):
        return str(error)
    text = _text(error)
    if _memory(error):
        return f"out of memory: {text}" if text else "out of memory"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {error.filename or text}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def cause_of(error: BaseException) -> Cause:
    """The cause of a failed cell: resources that ran out, however that was said; a refusal; or any other error."""
    if any(map(_resources, _chain(error))):
        return "resources"
    return "refused" if isinstance(error, BenchmarkError) else "error"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it was raised from, or while they were handled."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _resources(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in NUMBERS or _said(error, OTHERS)
    return _memory(error) or (isinstance(error, RuntimeError) and _said(error, OTHERS))


def _memory(error: BaseException) -> bool:
    if isinstance(error, BenchmarkError):
        return False  # In our own words "memory" is a subject like any other.
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, (RuntimeError, OSError)) and (
        getattr(error, "errno", None) == errno.ENOMEM or _said(error, MEMORY)
    )


def _said(error: BaseException, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)


def _text(error: BaseException) -> str:
    return first_error(error) if isinstance(error, ValidationError) else next(iter(str(error).splitlines()), "")
