"""Compression of spikes: accuracy and energy over the budget of SSC (the paper's Figure 8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.pages.figures.base import Plot
from benchmarks.pages.figures.data import Source, groups_of
from benchmarks.pages.figures.energy import energy_label
from benchmarks.pages.figures.style import COLOURS, HATCHES, MARKERS, below, canvas, with_n


def compression(sources: Sequence[Source]) -> Iterator[Plot]:
    """Accuracy and energy over the budget of SSC, beside the same method without SSC."""
    for group in groups_of(sources):
        rows = {(record.cell.recipe.label, record.cell.T): record for record in group.first_seed()}
        points = {(str(row["method"]), int(row["T"])): row for _, row in group.points.iterrows()}
        swept: dict[int, list[tuple[float, str]]] = {}
        for (label, T), record in rows.items():
            if record.cell.method == "adafire_ssc" and T is not None and (label, T) in points:
                budget = float(record.cell.options.get("ssc_budget", 1.0))
                swept.setdefault(T, []).append((budget, label))
        if not swept:
            continue
        figure, [[left, right]] = canvas(1, 2, 3.3)
        budgets = sorted({budget for found in swept.values() for budget, _ in found})
        width = 0.8 / len(swept)
        for index, (T, found) in enumerate(sorted(swept.items())):
            shown = [(0, points[baseline, T]) for baseline in ("adafire",) if (baseline, T) in points]
            shown += [(1 + budgets.index(budget), points[label, T]) for budget, label in sorted(found)]
            at = np.array([place for place, _ in shown], float)
            value = np.array([row["value"] for _, row in shown], float)
            spread = [value - [row["low"] for _, row in shown], [row["high"] for _, row in shown] - value]
            left.errorbar(
                at, value, [part.clip(min=0) for part in spread], color=COLOURS[index], marker=MARKERS[index],
                label=f"T = {T}", elinewidth=0.7,
            )  # fmt: skip
            bars = right.bar(
                at + (index - (len(swept) - 1) / 2) * width, [row["unary"] for _, row in shown], width,
                color=COLOURS[index], hatch=HATCHES[index], edgecolor="white", linewidth=0,
            )  # fmt: skip
            right.bar_label(bars, fmt="%.0f", fontsize=5, padding=1)
        for axis in (left, right):
            axis.set_xticks(range(1 + len(budgets)), ["no SSC", *(f"{budget:g}" for budget in budgets)])
            axis.set_xlabel(with_n("budget of SSC", group.n))
        left.set_ylabel(with_n(group.metric_label, group.n))
        right.set_ylabel(energy_label(group) + ", unary")
        right.grid(visible=False, axis="x")
        if group.ann is not None:
            found_ann = group.ann.metrics[group.metric].value
            left.axhline(found_ann, color="black", linestyle=":", linewidth=0.9, label=f"ANN, {found_ann:.2f}")
        figure.suptitle(f"{group.title}: SSC after AdaFire")
        below(figure, left, columns=5)
        yield Plot(f"compression-{group.name}", figure)
