"""The stage that puts neurons in the place of activations."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from conversion.calibration.statistics import Calibration
from conversion.calibration.thresholds import ThresholdRule, choose_threshold
from conversion.capture.graph import ConversionGraph
from conversion.errors import InvalidInput
from conversion.simulation.network import Nonlinear, SpikingNetwork
from conversion.simulation.neuron import Neuron, Start
from conversion.stages.base import require_activations


@dataclass(frozen=True)
class Thresholds:
    """Puts neurons in the place of every activation, with thresholds chosen from the ANN's activations.

    Attributes:
        rule: name of a rule of `conversion.calibration.thresholds`.
        phi: most spikes per step, of every layer or one for each layer in execution order.
        channelwise: one threshold for each channel instead of one for each layer.
        start: form of the neurons' half threshold, see Neuron.
        signed: neurons may take spikes back. Leaky ReLUs are signed in any case.
        nonlinear: form of nonlinear operations in time, see SpikingNetwork.
    """

    rule: ThresholdRule = "mse"
    phi: int | tuple[int, ...] = 1
    channelwise: bool = True
    start: Start = "potential"
    signed: bool = False
    nonlinear: Nonlinear = "difference"

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        graph = network.graph
        require_activations(graph, calibration)
        device = graph.example.device
        neurons = {}
        for (node, histogram), phi in zip(calibration.histograms.items(), self._phi(graph), strict=True):
            activation = graph.activation(node)
            threshold = choose_threshold(
                histogram, self.rule, network.T, phi, channelwise=self.channelwise, ceiling=activation.ceiling
            )
            neurons[node] = Neuron(
                threshold.to(device), phi, torch.zeros_like(threshold, device=device), self.start,
                signed=self.signed or activation.leaky, slope=activation.slope,
            )  # fmt: skip
        return replace(network.with_neurons(neurons), nonlinear=self.nonlinear)

    def _phi(self, graph: ConversionGraph) -> tuple[int, ...]:
        layers = graph.firing
        phi = (self.phi,) * len(layers) if isinstance(self.phi, int) else self.phi
        if min(phi, default=1) < 1:
            raise InvalidInput(f"phi is {min(phi)}, but a neuron fires at least 1 spike per step; give phi >= 1.")
        if len(phi) != len(layers):
            names = ", ".join(node.name for node in layers)
            raise InvalidInput(f"phi has {len(phi)} entries for {len(layers)} layers; give one for each of {names}.")
        return phi
