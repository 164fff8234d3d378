"""`report`: writes the pages of a suite again from its records."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.api import Selected
from benchmarks.pages.publish import show
from benchmarks.site.page import NoPage, write_page
from benchmarks.text import printable
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


def write_page_of(results: Path, selected: Sequence[Selected]) -> None:
    """Writes the page of all results for the browser, or says in a line what it needs.

    Args:
        results: the folder of all suites.
        selected: suites whose plans are known, whether they ship with the benchmark or not.
    """
    try:
        page = write_page(results, [each.suite for each in selected])
    except NoPage as missing:
        print(missing, file=sys.stderr)
    else:
        print(printable(f"{page}: all results on one page for the browser"), file=sys.stderr)
