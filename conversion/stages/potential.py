"""Corrections of the initial potential."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx

from conversion.calibration.statistics import Calibration
from conversion.capture.channels import per_channel
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron
from conversion.simulation.schedules import TimeSeries
from conversion.stages.base import channel_mean, correct, sample_mean, spike_train


@dataclass(frozen=True)
class PotentialCorrection:
    """Corrects initial potentials by the mean error of the output over T steps (SNN Calibration).

    v(0) <- v(0) + T (mean(ANN activation) - mean(spiking output over T steps)), layer after layer in one sweep.

    Attributes:
        by_channel: one potential for each channel; else one for each neuron, which fixes the size of the input.
    """

    by_channel: bool = False

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        means = {} if self.by_channel else ann_means(calibration)

        def correction(node: fx.Node, neuron: Neuron, currents: TimeSeries) -> Neuron:
            axis = network.graph.channel_axis(node)
            outputs = [spike_train(neuron, network.T, axis, batch) for batch in currents]
            spiking = channel_mean(outputs, axis) if self.by_channel else sample_mean(outputs)
            ann = calibration.histograms[node].mean.to(spiking.device) if self.by_channel else means[node]
            error = network.T * (ann - spiking)
            if neuron.potential is None:
                return replace(neuron, potential=error)
            dims = max(error.dim(), neuron.potential.dim())
            return replace(neuron, potential=_by_neuron(neuron.potential, axis, dims) + _by_neuron(error, axis, dims))

        return correct(network, calibration, correction)


def _by_neuron(potential: Tensor, axis: int, dims: int) -> Tensor:
    """A potential for each channel in as many dimensions as one for each neuron; a sample has no batch axis."""
    return per_channel(potential, axis - 1, dims) if potential.dim() < dims else potential


def ann_means(calibration: Calibration) -> dict[fx.Node, Tensor]:
    """The ANN's mean activation of every neuron, by layer, in the shape of one sample, float64."""
    sums: dict[fx.Node, Tensor] = {}

    def observe(node: fx.Node, value: Tensor) -> None:
        total = value.sum(0, dtype=torch.float64)
        sums[node] = sums[node] + total if node in sums else total

    for batch in calibration.mean_inputs.split(calibration.pass_batch):
        calibration.graph.run(batch, observe=observe)
    return {node: total / len(calibration.mean_inputs) for node, total in sums.items()}
