"""The output of a run or a report: the tables of its suite, the leaderboard, and the selected rows on screen."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.markdown import Markdown

from benchmarks.pages.leaderboard import leaderboard_of, summary, write_leaderboard
from benchmarks.pages.tables import absent, collect, markdown, write_tables
from benchmarks.records.reading import Results
from benchmarks.suites.suite import Suite
from benchmarks.text import one_line, page

SCREENFUL = 24
"""The most cells whose tables are shown after a run."""


def write_pages(suite: Suite, store: Results, results: Path) -> pd.DataFrame:
    """Writes the tables of a whole suite and the leaderboard of all results; returns the tidy table.

    Args:
        suite: the suite of the store.
        store: the records.
        results: the folder of all suites.
    """
    frame = collect(suite, store)
    write_tables(suite, store, frame)
    write_leaderboard(results, leaderboard_of(results))
    return frame


def show(suite: Suite, store: Results, frame: pd.DataFrame, results: Path) -> None:
    """Prints the tables of some rows, and on stderr the paths of the files that `write_pages` wrote.

    Of a suite that regenerates a table of the paper, that table is all that is printed.
    """
    details = suite.table is None
    # Of all cells it is the page that was just written.
    if details and frame["cell"].nunique() == len(suite.cells()):
        text = (store.folder / "results.md").read_text(encoding="utf-8")
    else:
        text = markdown(suite, frame, store.origin(), details=details)
    _print(text, suite, store, results)


def show_screenful(suite: Suite, store: Results, frame: pd.DataFrame, results: Path) -> None:
    """Prints what `show` prints of a few cells, and of many the best rows of each network and what is absent."""
    best = summary(frame) if suite.table is None and frame["cell"].nunique() > SCREENFUL else []
    if not best:
        show(suite, store, frame, results)
        return
    lines = [
        f"# {suite.title}",
        "",
        "Best rows: score at its share of the ANN's energy, one accumulation for each spike.",
    ]
    for (task, network), group in frame.groupby(["task", "network"], sort=False):
        reasons = absent(group[group["metric"].isin([group["metric"].iloc[0]]) | group["metric"].isna()])
        best += [one_line(f"- {task}, {network}: {reason.removeprefix('- ')}") for reason in reasons]
    _print(page("\n".join([*map(one_line, lines), "", *best])), suite, store, results)


def _print(text: str, suite: Suite, store: Results, results: Path) -> None:
    console = Console()
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        print(text)
    written = (store.folder / "results.csv", store.folder / "results.md", leaderboard_of(results))
    print(f"Written: {', '.join(map(str, written))}", file=sys.stderr)
