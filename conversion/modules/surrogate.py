"""Gradients through spikes: the derivative of a smooth function in the place of a step's.

A neuron fires as many spikes as there are k = 1..phi with v >= k threshold. Each of these steps H(v / threshold - k)
gets the gradient of a surrogate function (Neftci et al., "Surrogate gradient learning in spiking neural networks", IEEE
Signal Processing Magazine 2019); the spikes stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from conversion.errors import InvalidInput
from conversion.simulation.neuron import Neuron, leaky_relu

Surrogate = Callable[[Tensor], Tensor]
"""A step function of (potential / threshold - k) with a gradient of its own, as those of snntorch and SpikingJelly."""


class _Triangle(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        ctx.save_for_backward(distance)
        return (distance >= 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (distance,) = ctx.saved_tensors
        slope: Tensor = gradients[0] * (1 - distance.abs()).clamp(min=0)
        return slope


def triangle(distance: Tensor) -> Tensor:
    """The step function with the gradient max(0, 1 - |distance|), whose integral is 1.

    The gradients of neighbouring steps sum to 1 between them, so that a burst follows its potential with slope 1, as a
    ReLU does (Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking neurons", 2018).
    """
    result: Tensor = _Triangle.apply(distance)
    return result


def with_gradient(neuron: Neuron, surrogate: Surrogate) -> Callable[..., Any]:
    """The update of a layer of neurons (`conversion.simulation.neuron.fire`) with gradients, which counts nothing.

    Raises:
        InvalidInput: the neuron has a code, a memory, or tries its input first; there are no gradients for these.
    """
    if neuron.code is not None:
        raise InvalidInput(
            f"There are no surrogate gradients for the code '{neuron.code.name}'; tune it with the method "
            "'held_tuned', or convert with a rate code, such as 'burst'."
        )
    if neuron.trial is not None or (neuron.signed and neuron.takes_back != "eagerly"):
        raise InvalidInput(
            "There are surrogate gradients for neurons that fire at their threshold and for signed ones that take back "
            "eagerly; those with a memory or a trial have none. Convert with 'burst' or 'calibration'."
        )

    def steps(potential: Tensor, threshold: Tensor, phi: Tensor) -> Tensor:
        """Steps up to the potential, one for each of its 1..phi spikes, with the surrogate's gradient alone."""
        distance = potential / threshold
        soft = torch.stack([surrogate(distance - k) for k in range(1, int(phi) + 1)]).sum(0)
        return soft - soft.detach()

    def fire(
        potential: Tensor, current: Tensor, constant: Tensor, threshold: Tensor, phi: Tensor, fan_out: Tensor | None,
        single: bool, in_binary: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
        potential = potential + current + constant
        fired = torch.floor(potential / threshold).clamp(min=0).minimum(phi).detach()
        spikes = fired + steps(potential, threshold, phi)
        output = spikes * threshold
        return potential - output, output.to(current.dtype), None

    def fire_signed(
        potential: Tensor, total: Tensor, current: Tensor, constant: Tensor, threshold: Tensor, phi: Tensor,
        fan_out: Tensor | None, single: bool, offset: Tensor, slope: float | Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:  # fmt: skip
        potential = potential + current + constant
        summed = potential + total * threshold - offset
        wanted = (leaky_relu(summed, slope) + offset) / threshold
        fired = (torch.floor(wanted) - total).minimum(phi).maximum(-phi).detach()
        # As many steps up as down: what it wants beyond what it has sent.
        wanting = (wanted - total) * threshold
        soft = steps(wanting, threshold, phi) - steps(-wanting, threshold, phi)
        spikes = fired + soft
        output = spikes * threshold
        return potential - output, total + spikes, output.to(current.dtype), None

    return fire_signed if neuron.signed else fire
