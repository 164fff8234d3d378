"""The transfer function of a neuron: its mean output over T steps if the same current came at every step.

    V/T clip(floor(T x / V + rounding), T lowest, T phi)

for a mean current x: T phi + 1 levels, V / T apart. Rounding is 1/2 where half a threshold is in the potential or comes
as a current, and 0 where the neuron floors; `lowest` is 0, or -phi for the signed neuron of a leaky ReLU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from conversion.capture.channels import per_channel, per_neuron
from conversion.simulation.neuron import Neuron, leaky_relu, slope_along


def quantised_level(position: Tensor, lowest: int, highest: int) -> Tensor:
    """The level that a value is quantised to: clip(floor(position), lowest, highest).

    The gradient passes the floor as if it were not there, and stops where the level is clipped.

    Args:
        position: the value in units of the level width, with what turns flooring into rounding.
        lowest: the lowest level.
        highest: the highest level.
    """
    level = position.floor()
    if position.requires_grad:
        level = position + (level - position).detach()
    return level.clamp(lowest, highest)


def mean_spike_output(position: Tensor, neuron: Neuron, threshold: Tensor, T: int) -> Tensor:
    """The transfer function, V/T clip(floor(position)), of position = T x / V + rounding.

    `threshold` is the neuron's in the dtype of the position, with as many dimensions.
    """
    return quantised_level(position, T * neuron.lowest, T * neuron.phi) * threshold / T


def mean_output(neuron: Neuron, current: Tensor, T: int, axis: int) -> Tensor:
    """The mean output of a layer over T steps if its current were the mean at every step; gradients pass the floor.

    Args:
        neuron: the parameters; bias and potential are added to the current.
        current: mean over the steps, shape (N, ...).
        T: number of steps.
        axis: axis of the channels.
    """
    dtype, dims = torch.promote_types(current.dtype, torch.float32), current.dim()
    bias = neuron.bias.mean(0) if neuron.bias.dim() == 2 else neuron.bias
    threshold = per_neuron(neuron.threshold.to(dtype), axis, dims)
    summed = T * (current.to(dtype) + per_channel(bias.to(dtype), axis, dims))
    if neuron.potential is not None:
        summed = summed + per_neuron(neuron.potential.to(dtype), axis, dims)
    activation = leaky_relu(summed, slope_along(neuron.slope, summed, axis)) if neuron.leaky else summed
    position = activation / threshold + (0.0 if neuron.start == "none" else 0.5)
    return mean_spike_output(position, neuron, threshold, T)
