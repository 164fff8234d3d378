"""Lines of methods: which of many stand out, and how each is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from benchmarks.pages.comparisons import frontier
from benchmarks.pages.figures.data import TWIN, Group
from benchmarks.pages.figures.style import COLOURS, GREY, MARKERS, with_n

DEPTH = 30.0
"""How far below the ANN an axis of percentages reaches at most: what lies deeper is counted instead of drawn."""
BASELINE = "calibration"
"""The paper's, which every figure shows that has it."""
OTHERS = "other methods"


def prominent(points: pd.DataFrame, costs: Sequence[str]) -> list[str]:
    """The methods that are drawn in colour, as many as there are colours, in the order of the suite.

    The baseline is one. Those come first that have most points on the Pareto frontiers of the costs, then those with
    the best point; of one method with several options, all but the first come after the other methods.
    """
    # At next to no energy a network that guesses is on the frontier.
    fair = points[points["value"] >= points["value"].max() - DEPTH]
    on_front = pd.concat([frontier(fair, cost)["method"] for cost in costs]).value_counts()
    best = points.groupby("method", sort=False)["value"].max()
    ranked = sorted(best.index, key=lambda method: (method != BASELINE, -on_front.get(method, 0), -best[method]))
    firsts = {method.partition(":")[0]: method for method in reversed(ranked)}
    ranked.sort(key=lambda method: method not in firsts.values())
    chosen = set(ranked[: len(COLOURS)])
    return [method for method in dict.fromkeys(points["method"]) if method in chosen]


def twin_of(method: str) -> str:
    """The name of the quantised twin of a burst method, "burst:phi=4"."""
    return method.replace("burst", TWIN, 1)


@dataclass(frozen=True)
class Look:
    """How the points of one method are drawn."""

    colour: str
    marker: str

    def draw(self, axis: Axes, points: pd.DataFrame, cost: str, label: str, *, twin: bool = False) -> None:
        """Draws a line through points with their 95 % intervals; that of a twin is dashed, its markers hollow."""
        ordered = points.sort_values("T")
        value = ordered["value"].to_numpy(float)
        spread = [value - ordered["low"].to_numpy(float), ordered["high"].to_numpy(float) - value]
        axis.errorbar(
            ordered[cost].to_numpy(float), value, [part.clip(min=0) for part in spread], label=label, color=self.colour,
            marker=self.marker, linestyle="--" if twin else "-", markerfacecolor="white" if twin else self.colour,
            elinewidth=0.7, linewidth=0.9 if twin else 1.3,
        )  # fmt: skip


def draw_methods(axis: Axes, points: pd.DataFrame, cost: str, chosen: Sequence[str]) -> None:
    """Draws the chosen methods in colour with their twins, and all others in grey without names."""
    twins = {twin_of(method) for method in chosen if method.startswith("burst")}
    rest = [method for method in dict.fromkeys(points["method"]) if method not in chosen and method not in twins]
    for index, method in enumerate(rest):
        of_method = points[points["method"] == method].sort_values("T")
        axis.plot(
            of_method[cost].to_numpy(float), of_method["value"].to_numpy(float), color=GREY, linewidth=0.7, marker=".",
            markersize=3, label=f"{OTHERS} ({len(rest)})" if index == 0 else f"_{method}", zorder=1,
        )  # fmt: skip
    named = False
    for method, colour, marker in zip(chosen, COLOURS, MARKERS, strict=False):
        look = Look(colour, marker)
        look.draw(axis, points[points["method"] == method], cost, method)
        twin = points[points["method"] == twin_of(method)] if twin_of(method) in twins else points[:0]
        if len(twin):
            # One entry of the legend for all of them.
            label = f"_{twin_of(method)}" if named else "quantised twin, in the colour of its burst"
            look.draw(axis, twin, cost, label, twin=True)
            named = True


def against_ann(axis: Axes, group: Group, points: pd.DataFrame, cost: str) -> None:
    """Labels the axis of the metric, draws the ANN's, and says how many points lie deeper than the axis reaches."""
    axis.set_ylabel(with_n(group.metric_label, group.n))
    if group.ann is None:
        return
    value = group.ann.metrics[group.metric].value
    axis.axhline(value, color="black", linestyle=":", linewidth=0.9, label=f"ANN, {value:.2f}")
    floor = value - DEPTH
    deeper = int((points["value"] < floor).sum())
    if deeper and deeper < len(points):
        shown = points.loc[points["value"] >= floor, cost].astype(float)
        axis.set(xlim=(0.85 * shown.min(), 1.15 * shown.max()))
        axis.set_ylim(floor, max(value, float(points["high"].max())) + 0.04 * DEPTH)
        # Off the data: what is not shown lies below the axis.
        axis.text(
            0.99, 0.015, f"{deeper} of {len(points)} points lie below {floor:.0f}", transform=axis.transAxes,
            ha="right", va="bottom", fontsize=6, color="0.35",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
