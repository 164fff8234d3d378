"""Compiled updates of neurons: one pass over memory in place of one for each operation."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

# Compiling the neurons takes some ten seconds once; it saves about 3 ns for each update of a neuron.
WORTH_COMPILING = 1_000_000_000


def worth_compiling(updates: float, device: torch.device) -> bool:
    """Whether compiling the neurons pays for this many updates, and whether the machine can."""
    return updates >= WORTH_COMPILING and (device.type != "cpu" or _can_compile())


@cache
def _can_compile() -> bool:
    """Whether torch.compile finds what it needs on a CPU: a C++ compiler and Python's headers."""
    compilers = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return headers.is_file() and any(name and shutil.which(name) for name in compilers)


@cache
def compiled(update: Callable[..., Any], in_one_pass: bool = False) -> Callable[..., Any]:
    """An update of neurons, compiled when it is first called; the plain one, for good, once the compiler has failed.

    With `in_one_pass` the compiler writes no intermediate value to memory, however often it is used: for long updates
    of which it would otherwise make several loops.
    """
    # Here, because they take a moment to load.
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    # One function serves all layers of all networks; beyond the default of 8 variants it would silently run uncompiled.
    torch._dynamo.config.recompile_limit = 64
    # ATEN_CPU_CAPABILITY chooses the width of vectors, but torch's cache of compiled code does not look at it: code for
    # other widths, left by an earlier process, would be run and give garbage. It does look at this setting.
    torch._inductor.config.cpp.simdlen = pick_vec_isa().bit_width()
    # Sums of large maps split in two would be loops of their own, which pass over memory once more.
    torch._inductor.config.split_reductions = False
    never = 1_000_000
    options: dict[str, Any] = {"realize_opcount_threshold": never, "realize_reads_threshold": never}
    fast = torch.compile(update, dynamic=True, options=options if in_one_pass else None)

    def compiled_if_possible(*args: Any, **kwargs: Any) -> Any:
        nonlocal fast
        try:
            return fast(*args, **kwargs)
        except BackendCompilerFailed as error:
            # A compiler that does not fit the processor, or variables that hide instructions of it from torch only.
            reason = type(error.inner_exception).__name__
            print(f"The neurons cannot be compiled ({reason}) and run uncompiled, which is slower.", file=sys.stderr)
            fast = update
            return update(*args, **kwargs)

    return compiled_if_possible
