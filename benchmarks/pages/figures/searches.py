"""What AdaFire and SSC choose from: sensitivities of layers (the paper's Figure 3), the frontier (its Figure 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from benchmarks.pages.figures.base import Plot
from benchmarks.pages.figures.data import Group, Source, file_name, groups_of, middle_step
from benchmarks.pages.figures.layers import layer_names
from benchmarks.pages.figures.style import COLOURS, MARKERS, below, canvas, plain_log, title, with_n
from benchmarks.records.record import Record
from benchmarks.records.searches import Search
from conversion.calibration.frontier import allocate, smallest_budget

SYMBOLS = {"phi": "φ", "rho": "\N{GREEK SMALL LETTER RHO}"}
TITLES = {"phi": "most spikes a step", "rho": "factor of the threshold"}
COUNTED = {"spikes": "spikes", "synops_unary": "synaptic operations"}
LINES = 8
"""Candidates that are drawn, the smallest and the largest among them."""
BUDGETS = 60
"""Budgets, equally far apart, at which the frontier is computed."""


def sensitivity(sources: Sequence[Source]) -> Iterator[Plot]:
    """Divergence of the output with each candidate in one layer alone, a panel for phi and one for rho."""
    for group, record in _searched(sources):
        figure, [panels] = canvas(1, len(record.searches), 3.8, width=max(3.6, 3.5 * len(record.searches)))
        for axis, search in zip(panels, record.searches, strict=True):
            symbol = SYMBOLS[search.parameter]
            layers = range(1, len(search.divergence) + 1)
            shown = _spread(len(search.candidates))
            # Dark for the smallest; the brightest part of the scale vanishes on paper.
            shades = colormaps["cividis"](np.linspace(0, 0.88, len(shown)))
            for index, column in enumerate(shown):
                values = [row[column] for row in search.divergence]
                axis.plot(
                    layers, values, color=shades[index], marker=MARKERS[index % len(MARKERS)], markersize=3,
                    label=f"{search.candidates[column]:g}",
                )  # fmt: skip
            axis.axhline(search.base, color="black", linestyle=":", linewidth=0.9, label="before")
            axis.set_title(f"{TITLES[search.parameter]}, {symbol}")
            plain_log(axis, "y")
            axis.set_xticks(layers, layer_names(record, len(layers)), rotation=90, fontsize=5)
            axis.set_xlabel(f"the layer with this {symbol} ({len(layers)} layers)")
            axis.set_ylabel(with_n("divergence S, nats", search.samples, "images"))
            axis.legend(title=symbol, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=6, title_fontsize=6)
        title(figure, f"{group.title}, {record.cell.recipe.label}, T = {record.cell.T}")
        yield Plot(f"sensitivity-{_name(group, record)}", figure)


def frontiers(sources: Sequence[Source]) -> Iterator[Plot]:
    """Sums over layers of energy and divergence: the Pareto frontier, the choice on it, and uniform candidates.

    Both axes are sums of changes of one layer at a time, as the search sees them; what a network with all of them
    does is measured.
    """
    for group, record in _searched(sources):
        figure, [panels] = canvas(1, len(record.searches), 3.6, width=max(3.6, 3.5 * len(record.searches)))
        for axis, search in zip(panels, record.searches, strict=True):
            _frontier(axis, search)
        title(figure, f"{group.title}, {record.cell.recipe.label}, T = {record.cell.T}")
        below(figure, panels[0])
        yield Plot(f"frontier-{_name(group, record)}", figure)


def _frontier(axis: Axes, search: Search) -> None:
    """The points of one search, energies in thousands."""
    energy, divergence = np.array(search.energy) / 1000, np.array(search.divergence)
    lowest, highest = smallest_budget(energy.tolist()), float(energy.max(1).sum())
    found = [
        allocate(energy.tolist(), divergence.tolist(), budget) for budget in np.linspace(lowest, highest, BUDGETS)
    ]  # fmt: skip
    axis.plot(
        [point.cost for point in found], [point.loss for point in found], color=COLOURS[0], marker=".", markersize=3,
        label="Pareto frontier", zorder=1,
    )  # fmt: skip
    axis.plot(
        energy.sum(0), divergence.sum(0), linestyle="", color=COLOURS[1], marker="s", label="one value for all layers"
    )
    symbol = SYMBOLS[search.parameter]
    for column in _spread(len(search.candidates)):
        axis.annotate(
            f"{symbol}={search.candidates[column]:g}", (energy.sum(0)[column], divergence.sum(0)[column]), (4, 3),
            textcoords="offset points", fontsize=5,
        )  # fmt: skip
    columns = [search.candidates.index(value) for value in search.choice]
    rows = np.arange(len(columns))
    axis.plot(
        energy[rows, columns].sum(), divergence[rows, columns].sum(), linestyle="", color="black", marker="*",
        markersize=9, label="chosen",
    )  # fmt: skip
    axis.set_title(f"{symbol} of each layer")
    plain_log(axis, "y")
    axis.set_xlabel(with_n(f"Σ E, thousand {COUNTED[search.counted]}", search.samples, "images", line=True))
    axis.set_ylabel(with_n("Σ S, nats", search.samples, "images"))


def _searched(sources: Sequence[Source]) -> Iterator[tuple[Group, Record]]:
    """The records that hold what they chose from, at one T; of those with the same searches that with most of them."""
    for group in groups_of(sources):
        kept: list[Record] = []
        found = [record for record in group.first_seed() if record.searches]
        T = middle_step(found)
        for record in sorted(found, key=lambda record: -len(record.searches)):
            if record.cell.T == T and not any(_same(record, other) for other in kept):
                kept.append(record)
        yield from ((group, record) for record in kept)


def _same(record: Record, other: Record) -> bool:
    """Whether the tables of a record are the first ones of another, whatever their budgets."""
    tables = [[search.divergence for search in each.searches] for each in (record, other)]
    return tables[0] == tables[1][: len(tables[0])]


def _spread(count: int) -> list[int]:
    """At most LINES of `count` indices, evenly spread."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(LINES, count))})


def _name(group: Group, record: Record) -> str:
    label = record.cell.recipe.label.translate(str.maketrans(":=,/", "----"))
    return file_name(f"{group.name}-{label}-T{record.cell.T}")
