"""`tables`: writes the numbers of suites as tables for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.api import Selected
from benchmarks.choices import TableFormat
from benchmarks.pages.figures.data import Source
from benchmarks.pages.grids import FORMATS, grids, written
from benchmarks.text import printable
from conversion.errors import BenchmarkError
from conversion.files import write_atomically


def write_grids(selected: Sequence[Selected], form: TableFormat | None, to: Path | None) -> None:
    """Writes a file for each task, network and quantity, and prints their paths.

    Args:
        form: one format; all of them when left out.
        to: the folder of the files; `tables` beside the records of the first suite when left out.

    Raises:
        BenchmarkError: a suite was not measured, or nothing of the selection was.
    """
    for chosen in selected:
        if chosen.absence:
            raise BenchmarkError(chosen.absence)
    folder = to or selected[0].store.folder / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    found = False
    for chosen in selected:
        for group in Source(chosen.suite, chosen.cells, chosen.store).groups:
            for grid in grids(group):
                for each in FORMATS if form is None else (form,):
                    path = folder / f"{grid.name}.{each}"
                    write_atomically(path, written(grid, each).encode())
                    print(printable(str(path)))
                    found = True
    if not found:
        names = " and ".join(chosen.suite.name for chosen in selected)
        raise BenchmarkError(f"Of {names} no converted network of the selection was measured; run it first.")
