"""Bars over tasks (the paper's Figure 1), and of families of methods at equal energy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from benchmarks.pages.comparisons import matches, value_at
from benchmarks.pages.figures.base import Plot
from benchmarks.pages.figures.data import ANN, ENERGIES, Group, Source, groups_of
from benchmarks.pages.figures.style import COLOURS, GREY, HATCHES, below, canvas, title, with_n

ROWS = ("calibration", "burst", "adafire")
"""The methods of Figure 1 besides the ANN: the paper's baseline, bursts with one phi, and the paper's method."""
UNIFORM = "burst:phi=4"
"""The bursts whose energy is AdaFire's budget."""
ACROSS = 5
"""Tasks side by side."""
BUDGETS = (0.1, 0.2, 0.4)
"""Shares of the ANN's energy of a suite that names none."""


def tasks(sources: Sequence[Source]) -> Iterator[Plot]:
    """The primary metric of the ANN, Calibration, uniform bursts and AdaFire on each task, at one T each."""
    shown: list[tuple[Group, int, dict[str, pd.Series]]] = []
    for group in groups_of(sources):
        by_step = {T: _first_rows(group, T) for T in sorted(set(group.points["T"]))}
        whole = [T for T, rows in by_step.items() if {ROWS[0], ROWS[-1]} <= set(rows)]
        if whole and group.ann is not None:
            T = whole[len(whole) // 2]
            shown.append((group, T, by_step[T]))
    if not shown:
        return
    rows = [shown[start : start + ACROSS] for start in range(0, len(shown), ACROSS)]
    figure, panels = canvas(len(rows), 1, 0.6 + 2.3 * len(rows))
    for [axis], part in zip(panels, rows, strict=True):
        _bars(axis, part)
    below(figure, panels[0][0])
    yield Plot("tasks-" + "-".join(source.suite.name for source in sources), figure)


def _bars(axis: Axes, shown: Sequence[tuple[Group, int, dict[str, pd.Series]]]) -> None:
    """The bars of some tasks."""
    width = 0.8 / (1 + len(ROWS))
    for place, name in enumerate((ANN, *ROWS)):
        at, values, spread = [], [], []
        for index, (group, _, rows) in enumerate(shown):
            if name == ANN:
                assert group.ann is not None
                found = group.ann.metrics[group.metric]
                value, low, high = found.value, found.ci_low, found.ci_high
            elif name in rows:
                value, low, high = (float(rows[name][column]) for column in ("value", "low", "high"))
            else:
                continue
            at.append(index + (place - len(ROWS) / 2) * width)
            values.append(value)
            spread.append((max(value - low, 0), max(high - value, 0)))
        bars = axis.bar(
            at, values, 0.92 * width, yerr=np.transpose(spread), label="ANN" if name == ANN else name,
            color=GREY if name == ANN else COLOURS[place - 1], hatch=HATCHES[place], edgecolor="white", linewidth=0,
            error_kw={"elinewidth": 0.7},
        )  # fmt: skip
        axis.bar_label(bars, [f"{value:.1f}" for value in values], fontsize=5, padding=1.5)
    axis.set_xticks(range(len(shown)), [_tick(group, T) for group, T, _ in shown], fontsize=6)
    axis.set(ylabel=f"primary metric, {_unit([group for group, _, _ in shown])}", ylim=(0, None))
    axis.set_xlim(-0.6, ACROSS - 0.4 if len(shown) == ACROSS else len(shown) - 0.4)
    axis.grid(visible=False, axis="x")
    axis.margins(y=0.12)


def iso_energy(sources: Sequence[Source]) -> Iterator[Plot]:
    """What each family of methods reaches at equal energy; a family reaches the upper hull of its points."""
    for group in groups_of(sources):
        points = group.points.dropna(subset=list(ENERGIES))
        spec = group.suite.iso_energy
        patterns = spec.families if spec is not None else {name: [name, f"{name}:*"] for name in _names(points)}
        budgets = spec.budgets if spec is not None else list(BUDGETS)
        members = {name: points[matches(points, globs)] for name, globs in patterns.items()}
        members = {name: rows for name, rows in members.items() if len(rows)}
        if len(members) < 2:
            continue
        figure, panels = canvas(len(ENERGIES), len(budgets), len(ENERGIES) * (0.7 + 0.14 * len(members)))
        for row, coding in zip(panels, ENERGIES, strict=True):
            for axis, budget in zip(row, budgets, strict=True):
                values = [value_at(rows.assign(energy=rows[coding]), 100 * budget) for rows in members.values()]
                reached = [value for value in values if value is not None]
                bars = axis.barh(
                    list(members), [value if value is not None else 0.0 for value in values], height=0.7,
                    color=[COLOURS[0] if value == max(reached, default=None) else COLOURS[5] for value in values],
                )  # fmt: skip
                said = ["costs more" if value is None else f"{value:.1f}" for value in values]
                axis.bar_label(bars, said, fontsize=6, padding=2)
                axis.invert_yaxis()
                axis.set_xlim(0, 1.25 * max(reached, default=1.0))
                axis.set_title(f"{100 * budget:g} % of the ANN's energy, {coding}", fontsize=7)
                axis.set_xlabel(with_n(group.metric_label, group.n), fontsize=7)
                axis.tick_params(axis="y", labelsize=6, labelleft=axis is row[0])
                axis.grid(visible=False, axis="y")
        title(figure, f"{group.title}, {group.suite.price_list}; in the dark bars the best of each budget")
        yield Plot(f"iso-energy-{group.name}", figure)


def _first_rows(group: Group, T: int) -> dict[str, pd.Series]:
    """The first row of each method of ROWS at this T, whatever its options, but of bursts UNIFORM if there is one."""
    points = group.points[group.points["T"] == T]
    found: dict[str, pd.Series] = {}
    for _, row in points.iterrows():
        name = str(row["method"]).partition(":")[0]
        if name in ROWS and (name not in found or row["method"] == UNIFORM):
            found[name] = row
    return found


def _tick(group: Group, T: int) -> str:
    return f"{group.task}\n{group.network}\n{group.metric}, T = {T}\nn = {group.n:,}"


def _unit(groups: Sequence[Group]) -> str:
    return "%" if all(group.metric_label.endswith("%") for group in groups) else "in its unit"


def _names(points: pd.DataFrame) -> list[str]:
    """The methods without their options."""
    return list(dict.fromkeys(points["method"].str.split(":").str[0]))
