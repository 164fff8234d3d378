"""`report`: writes the pages of a suite again from its records."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.api import Selected
from benchmarks.pages.publish import show
from conversion.errors import BenchmarkError


def write_report(selected: Selected, pictures: int | None, data_root: Path | None) -> None:
    """Writes tables and leaderboard, prints the selected rows, and draws pictures.

    Args:
        pictures: T of the pictures; 0 draws none, None the fewest steps.
        data_root: folder of the datasets, for pictures.

    Raises:
        BenchmarkError: nothing of the suite was measured.
    """
    store = selected.store
    if selected.absence:
        raise BenchmarkError(selected.absence)
    show(selected.suite, store, selected.write_pages(), selected.results)
    if pictures != 0:
        from benchmarks.pages.pictures import draw  # Here, because matplotlib takes a moment to load.

        for line in draw(selected.cells, store, store.folder / "pictures", pictures, data_root):
            print(line, file=sys.stderr)
