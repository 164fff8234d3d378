"""Thresholds at the largest value of each neuron, and neurons at the network's output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from conversion.calibration.statistics import Calibration
from conversion.calibration.thresholds import positive
from conversion.errors import InvalidInput
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron, Start
from conversion.stages.base import put_neurons, require_activations, require_neurons, require_same_graph

Share = Literal["layer", "neuron"]


@dataclass(frozen=True)
class NeuronThresholds:
    """Gives every single neuron its own threshold: its largest activation on the calibration set (SNM).

    Neurons are signed, without half a threshold, and take spikes back at minus a threshold. A neuron that is never
    active takes the largest threshold of its layer. The size of the input is fixed.
    """

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        graph = network.graph
        require_activations(graph, calibration)
        thresholds = {
            node: positive(calibration.maxima[node].double().clamp(max=graph.activation(node).ceiling))
            for node in graph.firing
        }
        return put_neurons(network, thresholds, "none", takes_back="at_threshold")


@dataclass(frozen=True)
class OutputNeurons:
    """Puts neurons at the network's output: its last layer spikes too, and the output is the mean of these spikes.

    Thresholds are the largest outputs on the calibration set. Neurons send nothing where the ANN's output is negative,
    and with one spike per step no more than T + 1 values: the output of such a network does not approach the ANN's.

    Raises InvalidInput where the output is one number for each sample, without an axis of channels.

    Attributes:
        threshold: one for each "layer" or each "neuron".
        start: how neurons get their half threshold.
        signed: neurons take spikes back at minus a threshold, as those of `NeuronThresholds`.
    """

    threshold: Share
    start: Start
    signed: bool = False

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        graph = network.graph
        require_same_graph(graph, calibration)
        require_neurons(network, "A spiking output")
        neurons = dict(network.neurons)
        for node in graph.output_encoders:
            if node.meta["val"].dim() < 2:
                raise InvalidInput(
                    "The network's output has one number for each sample; neurons at the output need an axis of "
                    "channels. Keep it in the network (keepdim=True), or choose a method without such neurons."
                )
            largest = calibration.maxima[node].double().clamp(min=0)
            if self.threshold == "layer":
                largest = largest.max().view(1)
            neurons[node] = Neuron(
                positive(largest), 1, torch.zeros(1, dtype=torch.float64, device=largest.device), self.start,
                signed=self.signed, takes_back="at_threshold" if self.signed else "eagerly",
            )  # fmt: skip
        return network.with_neurons(neurons)
