"""Early exit: confidence thresholds, when samples exit, and the gain (the paper's Figure 9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from benchmarks.pages.figures.base import Plot
from benchmarks.pages.figures.data import Group, Source, groups_of
from benchmarks.pages.figures.energy import energy_label
from benchmarks.pages.figures.lines import Look, against_ann
from benchmarks.pages.figures.style import COLOURS, HATCHES, MARKERS, below, canvas, title, with_n
from benchmarks.records.record import Record

MOST = 6


def exits(sources: Sequence[Source]) -> Iterator[Plot]:
    """Confidence thresholds by step, when samples exit, and what that gives for its energy.

    Uniform thresholds are those of methods with `scale: 0`; records from before thresholds were kept lack the first
    panel.
    """
    for group in groups_of(sources):
        leaving = [record for record in group.first_seed() if record.exits]
        longest = max((record.cell.T or 0 for record in leaving), default=0)
        records = [record for record in leaving if longest == record.cell.T][:MOST]
        if longest < 2:
            continue
        barred = [record for record in records if record.exit_thresholds]
        figure, [panels] = canvas(1, 2 + bool(barred), 3.6)
        for record, colour, marker in zip(records, COLOURS, MARKERS, strict=False):
            if record in barred:
                steps = range(1, len(record.exit_thresholds) + 1)
                panels[0].plot(steps, record.exit_thresholds, color=colour, marker=marker)
        if barred:
            panels[0].set(xlabel=with_n("step t", group.n), ylabel="confidence at which a sample exits")
            panels[0].xaxis.set_major_locator(MaxNLocator(integer=True))
        _histogram(panels[-2], group, records)
        _gain(panels[-1], group, records)
        title(figure, f"{group.title}, T = {longest}: samples that are sure enough exit early")
        below(figure, panels[-1], columns=2)
        yield Plot(f"exits-{group.name}", figure)


def _without_exit(record: Record, labels: Iterable[str]) -> list[str]:
    """The first method that is the same without an exit, as `adafire` is of `adafire_iat`; none where there is none."""
    name = record.cell.method.removesuffix("_iat")
    if name == record.cell.method:
        return [label for label in labels if label == f"{name}:exit=None"][:1]
    return [label for label in labels if label.partition(":")[0] == name][:1]


def _histogram(axis: Axes, group: Group, records: Sequence[Record]) -> None:
    """The share of samples that exit after each step, one bar for each method."""
    width = 0.8 / len(records)
    for index, record in enumerate(records):
        at = np.arange(1, len(record.exits) + 1) + (index - (len(records) - 1) / 2) * width
        shares = [100 * share for share in record.exits]
        axis.bar(at, shares, width, color=COLOURS[index], hatch=HATCHES[index], edgecolor="white", linewidth=0)
    axis.set(xlabel=with_n("step t", group.n), ylabel=with_n("samples that exit, %", group.n))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(visible=False, axis="x")


def _gain(axis: Axes, group: Group, records: Sequence[Record]) -> None:
    """Accuracy against energy: methods that exit, at all T, and in grey dashes the same without an exit."""
    points = group.points
    stayed = dict.fromkeys(name for record in records for name in _without_exit(record, points["method"]))
    for name, marker in zip(stayed, MARKERS[::-1], strict=False):
        Look("#666666", marker).draw(axis, points[points["method"] == name], "unary", name, twin=True)
    for record, colour, marker in zip(records, COLOURS, MARKERS, strict=False):
        rows = points[points["method"] == record.cell.recipe.label]
        Look(colour, marker).draw(axis, rows, "unary", record.cell.recipe.label)
    drawn = {*stayed, *(record.cell.recipe.label for record in records)}
    against_ann(axis, group, points[points["method"].isin(drawn)], "unary")
    axis.set_xlabel(energy_label(group) + ", unary")
