"""Layer by layer and step by step: spikes, accuracy after each step, and the error of each layer by its kind."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from benchmarks.pages.figures.base import Plot
from benchmarks.pages.figures.data import TWIN, Group, Source, distinct, groups_of, middle_step
from benchmarks.pages.figures.style import COLOURS, MARKERS, below, canvas, title, with_n
from benchmarks.records.record import LayerCounts, Record
from conversion.report.errors import PARTS
from conversion.report.layers import explain

MOST = 6
"""Methods in one figure; a selection with --method draws others."""
PANELS = 4
SAMPLES: int = inspect.signature(explain).parameters["samples"].default
"""The calibration samples that errors are measured on, where a conversion sees so many."""


def spikes(sources: Sequence[Source]) -> Iterator[Plot]:
    """Mean spikes of a sample in each layer, and in each step where records hold them."""
    for group in groups_of(sources):
        records = _at_one_step(group, [record for record in group.first_seed() if record.layers], MOST)
        if not records:
            continue
        stepped = [record for record in records if len(record.activity) > 1]
        figure, [panels] = canvas(1, 1 + bool(stepped), 3.6)
        for record, colour, marker in zip(records, COLOURS, MARKERS, strict=False):
            layers = neurons(record)
            panels[0].plot(
                range(1, len(layers) + 1), [layer.spikes / 1000 for layer in layers], color=colour, marker=marker,
                label=record.cell.recipe.label,
            )  # fmt: skip
            if record in stepped:
                counts = [count / 1000 for count in record.activity]
                panels[1].plot(range(1, len(counts) + 1), counts, color=colour, marker=marker)
        name_layers(panels[0], records)
        panels[0].set(ylabel=with_n("spikes, thousands", group.n), ylim=(0, None))
        panels[0].set_title("one sample: each layer, all steps")
        if stepped:
            panels[1].xaxis.set_major_locator(MaxNLocator(integer=True))
            panels[1].set(xlabel=with_n("step", group.n), ylim=(0, None))
            panels[1].set(ylabel=with_n("spikes, thousands", group.n), title="one sample: each step, all layers")
        title(figure, f"{group.title}, T = {records[0].cell.T}")
        below(figure, panels[0])
        yield Plot(f"spikes-{group.name}", figure)


def steps(sources: Sequence[Source]) -> Iterator[Plot]:
    """The primary metric after each step of one conversion, of the most steps that the methods share."""
    for group in groups_of(sources):
        scored = [record for record in group.first_seed() if len(record.curve) > 1]
        longest = max((record.cell.T or 0 for record in scored), default=0)
        records = distinct([record for record in scored if longest == record.cell.T], MOST)
        if not records:
            continue
        figure, [[axis]] = canvas(1, 1, 3.4)
        for record, colour, marker in zip(records, COLOURS, MARKERS, strict=False):
            axis.plot(
                list(record.curve), list(record.curve.values()), color=colour, marker=marker,
                label=record.cell.recipe.label,
            )  # fmt: skip
        if group.ann is not None:
            value = group.ann.metrics[group.metric].value
            axis.axhline(value, color="black", linestyle=":", linewidth=0.9, label=f"ANN, {value:.2f}")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlabel(with_n("step t of one simulation", group.n))
        axis.set_ylabel(with_n(f"{group.metric_label}, after step t", group.n))
        title(figure, f"{group.title}, converted for T = {longest}")
        below(figure, axis)
        yield Plot(f"steps-{group.name}", figure)


def errors(sources: Sequence[Source]) -> Iterator[Plot]:
    """The error that each layer's mean output has, by cause, a panel for each method."""
    for group in groups_of(sources):
        reported = [record for record in group.first_seed() if record.report and record.cell.method != TWIN]
        records = _at_one_step(group, reported, PANELS)
        if not records:
            continue
        columns = min(2, len(records))
        rows = -(-len(records) // columns)
        figure, panels = canvas(rows, columns, 2.5 * rows + 0.7)
        axes = [axis for row in panels for axis in row]
        largest = 0.0
        for record, axis in zip(records, axes, strict=False):
            layers = [layer.errors for layer in record.report if layer.errors is not None]
            for part, colour, marker in zip(PARTS, COLOURS, MARKERS, strict=False):
                found = [100 * getattr(layer, part).rms for layer in layers]
                axis.plot(range(1, len(found) + 1), found, color=colour, marker=marker, label=part, markersize=3)
                largest = max([largest, *found])
            name_layers(axis, [record], size=5)
            axis.set_title(record.cell.recipe.label)
            n = min(SAMPLES, record.cell.calibration)
            axis.set_ylabel(with_n("error, % of the activation's RMS", n, "calibration samples", line=True), fontsize=7)
        for axis in axes:
            axis.set_ylim(0, 1.05 * largest)
            axis.set_visible(bool(axis.lines))
        title(figure, f"{group.title}, T = {records[0].cell.T}: RMS of each layer's error, by cause")
        below(figure, axes[0], columns=len(PARTS))
        yield Plot(f"errors-{group.name}", figure)


def neurons(record: Record) -> list[LayerCounts]:
    """The counts of the layers that have neurons; an input of events is a layer without."""
    return [layer for layer in record.layers if layer.phi > 0]


def layer_names(record: Record, count: int) -> list[str]:
    """The names of the layers of neurons, those of their first weights; numbers where there is no report of them."""
    names = [layer.name.partition(" ")[0] for layer in record.report if layer.errors is not None]
    return names if len(names) == count else [str(number) for number in range(1, count + 1)]


def name_layers(axis: Axes, records: Sequence[Record], size: float = 6) -> None:
    """Names the layers on the x axis, as the first record with names has them."""
    count = max(len(neurons(record)) for record in records)
    names = max((layer_names(record, count) for record in records), key=lambda names: not names[0].isdecimal())
    axis.set_xticks(range(1, count + 1), names, rotation=90, fontsize=size)
    axis.set_xlabel(f"layer ({count} in all)")


def _at_one_step(group: Group, records: Sequence[Record], most: int) -> list[Record]:
    """Records of different methods at the T that most of them have."""
    T = middle_step(records)
    return distinct([record for record in records if record.cell.T == T], most)
