"""Tables for a paper: methods as rows, T as columns, as LaTeX (booktabs), CSV and Markdown, all by one writer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd

from benchmarks.choices import TableFormat
from benchmarks.pages.figures.data import ENERGIES, Group, file_name
from benchmarks.pages.markdown import table
from benchmarks.text import in_csv, one_line, page
from conversion.errors import BenchmarkError

FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)
BEST = "textbf:--rwrap;"
ESCAPED = str.maketrans({
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}",
})  # fmt: skip
"""Characters that LaTeX takes for commands."""


@dataclass(frozen=True)
class Grid:
    """A table of one quantity.

    Attributes:
        name: of its files, without suffix.
        caption: what the numbers are, in one sentence with units and n.
        values: a row for each method, a column for each T; not a number where there is none.
        halves: half the 95 % interval over seeds, of the same shape; not a number where there is one seed.
        digits: decimals.
        marked: whether the largest number of a column is set in bold.
    """

    name: str
    caption: str
    values: pd.DataFrame
    halves: pd.DataFrame
    digits: int
    marked: bool

    @property
    def texts(self) -> pd.DataFrame:
        """The table as it is printed: "91.20", over seeds "91.20 ±0.31", and "" where there is no number."""
        pairs = zip(self.values.to_numpy(float), self.halves.to_numpy(float), strict=True)
        rows = [[self._text(value, half) for value, half in zip(*pair, strict=True)] for pair in pairs]
        return pd.DataFrame(rows, self.values.index, self.values.columns)

    def _text(self, value: float, half: float) -> str:
        spread = "" if np.isnan(half) else f" ±{half:.{self.digits}f}"
        return "" if np.isnan(value) else f"{value:.{self.digits}f}{spread}"


def grids(group: Group) -> Iterator[Grid]:
    """The tables of one task and network: the primary metric, and energy at both prices of a burst."""
    points = group.points
    if points.empty:
        return
    ann = "" if group.ann is None else f"; the ANN has {group.ann.metrics[group.metric].value:.2f}"
    about = f"{group.title} (n = {group.n:,} test samples{ann})"
    yield Grid(
        file_name(f"{group.name}-{group.metric}"), f"{group.metric_label}, of {about}", _wide(points, "value"),
        _wide(points.assign(half=((points["high"] - points["low"]) / 2).where(points["seeds"] > 1)), "half"), 2, True,
    )  # fmt: skip
    for coding in ENERGIES:
        values = _wide(points, coding)
        if values.notna().any(axis=None):
            caption = f"Energy of one sample in % of the ANN's, {coding}, by {group.suite.price_list}, of {about}"
            yield Grid(f"{group.name}-energy-{coding}", caption, values, values * np.nan, 1, False)


def written(grid: Grid, form: TableFormat) -> str:
    """The text of a table in one of the formats."""
    if form == "csv":
        columns = [f"T={T}" for T in grid.values]
        frame = grid.values.set_axis(columns, axis=1).rename_axis("method")
        halves = grid.halves.set_axis([f"{column} half width" for column in columns], axis=1)
        frame = frame.join(halves.dropna(axis=1, how="all"))
        return str(
            frame.set_axis([in_csv(name) for name in frame.index]).rename_axis("method").to_csv(float_format="%.6g")
        )
    texts = grid.texts
    if form == "md":
        rows = [[f"`{method}`", *cells] for method, cells in zip(texts.index, texts.to_numpy().tolist(), strict=True)]
        return page("\n".join([f"{grid.caption}:", "", *table(["method", *(f"T={T}" for T in texts)], rows), ""]))
    return _latex(grid, texts)


def _latex(grid: Grid, texts: pd.DataFrame) -> str:
    """The table in booktabs. Raises BenchmarkError where jinja2 is missing."""
    try:
        import jinja2  # noqa: F401 (the Styler of pandas needs it)
    except ImportError:
        raise BenchmarkError(
            "LaTeX tables need jinja2; install it with: pip install 'adaptive-calibration-bench[report]'"
        ) from None
    best = grid.values.eq(grid.values.max()) & grid.marked
    shown = texts.set_axis([one_line(name) for name in texts.index])
    shown.columns = pd.MultiIndex.from_product([["T"], [str(T) for T in texts]])
    marks = pd.DataFrame(np.where(best, BEST, ""), shown.index, shown.columns)
    styler = shown.style.apply(lambda _: marks, axis=None).format(escape="latex")
    styler = styler.format_index(escape="latex", axis=0)
    return styler.to_latex(
        hrules=True, column_format="l" + "r" * texts.shape[1], multicol_align="c", position_float="centering",
        caption=one_line(grid.caption).translate(ESCAPED), label=f"tab:{grid.name}",
    )  # fmt: skip


def _wide(points: pd.DataFrame, column: str) -> pd.DataFrame:
    """One column of the points with methods as rows, in their order, and T as columns."""
    methods, steps = list(dict.fromkeys(points["method"])), sorted(set(points["T"]))
    found = points.pivot(index="method", columns="T", values=column)
    return found.reindex(index=methods, columns=steps).astype(float)
