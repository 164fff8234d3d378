"""Biases for each channel and step: FTBC (Wu et al., ECCV 2024) as published, and by the running mean (ours)."""

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
from conversion.stages.base import channel_mean, correct

# Samples in a batch of StepBias.
BATCH = 32


@dataclass(frozen=True)
class StepBias:
    """FTBC as published: the bias of a step makes up for the mean error of that step alone.

    Layer after layer, for each batch of 32 samples and each step t,

        b_t <- b_t + rate (mean(ANN activation) - mean(spiking output at step t)),

    both means over the batch; the neurons then fire step t again with the new bias, before step t + 1. This is the form
    that the release applies to networks of SNN Calibration. The release goes through the network for each batch; this
    stage goes through the batches for each layer, so that a layer is corrected on the final spikes of those before it.

    Attributes:
        rate: the part of the deviation that is corrected at once, alpha.
        passes: passes over the calibration set.
    """

    rate: float = 0.5
    passes: int = 5

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        T = network.T
        # A sweep's batches are smaller where inputs are large.
        joined = max(BATCH // calibration.sweep_batch, 1)
        targets = _batch_means(calibration, joined * calibration.sweep_batch)

        def correction(node: fx.Node, neuron: Neuron, currents: TimeSeries) -> Neuron:
            axis = network.graph.channel_axis(node)
            extra = torch.zeros(T, *targets[0][node].shape, dtype=torch.float64, device=targets[0][node].device)
            groups = [currents[first : first + joined] for first in range(0, len(currents), joined)]
            for _ in range(self.passes):
                for group, target in zip(groups, targets, strict=True):
                    layers = [Layer(neuron, T, axis) for _ in group]
                    for t in range(T):
                        trial = _step([copy(layer) for layer in layers], group, t, extra[t], axis)
                        extra[t] += self.rate * (target[node] - trial)
                        _step(layers, group, t, extra[t], axis)
            return replace(neuron, bias=neuron.bias + extra)

        return correct(network, calibration, correction)


@dataclass(frozen=True)
class TemporalBias:
    """A bias for each channel and step that makes up for the mean error of all steps so far (ours).

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


def _batch_means(calibration: Calibration, size: int) -> list[dict[fx.Node, Tensor]]:
    """The ANN's mean activation of each channel, by batch of `size` samples and by layer, float64."""
    graph = calibration.graph
    found: list[dict[fx.Node, Tensor]] = []
    for batch in calibration.mean_inputs.split(size):
        means: dict[fx.Node, Tensor] = {}

        def observe(node: fx.Node, value: Tensor, means: dict[fx.Node, Tensor] = means) -> None:
            means[node] = channel_mean([[value]], graph.channel_axis(node))

        graph.run(batch, observe=observe)
        found.append(means)
    return found


def _step(layers: list[Layer], currents: TimeSeries, t: int, extra: Tensor, axis: int) -> Tensor:
    """Mean output of each channel at step t with an extra current, over all batches."""
    outputs = []
    for layer, batch in zip(layers, currents, strict=True):
        current = batch[t].to(torch.promote_types(batch[t].dtype, torch.float32))
        outputs.append([layer.step(current + per_channel(extra, axis, current.dim()).to(current.dtype))[0]])
    return channel_mean(outputs, axis)
