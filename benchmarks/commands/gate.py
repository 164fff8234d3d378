"""`gate`: compares the records of a suite with a baseline, or makes them the new one."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from benchmarks.gate import reports
from benchmarks.gate.baselines import DamagedBaseline, read_baseline, take_baseline, write_baseline
from benchmarks.gate.judge import INCONCLUSIVE, PASS, judge_all
from benchmarks.records.reading import open_results
from benchmarks.suites.files import load_suite
from benchmarks.suites.plugins import load_plugins
from conversion.errors import BenchmarkError
from conversion.files import write_atomically


def gate(
    baseline: Path, *, suite: str | None, limit: int | None, results: Path, update: bool, markdown: Path | None,
    junit: Path | None,
) -> int:  # fmt: skip
    """Prints the verdicts on all cells of a baseline and writes the reports; returns the exit status.

    Args:
        baseline: the JSON file of the baseline.
        suite: the suite whose records are compared; the baseline's own when None.
        limit: limit of test samples, as in `run`.
        results: the folder of all suites.
        update: writes the records of the suite as the baseline instead of comparing.
        markdown, junit: files for the verdicts.

    Raises:
        BenchmarkError: options that do not go together, or there is no such suite, baseline or folder.
    """
    load_plugins()
    if suite is None and (update or limit is not None):
        raise BenchmarkError("--update and --limit need --suite, which names the suite of the records.")
    for file in (markdown, junit):
        if file is not None and not file.parent.is_dir():
            raise BenchmarkError(f"There is no folder {file.parent} for {file.name}; make it first.")
    chosen = load_suite(suite).adjusted(limit=limit) if suite is not None else None
    if update and chosen is not None:
        taken = take_baseline(chosen.name, chosen.cells(), open_results(results, chosen.name))
        samples = write_baseline(taken, baseline)
        print(f"Baseline of suite {taken.suite}, {len(taken.rows)} cells: {baseline}, {samples}")
        return PASS
    try:
        kept = read_baseline(baseline)
    except DamagedBaseline as error:  # Nothing can be compared, and that is no pass.
        print(error, file=sys.stderr)
        return INCONCLUSIVE
    found = judge_all(kept, open_results(results, chosen.name if chosen else kept.suite))
    if markdown is not None:
        write_atomically(markdown, reports.markdown(found).encode())
    if junit is not None:
        write_atomically(junit, reports.junit(found))
    reports.print_verdicts(found, Console())
    print(found.conclusion, file=sys.stderr)
    return found.exit_code
