"""Accuracy against energy and latency: what each method reaches for what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.pages.figures.base import Plot
from benchmarks.pages.figures.data import ENERGIES, TWIN, Group, Source, groups_of
from benchmarks.pages.figures.lines import against_ann, draw_methods, prominent
from benchmarks.pages.figures.style import below, canvas, plain_log, title, with_n

CODINGS = {"unary": "a burst of n spikes priced as n", "graded": "a burst priced as one event"}


def accuracy_energy(sources: Sequence[Source]) -> Iterator[Plot]:
    """The primary metric against energy, for both prices of a burst; bursts beside their quantised twins."""
    for group in groups_of(sources):
        points = group.points.dropna(subset=list(ENERGIES))
        if points.empty:
            continue
        own = points[~points["method"].str.startswith(TWIN)]
        chosen = prominent(own if len(own) else points, ENERGIES)
        figure, [panels] = canvas(1, len(ENERGIES), 4.0)
        for axis, coding in zip(panels, ENERGIES, strict=True):
            draw_methods(axis, points, coding, chosen)
            against_ann(axis, group, points, coding)
            plain_log(axis, "x")
            axis.set_xlabel(energy_label(group))
            axis.set_title(f"{coding}: {CODINGS[coding]}")
        title(figure, f"{group.title}; points of a line: T = {_steps(group)}")
        below(figure, panels[0])
        yield Plot(f"energy-{group.name}", figure)


def accuracy_latency(sources: Sequence[Source]) -> Iterator[Plot]:
    """The primary metric against the steps until the final answer, the mean over samples where they exit early."""
    for group in groups_of(sources):
        points = group.points[~group.points["method"].str.startswith(TWIN)]
        points = points.dropna(subset=["final"])
        if points.empty:
            continue
        figure, [[axis]] = canvas(1, 1, 4.0)
        draw_methods(axis, points, "final", prominent(points, ["final"]))
        against_ann(axis, group, points, "final")
        plain_log(axis, "x", 2)
        axis.set_xlabel(with_n("latency: steps from the first input to the final answer, mean", group.n))
        title(figure, f"{group.title}; points of a line: T = {_steps(group)}")
        below(figure, axis)
        yield Plot(f"latency-{group.name}", figure)


def energy_label(group: Group) -> str:
    """The label of an axis of energy in percent of the ANN's, in two lines."""
    return with_n(f"energy, % of the ANN's\nby {group.suite.price_list}", group.n)


def _steps(group: Group) -> str:
    return ", ".join(str(T) for T in sorted(set(group.points["T"])))
