"""One neuron's potential and spikes: what bursts (the paper's Figure 5) and larger thresholds (its Figure 6) change.

The neuron is the simulator's, under a current that is the same at every step. No record is needed, and none is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from benchmarks.pages.figures.base import Plot
from benchmarks.pages.figures.data import Source
from benchmarks.pages.figures.style import COLOURS, HATCHES, canvas, title
from conversion.simulation.neuron import Layer, Neuron
from conversion.stages.ssc import scaled

STEPS = 8
STRONG, WEAK = 1.6, 0.5
"""Currents of the two figures, in thresholds: more than one spike a step can send, and one spike in two steps."""
ONE, NONE = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
PLAIN = Neuron(threshold=ONE, phi=1, bias=NONE, start="none")


def bursts(sources: Sequence[Source]) -> Iterator[Plot]:
    """A current above the threshold: with phi of 1 the potential piles up, with 4 it is sent."""
    yield _plot("neuron-phi", STRONG, {f"φ = {phi}": replace(PLAIN, phi=phi) for phi in (1, 4)})


def thresholds(sources: Sequence[Source]) -> Iterator[Plot]:
    """Regular spikes: with a threshold twice as large, half as many spikes of twice the amplitude."""
    yield _plot("neuron-rho", WEAK, {f"\N{GREEK SMALL LETTER RHO} = {rho:g}": scaled(PLAIN, rho) for rho in (1.0, 2.0)})


def simulate_one(neuron: Neuron, current: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What one neuron sends in each step, and its potential after it, both in thresholds of rho = 1."""
    layer, sent, potential = Layer(neuron, STEPS, 1), [], []
    for _ in range(STEPS):
        output, _ = layer.step(torch.full((1, 1), current, dtype=torch.float64))
        sent.append(output.item())
        potential.append(layer.state[0].item())
    return np.array(sent), np.array(potential)


def _plot(name: str, current: float, neurons: dict[str, Neuron]) -> Plot:
    figure, panels = canvas(2, len(neurons), 3.6)
    highest = max(2.2, max(float(simulate_one(neuron, current)[1].max()) for neuron in neurons.values()) + 1)
    for column, (label, neuron) in enumerate(neurons.items()):
        sent, potential = simulate_one(neuron, current)
        _potential(panels[0][column], neuron, current, potential, highest)
        _spikes(panels[1][column], neuron, sent)
        panels[0][column].set_title(
            f"{label}: {sent.sum():g} of {STEPS * current:g} sent, {potential[-1]:g} left in the potential"
        )
    title(
        figure,
        f"One neuron (n = 1), computed by the simulator: a current of {current:g} thresholds in each of {STEPS} steps",
    )
    return Plot(name, figure)


def _potential(axis: Axes, neuron: Neuron, current: float, potential: NDArray[np.float64], highest: float) -> None:
    """The potential in continuous time: it rises with the current, and falls by what is sent at the end of a step."""
    steps = np.arange(1, STEPS + 1)
    before = np.concatenate([[0.0], potential[:-1]]) + current
    times = np.concatenate([[0.0], np.repeat(steps, 2)])
    values = np.concatenate([[0.0], np.column_stack([before, potential]).ravel()])
    axis.plot(times, values, color=COLOURS[0], label="potential")
    threshold = neuron.threshold.item()
    axis.axhline(threshold, color="black", linestyle=":", linewidth=0.9, label="threshold")
    axis.set(xlim=(0, STEPS + 0.4), ylim=(0, highest), ylabel="potential, thresholds", xlabel="time, steps")
    axis.legend(loc="upper left", ncols=2, fontsize=6)


def _spikes(axis: Axes, neuron: Neuron, sent: NDArray[np.float64]) -> None:
    """The spikes of each step, their amplitude in the title of the axis."""
    counts = sent / neuron.threshold.item()
    axis.bar(np.arange(1, STEPS + 1), counts, 0.5, color=COLOURS[1], hatch=HATCHES[1], edgecolor="white", linewidth=0)
    axis.set(xlim=(0, STEPS + 0.4), ylim=(0, 4), xlabel="time, steps")
    axis.set_ylabel(f"spikes, each worth {neuron.threshold.item():g}")
