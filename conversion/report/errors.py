"""The error of a layer's mean output, split by cause (docs/report.md).

Over T steps a layer of neurons receives T x_bar, with x_bar its mean current, the terms of calibration included. With f
the activation function that it replaces and a the ANN's activation, its mean output differs from a by

    inherited     f(x_bar) - a                            the error of earlier layers
    clipping      min(f(x_bar), phi V) - f(x_bar)         no more than phi spikes fit into a step
    quantisation  V/T clip(floor(T x_bar/V + 1/2), 0, T phi) - min(f(x_bar), phi V)
    unevenness    the actual output, less that under a current that is the same at every step

and these four sum to the whole. Where a trial comes before the steps that count, the T steps are those after it, and a
corrected potential is no input: what it changes is unevenness. Neurons whose receivers hold a value are in
`conversion.report.coded`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.capture.channels import per_channel, per_neuron
from conversion.capture.qcfs import qcfs
from conversion.capture.roles import Activation
from conversion.simulation.neuron import Layer, Neuron, leaky_relu, slope_along
from conversion.simulation.transfer import mean_spike_output

PARTS = ("inherited", "clipping", "quantisation", "unevenness")


@dataclass(frozen=True, eq=False)
class ErrorSplit:
    """The parts of one layer's error, tensors of shape (N, ...) in float64, and its spikes at each step."""

    inherited: Tensor
    clipping: Tensor
    quantisation: Tensor
    unevenness: Tensor
    spikes: list[Tensor]

    @property
    def own(self) -> Tensor:
        return self.clipping + self.quantisation + self.unevenness

    @property
    def total(self) -> Tensor:
        return self.inherited + self.own


def split_error(
    neuron: Neuron, T: int, axis: int, currents: Sequence[Tensor], function: Activation, activation: Tensor
) -> tuple[list[Tensor], ErrorSplit]:
    """Simulates one layer of neurons and splits the error of its mean output.

    Args:
        neuron: the parameters.
        T: number of steps.
        axis: axis of the channels.
        currents: the layer's input at each step, of shape (N, ...).
        function: the ANN's activation function in the place of this layer.
        activation: its values in the ANN, of the shape of a current.

    Returns:
        The layer's output at each step, and the parts of its error.
    """
    layer = Layer(neuron, T, axis)
    if neuron.rehearsal:
        layer.rehearse(currents[: neuron.rehearsal])
    outputs = [layer.step(current)[0] for current in currents]
    potential = layer.state[0]
    # As the layer rounded it, so that levels compare exactly.
    threshold = per_neuron(neuron.threshold.to(potential.dtype).double(), axis, potential.dim())
    spikes = [(value.double() / threshold).round() for value in outputs]
    left_out = 0 if neuron.trial is None else neuron.trial.steps - neuron.rehearsal
    total, T = torch.stack(spikes[left_out:]).sum(0), T - left_out
    # All that the layer received, biases and initial potentials included, was fired or is left in the potential. Half a
    # threshold of it, however it enters, is rounding.
    received = total * threshold + potential.double()
    if neuron.trial is not None:  # Silenced spikes were fired, too, and a shift was not received.
        bias = per_channel(layer.neuron.bias.double(), axis, potential.dim())
        received = torch.stack([current.double() for current in currents[left_out:]]).sum(0) + T * bias + threshold / 2
    half = torch.zeros_like(threshold) if neuron.start == "none" else threshold / 2
    summed = received - half

    slope = slope_along(function.slope, summed, axis)
    ideal = leaky_relu(summed, slope).clamp(max=T * function.ceiling) / T
    if function.levels is not None:
        ideal = qcfs(ideal, ideal.new_tensor([function.ceiling]), function.levels)
    clipped = ideal.minimum(neuron.phi * threshold).maximum(neuron.lowest * threshold)
    # A leaky ReLU scales a shift, which comes with the current, but not an initial potential.
    rounded = leaky_relu(received, slope) if neuron.start == "shift" else leaky_relu(summed, slope) + half
    quantised = mean_spike_output(rounded / threshold, neuron, threshold, T)
    split = ErrorSplit(
        inherited=ideal - activation.double(),
        clipping=clipped - ideal,
        quantisation=quantised - clipped,
        unevenness=total * threshold / T - quantised,
        spikes=spikes,
    )
    return outputs, split
