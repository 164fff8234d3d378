"""Counts of a layer in one timestep: spikes, binary digits, events and units, and their synaptic operations."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_IN_A_BYTE = 255
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
    # Where no loop is compiled, whole numbers of four bytes would take most of the time of a step. Finding the largest
    # would make a GPU wait.
    alone = not torch.compiler.is_compiling() and spikes.device.type == "cpu" and spikes.numel() > 0
    narrow = alone and bool(spikes.amax() <= MOST_IN_A_BYTE)
    return ones_in_binary(spikes.to(torch.uint8 if narrow else torch.int32)).to(spikes.dtype)


def ones_in_binary(number: Tensor) -> Tensor:
    """Number of ones among the binary digits of numbers below 2^16, or of bytes, from sums of ever larger fields."""
    if number.dtype == torch.uint8:
        number = number - ((number >> 1) & 0x55)
        number = (number & 0x33) + ((number >> 2) & 0x33)
        return (number + (number >> 4)) & 0x0F
    number = number - ((number >> 1) & 0x5555)
    number = (number & 0x3333) + ((number >> 2) & 0x3333)
    number = (number + (number >> 4)) & 0x0F0F
    return (number + (number >> 8)) & 0x1F
