"""`figures`: draws what the records of suites hold."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.api import Selected
from benchmarks.pages.figures.base import Family
from benchmarks.pages.figures.data import Source
from benchmarks.pages.figures.families import FAMILIES, family
from benchmarks.pages.figures.style import save, styled
from benchmarks.text import printable
from conversion.errors import BenchmarkError, DataMissing


def draw_figures(
    selected: Sequence[Selected], names: Sequence[str], to: Path | None, data_root: Path | None = None
) -> None:
    """Draws figures and prints the path of each PNG; a PDF and an SVG stand beside it.

    Args:
        names: families by name or number; all that records are there for when empty.
        to: the folder of the files; `figures` beside the records of the first suite when left out.
        data_root: folder of the datasets, for figures of samples.

    Raises:
        BenchmarkError: a suite was not measured, or the records hold nothing of what was asked for.
    """
    wanted = list(dict.fromkeys(family(name) for name in names))
    needs_records = not wanted or any(not each.computed for each in wanted)
    sources = []
    for each in selected:
        if needs_records and each.absence:
            raise BenchmarkError(each.absence)
        sources.append(Source(each.suite, each.cells, each.store, data_root))
    folder = to or selected[0].store.folder / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    tried = wanted or [each for each in FAMILIES if not each.computed]
    absent = []
    with styled():
        for drawing in tried:
            drawn = 0
            try:
                for plot in drawing.draw(sources):
                    print(printable(str(save(plot.figure, folder, plot.name)[-1])), flush=True)
                    drawn += 1
            except DataMissing as missing:
                absent.append(str(missing))
            else:
                if not drawn:
                    absent.append(_absence(drawing, sources))
    if wanted and absent:
        raise BenchmarkError("\n".join(absent))
    if len(absent) == len(tried):
        raise BenchmarkError("No figure can be drawn: " + absent[0])
    for said in absent:
        print(printable(said), file=sys.stderr)


def _absence(missing: Family, sources: Sequence[Source]) -> str:
    suites = " and ".join(source.suite.name for source in sources)
    number = f" (the paper's {missing.number})" if missing.number is not None else ""
    return f"No record of {suites} holds what figure {missing.name}{number} shows; it needs {missing.needs}."
