"""The neurons of parallel conversion (Hao et al., ICML 2025), with the corrections of its mode without training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx

from conversion.calibration.statistics import Calibration
from conversion.calibration.thresholds import choose_threshold
from conversion.capture.graph import ConversionGraph
from conversion.codes import Unary
from conversion.simulation.coded import waited
from conversion.simulation.frames import running_means
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron
from conversion.simulation.schedules import TimeSeries, sweep
from conversion.stages.base import channel_mean, require_activations, spike_train


@dataclass(frozen=True)
class ParallelNeurons:
    """Puts neurons that fire the level of their mean current in the first of T steps, T levels up to theta.

    theta is the channel's largest activation, or what the activation was trained with (QCFS). Layer after layer, with
    the inputs of the corrected layers before it, a channel gets

        psi, added to the current: the ANN's mean current less its own,
        phi, added to what a spike is worth: (E[a] - r theta) / (1 + r), with r the mean of what is fired, in theta.

    The release finds both as running averages of the channel's mean error, weights .99 and .01, in a network that runs
    beside the ANN's activations; these are where its averages come to rest. They are no integrals: an error of the mean
    output is not removed, but divided by 1 + r.
    """

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        graph, T = network.graph, network.T
        require_activations(graph, calibration)
        neurons = {node: _uncorrected(graph, node, calibration, T) for node in graph.firing}
        network = replace(network, nonlinear="instantaneous").with_neurons(neurons)

        def spike(node: fx.Node, currents: TimeSeries) -> TimeSeries:
            axis = graph.channel_axis(node)
            known = [waited(batch, neurons[node].wait) for batch in currents]
            neurons[node] = _corrected(neurons[node], known, axis, calibration, node, T)
            return [spike_train(neurons[node], T, axis, batch) for batch in known]

        with torch.no_grad():
            sweep(network, [running_means(steps) for steps in calibration.sweeps(T)], T, spike)
        return network.with_neurons(neurons)


def _uncorrected(graph: ConversionGraph, node: fx.Node, calibration: Calibration, T: int) -> Neuron:
    function = graph.activation(node)
    if function.levels is None:
        histogram = calibration.histograms[node]
        theta = choose_threshold(histogram, "max", T, 1, channelwise=True, ceiling=function.ceiling)
    else:
        theta = torch.tensor([function.ceiling], dtype=torch.float64)
    theta = theta.to(graph.example.device)
    return Neuron(theta / T, 1, 0 * theta, slope=function.slope, code=Unary(), wait=T, ceiling=function.ceiling)


def _corrected(
    neuron: Neuron, currents: TimeSeries, axis: int, calibration: Calibration, node: fx.Node, T: int
) -> Neuron:  # fmt: skip
    """The neuron with psi as its bias and 1 + phi / theta as its gain."""
    last = [[batch[-1]] for batch in currents]
    psi = calibration.moments[node].mean.to(neuron.threshold.device) - channel_mean(last, axis)
    neuron = replace(neuron, bias=psi)
    sent = channel_mean([[spike_train(neuron, T, axis, batch)[-1]] for batch in currents], axis)
    theta = T * neuron.threshold
    wanted: Tensor = calibration.histograms[node].mean.to(sent.device)
    return replace(neuron, gain=1 + (wanted - sent) / (1 + sent / theta) / theta)
