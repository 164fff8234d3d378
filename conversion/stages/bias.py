"""Bias corrections: a current that makes up for the mean error of a layer's output."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx

from conversion.calibration.statistics import Calibration
from conversion.capture.channels import per_channel
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Layer, Neuron
from conversion.simulation.schedules import TimeSeries
from conversion.stages.base import channel_mean, correct, spike_train


@dataclass(frozen=True)
class BiasCorrection:
    """Light calibration: shifts each channel's current by its mean error (Eq. 6 of the paper).

    b <- b + mean(ANN activation) - mean(spiking output over T steps), per channel, layer after layer: the
    currents of a layer come from the corrected layers before it. All layers take one sweep.
    """

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        def correction(node: fx.Node, neuron: Neuron, currents: TimeSeries) -> Neuron:
            axis = network.graph.channel_axis(node)
            spiking = channel_mean([spike_train(neuron, network.T, axis, batch) for batch in currents], axis)
            error = calibration.histograms[node].mean.to(spiking.device) - spiking
            return replace(neuron, bias=neuron.bias + error)

        return correct(network, calibration, correction)


@dataclass(frozen=True)
class TemporalBias:
    """FTBC: a bias for each channel and step (Wu et al., ECCV 2024).

    b_t <- b_t + rate (mean(ANN activation) - mean(spiking output over steps 1..t)), repeated at step t before step
    t + 1. The mean is over all steps so far: a step makes up for the error of those before it.

    Attributes:
        rate: the part of the deviation that is corrected at once, alpha.
        passes: repetitions at each step.
    """

    rate: float = 0.5
    passes: int = 4

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        T = network.T

        def correction(node: fx.Node, neuron: Neuron, currents: TimeSeries) -> Neuron:
            axis = network.graph.channel_axis(node)
            target = calibration.histograms[node].mean.to(neuron.bias.device)
            layers = [Layer(neuron, T, axis) for _ in currents]
            extra = torch.zeros(T, len(target), dtype=torch.float64, device=target.device)
            total = torch.zeros_like(target)
            for t in range(T):
                for _ in range(self.passes):
                    trial = _step([copy(layer) for layer in layers], currents, t, extra[t], axis)
                    extra[t] += self.rate * (target - (total + trial) / (t + 1))
                total += _step(layers, currents, t, extra[t], axis)
            return replace(neuron, bias=neuron.bias + extra)

        return correct(network, calibration, correction)


def _step(layers: list[Layer], currents: TimeSeries, t: int, extra: Tensor, axis: int) -> Tensor:
    """Mean output of each channel at step t with an extra current, over all batches."""
    outputs = []
    for layer, batch in zip(layers, currents, strict=True):
        current = batch[t].to(torch.promote_types(batch[t].dtype, torch.float32))
        outputs.append([layer.step(current + per_channel(extra, axis, current.dim()).to(current.dtype))[0]])
    return channel_mean(outputs, axis)
