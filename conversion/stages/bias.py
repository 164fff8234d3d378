"""Corrections of the current: what a layer lacks or has too much of on average."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx

from conversion.calibration.statistics import Calibration
from conversion.capture.channels import per_channel
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Layer, Neuron
from conversion.simulation.schedules import Trains
from conversion.stages.base import channel_mean, correct, fire_train


@dataclass(frozen=True)
class BiasCorrection:
    """Light calibration: shifts each channel's current by its mean error (Eq. 6 of the paper).

    b <- b + mean(ANN activation) - mean(spiking output over T steps), per channel, layer after layer, every layer
    fed by the corrected ones before it. All layers take one sweep.
    """

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        def correction(node: fx.Node, neuron: Neuron, currents: Trains) -> Neuron:
            axis = network.graph.channel_axis(node)
            spiking = channel_mean([fire_train(neuron, network.T, axis, train) for train in currents], axis)
            error = calibration.histograms[node].mean.to(spiking.device) - spiking
            return replace(neuron, bias=neuron.bias + error)

        return correct(network, calibration, correction)


@dataclass(frozen=True)
class TemporalBias:
    """FTBC: a bias for each channel and step (Wu et al., ECCV 2024).

    b_t <- b_t + rate (mean(ANN activation) - mean(spiking output over steps 1..t)), repeated at step t before step
    t + 1 is looked at. The mean is over all steps so far: what one step sent too much, the next sends less.

    Attributes:
        rate: the part of the deviation that is corrected at once, alpha.
        passes: repetitions at each step.
    """

    rate: float = 0.5
    passes: int = 4

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        T = network.T

        def correction(node: fx.Node, neuron: Neuron, currents: Trains) -> Neuron:
            axis = network.graph.channel_axis(node)
            target = calibration.histograms[node].mean.to(neuron.bias.device)
            layers = [Layer(neuron, T, axis) for _ in currents]
            extra = torch.zeros(T, len(target), dtype=torch.float64, device=target.device)
            sent = torch.zeros_like(target)
            for t in range(T):
                for _ in range(self.passes):
                    trial = _step([copy(layer) for layer in layers], currents, t, extra[t], axis)
                    extra[t] += self.rate * (target - (sent + trial) / (t + 1))
                sent += _step(layers, currents, t, extra[t], axis)
            return replace(neuron, bias=neuron.bias + extra)

        return correct(network, calibration, correction)


def _step(layers: list[Layer], currents: Trains, t: int, extra: Tensor, axis: int) -> Tensor:
    """Mean by channel of what all batches transmit at step t with an extra current."""
    outputs = []
    for layer, train in zip(layers, currents, strict=True):
        current = train[t].to(torch.promote_types(train[t].dtype, torch.float32))
        outputs.append([layer.step(current + per_channel(extra, axis, current.dim()).to(current.dtype))[0]])
    return channel_mean(outputs, axis)
