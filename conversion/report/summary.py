"""A conversion at a glance: its layers, its energy, and which layer costs most accuracy; as text, table and plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from conversion.calibration.statistics import Calibration
from conversion.report.energy import energy
from conversion.report.errors import PARTS
from conversion.report.layers import LayerReport, advice, explain, worst
from conversion.simulation.network import SpikingNetwork

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Summary:
    """What a conversion made of a network. Its text is a report to print.

    Attributes:
        layers: every activation of the ANN, in execution order.
        energy: see `conversion.energy`.
    """

    layers: tuple[LayerReport, ...]
    energy: pd.DataFrame

    @property
    def worst(self) -> str:
        """A sentence on the layer that adds most error, and of which kind."""
        return worst(self.layers)

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each layer: neurons, phi, mean spikes for each neuron and step, the share of neurons that never
        fired, and errors as their RMS in units of the RMS of the ANN's activation."""
        return pd.DataFrame([_row(layer) for layer in self.layers]).set_index("layer")

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draws the error that each layer adds, by cause, and what it inherits, as shares of its activation's RMS.

        Args:
            axes: where to draw; new ones when left out.
        """
        from matplotlib import pyplot as plt  # Loads in a second.

        if axes is None:
            _, axes = plt.subplots(figsize=(7, 1 + 0.3 * len(self.layers)), layout="constrained")
        errors = self.frame[list(PARTS)].astype(float).fillna(0.0)
        base = pd.Series(0.0, index=errors.index)
        for part in PARTS:
            axes.barh(range(len(errors)), errors[part], left=base, label=part)
            base = base + errors[part]
        axes.set_yticks(range(len(errors)), errors.index)
        axes.invert_yaxis()
        axes.set_xlabel("RMS error / RMS of the ANN's activation, parts side by side")
        axes.legend()
        return axes

    def __str__(self) -> str:
        shares = self.energy["share"]
        layers = self.frame.to_string(float_format=lambda value: f"{value:.3g}", na_rep="")
        energy = (
            f"Energy of the ANN's: {shares['SNN, unary']:.1%} where a burst of n is n spikes, "
            f"{shares['SNN, graded']:.1%} where it is one event."
        )
        return "\n".join([self.worst, advice(self.layers), energy, "", layers])


def summarise(network: SpikingNetwork, inputs: Any, prices: str = "horowitz45") -> Summary:
    """Measures a conversion on some inputs: training ones, or any that are not to be scored.

    Args:
        network: the converted network.
        inputs: a batch of shape (N, ...), several, or a loader of inputs with or without labels.
        prices: name of a price list (`conversion.counting.prices.PRICES`).
    """
    calibration = Calibration(network.graph, inputs)
    return Summary(tuple(explain(network, calibration)), energy(network, calibration.inputs, prices))


def _row(layer: LayerReport) -> dict[str, object]:
    errors = {} if layer.errors is None else {part: getattr(layer.errors, part).rms for part in (*PARTS, "total")}
    return {
        "layer": layer.name, "role": layer.role, "neurons": layer.neurons, "phi": layer.phi, "rate": layer.rate,
        "silent": layer.silent, **errors,
    }  # fmt: skip
