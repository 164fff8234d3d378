"""Thresholds that fit a normal distribution of each channel's currents (DCGS, H-MT)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import fx

from conversion.calibration.normal import Moments, fit
from conversion.calibration.statistics import Calibration
from conversion.calibration.thresholds import positive
from conversion.capture.graph import ConversionGraph, source_line
from conversion.codes import Code
from conversion.errors import InvalidInput
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron, slope_along
from conversion.stages.base import require_activations


@dataclass(frozen=True)
class NormalFit:
    """Puts neurons with thresholds from two moments of the ANN's currents (`conversion.calibration.normal`).

    The quantiser that is fitted has the levels of T steps. A channel without a positive current takes the largest
    threshold of its layer. No bias is corrected, as published.

    Attributes:
        levels: of one step, above zero.
        code: of the neurons, the largest of whose amplitudes is fitted; None is the rate code, with bursts of up to
            `levels` spikes that are sent in binary.
    """

    levels: int
    code: Code | None = None

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        graph = network.graph
        require_activations(graph, calibration)
        neurons = {node: self._neuron(graph, node, calibration.moments[node], network.T) for node in graph.firing}
        if self.code is not None:
            network = replace(network, nonlinear="instantaneous")
        return network.with_neurons(neurons)

    def _neuron(self, graph: ConversionGraph, node: fx.Node, moments: Moments, T: int) -> Neuron:
        function = graph.activation(node)
        if self.code is None and function.leaky:
            raise InvalidInput(
                f"The activation {node.target} at {source_line(node)} has negative outputs, which bursts in binary "
                "do not say; choose a method with signed neurons, such as burst or held."
            )
        slope = slope_along(function.slope, moments.mean, 0)
        largest = positive(fit(moments, T * self.levels, slope).clamp(max=function.ceiling))
        largest = largest.to(graph.example.device)
        none = torch.zeros_like(largest[:1])
        if self.code is None:
            return Neuron(largest / self.levels, self.levels, none, in_binary=True)
        return Neuron(largest, 1, none, slope=function.slope, code=self.code, ceiling=function.ceiling)
