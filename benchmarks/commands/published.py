"""`publish` and `verify`: commits results, and checks whether they still hold."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.choices import EngineName
from benchmarks.gate.verify import MISSING, verification
from benchmarks.gate.verify import verify as measure_again
from benchmarks.pages.leaderboard import leaderboard_of, write_leaderboard
from benchmarks.pages.publication import publish_suite
from benchmarks.pages.tables import collect, write_tables
from benchmarks.records.published import PublishedSuite
from benchmarks.records.reading import working_store
from benchmarks.suites.files import load_suite
from benchmarks.suites.plugins import load_plugins
from benchmarks.text import one_line
from conversion.errors import BenchmarkError


def publish(suite: str, results: Path, to: Path) -> int:
    """Writes the results of a suite into the folder of the published suites; returns the exit status.

    Args:
        suite: its name, or the path of a suite file.
        results: the folder of the working stores.
        to: the folder of the published suites.

    Raises:
        BenchmarkError: nothing was measured, or what was published before was changed by hand.
    """
    load_plugins()
    chosen = load_suite(suite)
    found = publish_suite(chosen, working_store(results, chosen.name), to)
    write_leaderboard(to, leaderboard_of(to))
    print(f"Published in {found.suite.folder}: {found.measured} cells as measured, {found.kept} as published before.")
    print(found.suite.origin())
    if found.missing:
        print(f"Missing: {', '.join(cell.label for cell in found.missing)}; the table says so.", file=sys.stderr)
    return MISSING if found.missing else 0


def verify(
    suite: str, results: Path, *, cells: int, seed: int, data_root: Path | None, weights: Path, engine: EngineName,
    workers: int | None, record: bool,
) -> int:  # fmt: skip
    """Measures cells of a published suite again and prints a line on each; returns the exit status.

    Args:
        suite: its name, or the path of a suite file.
        results: the folder of the published suites.
        cells: number of cells to measure.
        seed: seed of their draw.
        data_root, weights, engine, workers: as in `run`.
        record: whether to keep the outcome in the manifest of the published suite.

    Raises:
        BenchmarkError: the suite is not published, or a file of it was changed by hand.
    """
    load_plugins()
    chosen = load_suite(suite)
    if not (results / chosen.name).is_dir():
        raise BenchmarkError(
            f"There is no published suite in {results / chosen.name}, looked for in {Path.cwd()}; call the command in "
            "the folder of the repository, or give --results."
        )
    published = PublishedSuite(results, chosen.name)
    found = measure_again(chosen, published, cells, seed, data_root, weights, engine, workers)
    for line in (*found.faults, *found.cells):
        print(one_line(str(line)))
    print(found.conclusion)
    if record:
        published.add(verification(found))
        write_tables(chosen, published, collect(chosen, published))
    return found.exit_code
