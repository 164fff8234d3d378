"""A layer's spikes of one step, counted as a simulation goes: spikes, binary digits and events, and what they cause."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_SPIKES = 2**16 - 1
"""The largest number of spikes a step whose binary digits are counted."""


def count_spikes(spikes: Tensor, fan_out: Tensor | None, single: bool) -> Tensor | None:
    """Spikes, binary digits and events per sample and second axis, plain and weighted by the fan-out.

    `single` says that phi is one, which saves two thirds of the sums.
    """
    if fan_out is None:
        return None
    plain: tuple[Tensor, ...] = (spikes,)
    if not single:
        digits = ones_in_binary(spikes.to(torch.int32)).to(spikes.dtype)
        plain = (spikes, digits, (spikes > 0).to(spikes.dtype))
    counts = [*plain, *(count * fan_out for count in plain)]
    # Sums of one channel, which float32 holds exactly up to 2^24 and to parts in ten million beyond; the caller adds
    # them up in float64. Over all axes in one call and stacked in front, they compile into the same loop as the update.
    axes = tuple(range(2, spikes.dim()))
    tally = torch.stack([count.sum(axes) if axes else count for count in counts])
    # Of single spikes all three countings agree.
    return tally.repeat_interleave(3, dim=0) if single else tally


def ones_in_binary(number: Tensor) -> Tensor:
    """How many binary digits of a number below 2^16 are one, adding neighbouring fields of 1, 2, 4 and 8 bits."""
    number = number - ((number >> 1) & 0x5555)
    number = (number & 0x3333) + ((number >> 2) & 0x3333)
    number = (number + (number >> 4)) & 0x0F0F
    return (number + (number >> 8)) & 0x1F
