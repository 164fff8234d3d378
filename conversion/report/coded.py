"""The error of the value that a layer's receivers hold after the last step, split by cause (docs/report.md).

Let x be the current that the layer knows at its last step, with the bias of that step, f the activation function that
it replaces, and a the ANN's activation. The value held after step T differs from a by

    inherited     f(x) - a                  the error of earlier layers
    clipping      clip(f(x)) - f(x)         no more can be said in T steps than that
    quantisation  Q(x) - clip(f(x))         with Q(x) the value held after T steps if x had been there from the first
    unevenness    the actual value - Q(x)   earlier steps knew another current

and these four sum to the whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from conversion.capture.channels import per_channel
from conversion.capture.qcfs import qcfs
from conversion.capture.roles import Activation
from conversion.codes import WindowCode
from conversion.report.errors import ErrorSplit
from conversion.simulation.coded import CodedLayer, waited
from conversion.simulation.neuron import Neuron, leaky_relu, slope_along

FAR = 1e6
"""A current beyond all that any code says: that many times the largest threshold."""


def split_coded_error(
    neuron: Neuron, T: int, axis: int, currents: Sequence[Tensor], function: Activation, activation: Tensor
) -> tuple[list[Tensor], ErrorSplit]:
    """Simulates one layer of neurons in a code and splits the error of the value held after the last step.

    Args and returns are those of `conversion.report.errors.split_error`; steps of the current that nobody knows may
    be None.
    """
    known = waited(currents, neuron.wait)
    layer = CodedLayer(neuron, T, axis)
    outputs, spikes = [], []
    for current in known:
        spikes.append(layer.send(current).spikes.double())
        outputs.append(layer.held.to(current.dtype))
    actual = layer.held.double()

    # What all is chosen by: the last step, or in codes that choose at once the first.
    decisive = 0 if isinstance(neuron.code, WindowCode) else T - 1
    current = known[decisive]
    bias = layer.biases[min(decisive, len(layer.biases) - 1)]
    summed = (current + bias).double()
    ideal = leaky_relu(summed, slope_along(function.slope, summed, axis)).clamp(max=function.ceiling)
    if function.levels is not None:
        ideal = qcfs(ideal, ideal.new_tensor([function.ceiling]), function.levels)
    lowest, highest = _range(neuron, T, axis, current)
    clipped = ideal.minimum(highest).maximum(lowest)
    at_once = _last(neuron, T, axis, current)
    split = ErrorSplit(
        inherited=ideal - activation.double(),
        clipping=clipped - ideal,
        quantisation=at_once - clipped,
        unevenness=actual - at_once,
        spikes=spikes,
    )
    return outputs, split


def _last(neuron: Neuron, T: int, axis: int, current: Tensor) -> Tensor:
    """The value held after T steps of the same current."""
    layer = CodedLayer(neuron, T, axis)
    for _ in range(T):
        layer.send(current)
    return layer.held.double()


def _range(neuron: Neuron, T: int, axis: int, current: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest value of each channel that the code can say in T steps, in a shape fit for a current.

    A current far beyond says the largest; below zero, where the function has a slope, the least.
    """
    slopes = neuron.slope if isinstance(neuron.slope, tuple) else (neuron.slope,)
    channels = max(neuron.threshold.shape[-1], neuron.bias.shape[-1], len(slopes))
    far = FAR * float(neuron.threshold.max())
    signs = tuple(float(slope > 0) for slope in slopes)
    bare = replace(neuron, bias=torch.zeros_like(neuron.bias), ceiling=math.inf, slope=signs)
    ends = (_last(bare, T, 1, current.new_full((1, channels), sign * far))[0] for sign in (-1, 1))
    lowest, highest = (per_channel(end, axis, current.dim()) for end in ends)
    return lowest, highest
