"""Compression of spikes: accuracy and energy over the budget of SSC (the paper's Figure 8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.pages.figures.base import Plot
from benchmarks.pages.figures.data import Group, Source, groups_of
from benchmarks.pages.figures.energy import energy_label
from benchmarks.pages.figures.style import COLOURS, HATCHES, MARKERS, below, canvas, title, with_n
from benchmarks.suites.cell import Cell

WITHOUT, WITH, BUDGET = "adafire", "adafire_ssc", "ssc_budget"


def compression(sources: Sequence[Source]) -> Iterator[Plot]:
    """Accuracy and energy over the budget of SSC, beside the same method without SSC."""
    for group in groups_of(sources):
        sweeps = _sweeps(group)
        if not sweeps:
            continue
        figure, [[left, right]] = canvas(1, 2, 3.3)
        budgets = sorted({budget for points in sweeps.values() for budget, _ in points if budget is not None})
        width = 0.8 / len(sweeps)
        for index, (T, points) in enumerate(sweeps.items()):
            at = np.array([0 if budget is None else 1 + budgets.index(budget) for budget, _ in points], float)
            value, low, high, energy = (
                np.array([row[column] for _, row in points], float) for column in ("value", "low", "high", "unary")
            )
            colour, marker, hatch = (looks[index % len(looks)] for looks in (COLOURS, MARKERS, HATCHES))
            left.errorbar(
                at, value, [(value - low).clip(min=0), (high - value).clip(min=0)], color=colour, marker=marker,
                label=f"T = {T}", elinewidth=0.7,
            )  # fmt: skip
            bars = right.bar(
                at + (index - (len(sweeps) - 1) / 2) * width, energy, width, color=colour, hatch=hatch,
                edgecolor="white", linewidth=0,
            )  # fmt: skip
            right.bar_label(bars, fmt="%.0f", fontsize=5, padding=1)
        for axis in (left, right):
            axis.set_xticks(range(1 + len(budgets)), ["no SSC", *(f"{budget:g}" for budget in budgets)])
            axis.set_xlabel(with_n("budget of SSC", group.n))
        left.set_ylabel(with_n(group.metric_label, group.n))
        right.set_ylabel(energy_label(group) + ", unary")
        right.grid(visible=False, axis="x")
        if group.ann is not None:
            ann = group.ann.metrics[group.metric].value
            left.axhline(ann, color="black", linestyle=":", linewidth=0.9, label=f"ANN, {ann:.2f}")
        title(figure, f"{group.title}: SSC after AdaFire")
        below(figure, left, columns=5)
        yield Plot(f"compression-{group.name}", figure)


def _sweeps(group: Group) -> dict[int, list[tuple[float | None, pd.Series]]]:
    """The budgets of SSC and their points at each T, from the smallest, after the point without SSC (None).

    All have the same other options, those of the first method with SSC.
    """
    points = {(str(row["method"]), int(row["T"])): row for _, row in group.points.iterrows()}
    records = [record.cell for record in group.first_seed()]
    others = next((_others(cell) for cell in records if cell.method == WITH), None)
    sweeps: dict[int, list[tuple[float | None, pd.Series]]] = {}
    for cell in sorted(records, key=lambda cell: (cell.T or 0, cell.method == WITH, _budget(cell))):
        place = cell.recipe.label, cell.T or 0
        if cell.method in (WITHOUT, WITH) and _others(cell) == others and place in points:
            budget = _budget(cell) if cell.method == WITH else None
            sweeps.setdefault(place[1], []).append((budget, points[place]))
    return {T: found for T, found in sweeps.items() if any(budget is not None for budget, _ in found)}


def _others(cell: Cell) -> dict[str, Any]:
    """The options that are not SSC's."""
    return {name: value for name, value in cell.options.items() if name != BUDGET}


def _budget(cell: Cell) -> float:
    return float(cell.options.get(BUDGET, 1.0))
