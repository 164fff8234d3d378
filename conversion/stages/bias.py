"""Bias correction: a current that makes up for the mean error of a layer's output."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import fx

from conversion.calibration.statistics import Calibration
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron
from conversion.simulation.schedules import TimeSeries
from conversion.stages.base import channel_mean, compiles, correct, spike_train


@dataclass(frozen=True)
class BiasCorrection:
    """Light calibration: shifts each channel's current by its mean error (Eq. 6 of the paper).

    b <- b + mean(ANN activation) - mean(spiking output over T steps), per channel, layer after layer: the
    currents of a layer come from the corrected layers before it. All layers take one sweep.
    """

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        fast = compiles(network, calibration)

        def correction(node: fx.Node, neuron: Neuron, currents: TimeSeries) -> Neuron:
            axis = network.graph.channel_axis(node)
            spiking = channel_mean([spike_train(neuron, network.T, axis, batch, fast) for batch in currents], axis)
            error = calibration.histograms[node].mean.to(spiking.device) - spiking
            return replace(neuron, bias=neuron.bias + error)

        return correct(network, calibration, correction)
