"""Neurons in the place of activations."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from conversion.calibration import Calibration
from conversion.errors import InvalidInput
from conversion.network import SpikingNetwork
from conversion.neuron import Neuron, Start
from conversion.thresholds import Rule, choose_threshold


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
