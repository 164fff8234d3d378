"""Local threshold balancing, and the delayed readout that goes with it (Bu et al., CVPR 2025)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import cycle, islice

import torch
from torch import Tensor, fx

from conversion.calibration.statistics import Calibration
from conversion.capture.channels import per_channel, per_neuron
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron
from conversion.stages.base import put_neurons, require_activations, require_rates, require_same_graph

# Smallest threshold, which channels that are never active keep.
SMALLEST = 1e-6
# Steps that a delayed readout reads at least, where T has as many.
LEAST = 4


@dataclass(frozen=True)
class LocalThresholdBalancing:
    """One threshold per channel, raised batch after batch by twice the mean excess of the activations.

        V <- max(V + 2 mean(max(a - V, 0)), 1e-6)       from V = 0, the mean over samples and positions

    Activations are clipped at the new threshold before they go on to the next layer, so that a layer is balanced on
    what the layers before it can send. No threshold exceeds the value at which the ANN's own activation saturates.

    Attributes:
        batches: number of batches; the calibration set is gone through again where it has fewer. Thresholds rise with
            every batch, ever more slowly (about as its logarithm): after few of them they clip much.
        batch: samples in a batch.
    """

    batches: int = 100
    batch: int = 100

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        graph = network.graph
        require_activations(graph, calibration)
        thresholds: dict[fx.Node, Tensor] = {}

        def observe(node: fx.Node, value: Tensor) -> Tensor:
            axis, dims = graph.channel_axis(node), value.dim()
            others = [other for other in range(dims) if other != axis]
            wide = value.to(torch.promote_types(value.dtype, torch.float32))
            threshold = thresholds.get(node, wide.new_zeros(graph.channels(node)))
            excess = (wide.abs() - per_channel(threshold, axis, dims)).clamp(min=0)
            raised = threshold + 2 * excess.mean(others)
            thresholds[node] = raised.clamp(SMALLEST, graph.activation(node).ceiling)
            bound = per_channel(thresholds[node], axis, dims).to(value.dtype)
            return value.clamp(-bound, bound)

        for batch in islice(cycle(calibration.mean_inputs.split(self.batch)), self.batches):
            graph.run(batch, observe=observe)
        return put_neurons(network, {node: thresholds[node].double() for node in graph.firing}, "potential")


@dataclass(frozen=True)
class DelayedReadout:
    """Leaves the first steps out of the readout, which pass before spikes have come through all layers.

    The delay of a layer is the number of steps in which its mean input charges it: the largest V - v(0) of its channels
    over the largest mean activation of a channel, on the first batch, activations clipped at the thresholds before. The
    delays of all layers are added up and rounded up. Where fewer than four steps would be left, the last five are read,
    or all where T is below five: SpikingJelly's `estimate_delay_start`.

    Attributes:
        batch: samples that the delay is estimated on, from the first.
    """

    batch: int = 100

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        require_rates(network, "A delayed readout")
        require_same_graph(network.graph, calibration)
        delay, T = self.delay(network, calibration), network.T
        fits = delay + LEAST <= T
        return replace(network, readout_start=math.ceil(delay) if fits else max(T - LEAST - 1, 0))

    def delay(self, network: SpikingNetwork, calibration: Calibration) -> float:
        """Steps until spikes have come through all layers, in fractions of steps."""
        graph = network.graph
        delays: list[float] = []

        def observe(node: fx.Node, value: Tensor) -> Tensor | None:
            neuron = network.neurons.get(node)
            if neuron is None:
                return None
            axis = graph.channel_axis(node)
            delays.append(_steps_to_charge(neuron, value, axis))
            bound = per_neuron(neuron.phi * neuron.threshold.to(value.dtype), axis, value.dim())
            return value.clamp(-bound, bound)

        graph.run(calibration.mean_inputs[: self.batch], observe=observe)
        return sum(delays)


def _steps_to_charge(neuron: Neuron, activation: Tensor, axis: int) -> float:
    """Steps in which the mean activation of the most active channel charges a neuron; zero where nothing is active."""
    charge = float(neuron.threshold.max()) * (0.5 if neuron.start == "potential" else 1)
    rows = activation.double().clamp(min=0).movedim(axis, -1).flatten(0, -2)
    # With one threshold per layer the published estimate takes the mean over all of it.
    mean = float(rows.mean() if neuron.threshold.numel() == 1 else rows.mean(0).max())
    return charge / mean if mean > 0 else 0.0
