"""Thresholds that weigh the error of a layer against the energy of its spikes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from conversion.calibration.histogram import ChannelHistogram
from conversion.calibration.quantisers import Quantisers
from conversion.calibration.statistics import Calibration
from conversion.calibration.thresholds import SATURATION_GRID, search_thresholds
from conversion.capture.graph import ConversionGraph
from conversion.counting.fanout import connect
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron
from conversion.stages.base import require_activations

RATIO = SATURATION_GRID[1] / SATURATION_GRID[0]


@dataclass(frozen=True)
class EnergyAwareThresholds:
    """Puts neurons in the place of activations, with thresholds that weigh error against energy, channel by channel.

    They minimise

        MSE(V) / E[a^2] + energy f / F E[spikes(V)],

    where MSE(V) is the rounding quantiser's, E[a^2] the mean over the whole layer, E[spikes] what a neuron of the
    channel fires in T steps, f the mean fan-out of the channel's neurons and F the mean over layers of their mean
    fan-out. A channel may fall silent where its spikes cost more than they reduce the error. With energy = 0 the
    thresholds are those of the rule "mse".

    Attributes:
        energy: the weight of energy, lambda.
        phi: most spikes per step. With a large one the thresholds decide how many are fired.
        signed: neurons may take spikes back. Leaky ReLUs are signed in any case.
    """

    energy: float = 0.05
    phi: int = 8
    signed: bool = False

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        graph = network.graph
        require_activations(graph, calibration)
        fan_outs = relative_fan_out(graph)
        neurons = {}
        for node, histogram in calibration.histograms.items():
            activation = graph.activation(node)
            threshold = self.threshold(histogram, fan_outs[node], network.T, activation.ceiling)
            threshold = threshold.to(graph.example.device)
            neurons[node] = Neuron(
                threshold,
                self.phi,
                torch.zeros_like(threshold),
                signed=self.signed or activation.leaky,
                slope=activation.slope,
            )
        return network.with_neurons(neurons)

    def threshold(self, histogram: ChannelHistogram, fan_out: Tensor, T: int, ceiling: float = math.inf) -> Tensor:
        """Thresholds of one layer, float64 of shape (channels,), given `fan_out`, f / F for each of its channels.

        `ceiling` is where the ANN's own activation saturates; phi V exceeds it only to keep a channel silent.
        """
        quantisers, largest = Quantisers(histogram), histogram.maximum
        power = quantisers.squares.mean()
        if power == 0:
            return torch.ones_like(largest)

        def cost(threshold: Tensor) -> Tensor:
            error, spikes = quantisers(threshold / T, T * self.phi, rounding=0.5)
            return error / power + self.energy * fan_out * spikes / histogram.seen

        chosen = search_thresholds(largest, candidates(T, self.phi), cost)
        fires = chosen <= largest * SATURATION_GRID[-1] / self.phi
        chosen = torch.where(fires, chosen.clamp(max=ceiling / self.phi), chosen)
        # A dead channel costs least with the largest threshold of its layer.
        return torch.where(chosen > 0, chosen, chosen.max())


def candidates(T: int, phi: int) -> Tensor:
    """Candidate thresholds over the largest activation: those of the rule "mse", then larger ones up to silence."""
    grid = SATURATION_GRID / phi
    silent = torch.log(2 * T / grid[-1]) / torch.log(RATIO)
    return torch.cat([grid, grid[-1] * RATIO ** torch.arange(1, max(int(silent), 0) + 3, dtype=torch.float64)])


def relative_fan_out(graph: ConversionGraph) -> Mapping[fx.Node, Tensor]:
    """Mean fan-out of each channel's neurons over the mean of all layers' means, by layer, shape (channels,)."""
    fan_out = connect(graph, graph.firing).fan_out
    means = {}
    for node, neurons in fan_out.items():
        # A sample has no batch axis.
        rows = neurons.movedim(graph.channel_axis(node) - 1, -1).flatten(0, -2) if neurons.dim() > 1 else neurons[None]
        means[node] = rows.mean(0).cpu()
    overall = torch.stack([mean.mean() for mean in means.values()]).mean()
    return {node: mean / overall if overall > 0 else mean for node, mean in means.items()}
