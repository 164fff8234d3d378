"""The benchmark: suites, execution, records, tables.

As a library, `run_suite` measures what is missing of a suite and `load_results` reads what was measured.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.api import Interrupted, load_results, run_suite

__all__ = ["Interrupted", "load_results", "run_suite"]


def __getattr__(name: str) -> Any:
    """Imports the library when one of its names is asked for: help pages and tab completion do without torch."""
    if name in __all__:
        return getattr(importlib.import_module("benchmarks.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
