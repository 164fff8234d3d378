"""Stages: what a conversion method is made of. Each takes a spiking network and gives a better one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, fx

from conversion.calibration import Calibration
from conversion.errors import InvalidInput
from conversion.network import SpikingNetwork
from conversion.neuron import Layer, Neuron, Start
from conversion.schedules import Trains, sweep
from conversion.thresholds import Rule, choose_threshold

# Small batches keep a layer's potentials near the cores from step to step.
SWEEP_BATCH = 32


class Stage(Protocol):
    """One step of a conversion."""

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork: ...


@dataclass(frozen=True)
class Thresholds:
    """Puts neurons in the place of every activation, with thresholds chosen from the ANN's activations.

    Attributes:
        rule: of `conversion.thresholds`.
        phi: most spikes per step, the same in every layer.
        channelwise: one threshold for each channel instead of one for each layer.
        start: how the neurons get their half threshold, see Neuron.
        signed: neurons may take spikes back. Leaky ReLUs are signed in any case.
    """

    rule: Rule = "mse"
    phi: int = 1
    channelwise: bool = True
    start: Start = "potential"
    signed: bool = False

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        graph = network.graph
        if calibration.graph is not graph:
            raise InvalidInput("The calibration set was measured on another network; make one from this graph.")
        graph.refuse_untimed()
        device = graph.example.device
        neurons = {}
        for node, histogram in calibration.histograms.items():
            activation = graph.activation(node)
            threshold = choose_threshold(
                histogram, self.rule, network.T, self.phi, channelwise=self.channelwise, ceiling=activation.ceiling
            )
            neurons[node] = Neuron(
                threshold.to(device), self.phi, torch.zeros_like(threshold, device=device), self.start,
                signed=self.signed or activation.slope > 0, slope=activation.slope,
            )  # fmt: skip
        return network.with_neurons(neurons)


@dataclass(frozen=True)
class BiasCorrection:
    """Light calibration: shifts each channel's current by its mean error (Eq. 6 of the paper).

    b <- b + mean(ANN activation) - mean(spiking output over T steps), per channel, layer after layer, every layer
    fed by the corrected ones before it. All layers take one sweep.
    """

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        if not network.neurons:
            raise InvalidInput("Bias correction needs neurons; put a stage that sets thresholds before it.")
        graph = network.graph
        corrected = dict(network.neurons)

        def spike(node: fx.Node, currents: Trains) -> Trains:
            axis = graph.channel_axis(node)
            neuron = corrected[node]
            spiking = _mean([_fire(neuron, network.T, axis, train) for train in currents], axis)
            error = calibration.histograms[node].mean.to(spiking.device) - spiking
            corrected[node] = replace(neuron, bias=neuron.bias + error)
            return [_fire(corrected[node], network.T, axis, train) for train in currents]

        batches = [[graph.cast(batch)] for batch in calibration.inputs.split(SWEEP_BATCH)]
        with torch.no_grad():
            sweep(network, batches, network.T, spike)
        return network.with_neurons(corrected)


@dataclass(frozen=True)
class Quantise:
    """The quantised twin: one step with the T phi + 1 levels that the network had in T steps, V / T apart.

    What is left is the accuracy that the number of levels allows; what T steps lose beyond it is due to time.
    """

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        if not network.neurons:
            raise InvalidInput("The quantised twin needs neurons; put a stage that sets thresholds before it.")
        T = network.T
        neurons = {
            node: replace(neuron, threshold=neuron.threshold / T, phi=neuron.phi * T, start="potential")
            for node, neuron in network.neurons.items()
        }
        return SpikingNetwork(network.graph, 1, neurons)


def _fire(neuron: Neuron, T: int, axis: int, currents: Sequence[Tensor]) -> list[Tensor]:
    layer = Layer(neuron, T, axis)
    return [layer.step(current)[0] for current in currents]


def _mean(trains: Trains, axis: int) -> Tensor:
    """Mean over samples, positions and steps, per channel, float64."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for train in trains:
        for output in train:
            rows = output.movedim(axis, -1).flatten(0, -2)
            total = total.to(output.device) + rows.sum(0, dtype=torch.float64)
            count += len(rows)
    return total / count
