"""`run`: measures a suite, or all suites that a name stands for, and shows their best rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.api import Interrupted, run_suite
from benchmarks.commands.outcome import exit_status
from benchmarks.pages.publish import show_screenful
from benchmarks.records.reading import open_results
from benchmarks.suites.files import load_suites


def measure(
    suite: str,
    *,
    limit: int | None,
    results: Path,
    price_list: str | None = None,
    energy: float | None = None,
    networks: Sequence[str] | None = None,
    **options: Any,
) -> int:
    """Measures what is missing and prints the tables; returns the exit status.

    Args:
        suite: its name, that of a group of suites, or the path of a suite file.
        limit, results, price_list, energy, networks, options: arguments of `run_suite`.

    Raises:
        BenchmarkError: as of `run_suite`.
    """
    interrupted = False
    try:
        frame = run_suite(suite, limit=limit, results=results, price_list=price_list, energy=energy, networks=networks,
                          **options)  # fmt: skip
    except Interrupted as stopped:
        frame, interrupted = stopped.frame, True
    for whole in load_suites(suite):
        adjusted = whole.adjusted(limit=limit, price_list=price_list, energy=energy, networks=networks or ())
        rows = frame[frame["suite"] == adjusted.name]
        if len(rows):
            show_screenful(adjusted, open_results(results, adjusted.name), rows, results)
    return exit_status(frame, interrupted)
