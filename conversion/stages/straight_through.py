"""All steps of a layer of held values at once, with gradients that pass the rounding of the number of spikes.

A layer gets the currents of all steps and answers with the values held after each, so that what a neuron remembers from
step to step stays in registers, and convolutions have the samples of all steps as one batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from conversion.codes.held import ROUNDING
from conversion.simulation.compiling import compiled
from conversion.simulation.neuron import Neuron, leaky_relu, slope_along


class HeldSteps(torch.autograd.Function):
    """T steps of `Held` for one layer.

    With u = (a - h) / V before rounding, dk/du is 1 where |u| is within phi and 0 beyond, and d|k|/du is sign(k) there.
    """

    @staticmethod
    def forward(
        ctx: Any, currents: Tensor, bias: Tensor, logarithm: Tensor, price: Tensor, neuron: Neuron, fast: bool
    ) -> tuple[Tensor, Tensor]:
        """The values held after each step, of the shape of `currents`, and by step the sum of the spikes' prices.

        Args:
            currents: shape (T, N, positions, channels).
            bias: shape (T, channels).
            logarithm: of the thresholds, shape (T, channels).
            price: of one spike of each neuron, shape (positions, channels).
            neuron: says phi and the activation function.
            fast: compile what is done for each neuron.
        """
        ctx.neuron, ctx.fast = neuron, fast
        threshold = logarithm.exp()
        ctx.save_for_backward(currents, bias, threshold, price)
        spell = compiled(_spell, in_one_pass=True) if fast else _spell
        slope = slope_along(neuron.slope, currents, -1)
        held, spent = spell(currents, bias, threshold, price, neuron.phi, slope, neuron.ceiling)
        return held, spent

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        derive = compiled(_derive, in_one_pass=True) if ctx.fast else _derive
        currents, bias, threshold, price = ctx.saved_tensors
        neuron, (of_held, of_spent) = ctx.neuron, gradients
        slope = slope_along(neuron.slope, currents, -1)
        of_currents, by_neuron = derive(
            currents, bias, threshold, price, neuron.phi, slope, neuron.ceiling, of_held.contiguous(), of_spent
        )  # fmt: skip
        # Sums over samples and positions in the compiled loop would split it.
        return of_currents, of_currents.sum((1, 2)), by_neuron.sum((1, 2)), None, None, None


def _units(
    current: Tensor, held: Tensor, threshold: Tensor, phi: int, slope: float | Tensor, ceiling: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The error in thresholds, u, and the number of spikes with its sign, k."""
    units = (leaky_relu(current, slope).clamp(max=ceiling) - held) / threshold
    return units, units.sign() * torch.floor(units.abs() + ROUNDING).clamp(max=phi)


def _spell(
    currents: Tensor, bias: Tensor, threshold: Tensor, price: Tensor, phi: int, slope: float | Tensor, ceiling: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The values held after each step, and by step the sum of the spikes' prices."""
    held, spent = [torch.zeros_like(currents[0])], []
    for t in range(len(currents)):
        _, spikes = _units(currents[t] + bias[t], held[-1], threshold[t], phi, slope, ceiling)
        held.append(held[-1] + spikes * threshold[t])
        spent.append((spikes.abs() * price).sum())
    return torch.stack(held[1:]), torch.stack(spent)


def _derive(
    currents: Tensor, bias: Tensor, threshold: Tensor, price: Tensor, phi: int, slope: float | Tensor, ceiling: float,
    of_held: Tensor, of_spent: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradients by currents, and by each neuron's logarithm of the thresholds, from those by what `_spell` returns.

    The spikes are computed again: reading them from memory would take longer.
    """
    known, held = [], torch.zeros_like(currents[0])
    for t in range(len(currents)):
        current = currents[t] + bias[t]
        units, spikes = _units(current, held, threshold[t], phi, slope, ceiling)
        held = held + spikes * threshold[t]
        known.append((current, units, spikes))
    of_currents, by_neuron = [], []
    of_later = torch.zeros_like(held)
    for t in reversed(range(len(currents))):
        current, units, spikes = known[t]
        of_after = of_held[t] + of_later
        within = (units.abs() < phi + 0.5).to(units.dtype)
        counted = units.sign() * (spikes != 0) * price * of_spent[t] * within
        of_value = of_after * within + counted / threshold[t]
        of_later = of_after - of_value
        # h + k V by log V: V (k - u) where k follows u, V k where it does not; and |k| by log V: -sign(k) u.
        by_neuron.append((spikes - units * within) * of_after * threshold[t] - counted * units)
        of_currents.append(of_value * (torch.where(current > 0, 1.0, slope) * (current < ceiling)))
    return torch.stack(of_currents[::-1]), torch.stack(by_neuron[::-1])
