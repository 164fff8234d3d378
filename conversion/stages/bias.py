"""Corrections of the current: what a layer lacks or has too much of on average."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import fx

from conversion.calibration import Calibration
from conversion.errors import InvalidInput
from conversion.network import SpikingNetwork
from conversion.schedules import Trains, sweep
from conversion.stages.base import SWEEP_BATCH, channel_mean, fire_train


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
            spiking = channel_mean([fire_train(neuron, network.T, axis, train) for train in currents], axis)
            error = calibration.histograms[node].mean.to(spiking.device) - spiking
            corrected[node] = replace(neuron, bias=neuron.bias + error)
            return [fire_train(corrected[node], network.T, axis, train) for train in currents]

        batches = [[graph.cast(batch)] for batch in calibration.inputs.split(SWEEP_BATCH)]
        with torch.no_grad():
            sweep(network, batches, network.T, spike)
        return network.with_neurons(corrected)
