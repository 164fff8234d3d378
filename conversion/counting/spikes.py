"""Counts of a layer in one timestep: spikes, binary digits, events and units, and their synaptic operations."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

MOST_SPIKES = 2**16 - 1
"""Largest number of spikes per step: binary digits are counted for numbers of up to 16 bits."""


def count_spikes(
    spikes: Tensor, fan_out: Tensor | None, single: bool, units: Tensor | None = None, in_binary: bool = False
) -> Tensor | None:  # fmt: skip
    """Spikes, binary digits, events and units per sample and second axis, plain and weighted by the fan-out.

    Args:
        spikes: numbers of spikes, shape (N, ...).
        fan_out: synaptic operations of one spike of each neuron; None counts nothing.
        single: no neuron fires more than once, which saves sums.
        units: amplitudes in units of the layer's smallest; None where all spikes have one amplitude.
        in_binary: a number of spikes is sent as its binary digits, of which each that is one is a single spike of
            that digit's amplitude, and the number says the units.
    """
    if fan_out is None:
        return None
    plain: tuple[Tensor, ...] = (spikes,)
    if not single:
        digits = _digits(spikes)
        plain = (spikes, digits, (spikes > 0).to(spikes.dtype))
    if in_binary and not single:
        plain, units = (plain[1], *plain[1:]), spikes
    if units is not None:
        plain = (*plain, units)
    counts = [*plain, *(count * fan_out for count in plain)]
    # Sums of one channel, which float32 holds exactly up to 2^24 and to parts in ten million beyond; the caller adds
    # them up in float64. Over all axes in one call and stacked in front, they compile into the same loop as the update.
    axes = tuple(range(2, spikes.dim()))
    sums = [count.sum(axes) if axes else count for count in counts]
    # Of single spikes three countings agree, and of spikes of one amplitude the fourth agrees with the first.
    rows = ([0, 0, 0] if single else [0, 1, 2]) + [0 if units is None else len(plain) - 1]
    return torch.stack([sums[row] for row in (*rows, *(len(plain) + row for row in rows))])


def _digits(spikes: Tensor) -> Tensor:
    """Number of ones among the binary digits of each number of spikes, in its type and order in memory."""
    number = spikes.to(torch.int32)
    if torch.compiler.is_compiling():  # Arithmetic becomes part of one loop; by itself it takes 5 to 12 times as long.
        return ones_in_binary(number).to(spikes.dtype)
    order = sorted(range(number.dim()), key=number.stride, reverse=True)
    # Potentials that are not finite give any number; what the network answers then is refused.
    places = number.clamp(0, MOST_SPIKES).permute(order)
    found = _table(spikes.dtype, spikes.device).index_select(0, places.reshape(-1)).view(places.shape)
    return found.permute([order.index(axis) for axis in range(number.dim())])


@cache
def _table(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The number of ones among the binary digits of every number up to MOST_SPIKES."""
    return ones_in_binary(torch.arange(MOST_SPIKES + 1, dtype=torch.int32, device=device)).to(dtype)


def ones_in_binary(number: Tensor) -> Tensor:
    """Number of ones among the binary digits of a number below 2^16, from sums of fields of 1, 2, 4 and 8 bits."""
    number = number - ((number >> 1) & 0x5555)
    number = (number & 0x3333) + ((number >> 2) & 0x3333)
    number = (number + (number >> 4)) & 0x0F0F
    return (number + (number >> 8)) & 0x1F
