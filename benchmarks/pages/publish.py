"""What a run or a report leaves behind: the tables of its suite, the leaderboard, and what was asked for on screen."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from benchmarks.pages.leaderboard import write_leaderboard
from benchmarks.pages.tables import collect, markdown, write_tables
from benchmarks.records.reading import Results
from benchmarks.suites.cell import Cell
from benchmarks.suites.suite import Suite


def publish(suite: Suite, store: Results, results: Path, leaderboard: Path, cells: list[Cell]) -> None:
    """Writes the tables of a whole suite and the leaderboard of all results, and prints the tables of some cells.

    Args:
        suite: whose records the store holds.
        store: the records.
        results: the folder of all suites.
        leaderboard: the file that ranks all of them.
        cells: what is shown.
    """
    frame = collect(suite, store)
    page = write_tables(suite, store, frame)
    write_leaderboard(results, leaderboard)
    shown = markdown(suite, frame[frame["cell"].isin([cell.id for cell in cells])], store.origin())
    console = Console()
    if console.is_terminal:
        console.print(Markdown(shown))
    else:
        print(shown)
    print(f"Written: {page.with_name('results.csv')}, {page}, {leaderboard}", file=sys.stderr)
