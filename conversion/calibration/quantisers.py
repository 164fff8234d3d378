"""Errors and spikes of quantisers on a layer's activations, from its histogram."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from conversion.calibration.histogram import BINS, ChannelHistogram
from conversion.simulation.transfer import quantised_level


class Quantisers:
    """Errors and spikes of uniform quantisers on one layer's activations, summed over its histogram.

    A quantiser has the levels k s, k = 0..L, and an activation a reaches level k where a >= e_k = (k - rounding) s.
    So its level is the number of edges up to a, and its squared error is a^2 plus (2k - 1) s^2 - 2 s a for each of
    these edges. With R0(e) the number of activations from e on and R1(e) their sum,

        levels = sum_k R0(e_k),     squared error = R2(0) - 2 s sum_k R1(e_k) + s^2 sum_k (2k - 1) R0(e_k).

    A candidate costs as many look-ups as it has edges, in place of a pass over all bins.
    """

    def __init__(self, histogram: ChannelHistogram) -> None:
        self.counts = histogram.counts
        # Dead channels have nothing to count, in bins of any width.
        self.bin_width = torch.where(histogram.width > 0, histogram.width, 1.0)
        self.highest = histogram.maximum + histogram.width
        # In half widths the centres are odd integers, and all sums exact.
        self.odd = 2 * torch.arange(BINS) + 1
        self.tails = _tail(self.counts), _tail(self.counts * self.odd)
        self.squares = (self.counts.double() @ (self.odd.double() ** 2)) * (self.bin_width / 2) ** 2
        """Sum of the squared activations, shape (channels,)."""

    def __call__(self, level_width: Tensor, levels: int, rounding: float) -> tuple[Tensor, Tensor]:
        """Sums of squared errors and of levels over the activations, each of shape (channels,).

        Args:
            level_width: s, positive, shape (channels,) or (1,).
            levels: L.
            rounding: 0 floors, 1/2 rounds to the nearest level.
        """
        edges = min(levels, int((self.highest / level_width + rounding).max()))
        bins = min(BINS, math.ceil(float((levels * level_width / self.bin_width).max()) + 1))
        by_edge = edges <= bins
        return (self._by_edge if by_edge else self._by_bin)(level_width, levels, rounding, edges if by_edge else bins)

    def _by_edge(self, level_width: Tensor, levels: int, rounding: float, edges: int) -> tuple[Tensor, Tensor]:
        k = torch.arange(1, edges + 1, dtype=torch.float64)
        # The first bin whose centre, half a width above its lower end, reaches the edge.
        first = torch.ceil((k - rounding) * (level_width / self.bin_width)[:, None] - 0.5).clamp_(0, BINS).long()
        count, total = (tail.gather(1, first) for tail in self.tails)
        shared = self.bin_width * level_width * total.sum(1)
        return self.squares - shared + level_width**2 * (count.double() @ (2 * k - 1)), count.sum(1).double()

    def _by_bin(self, level_width: Tensor, levels: int, rounding: float, bins: int) -> tuple[Tensor, Tensor]:
        """The same bin by bin, for levels narrower than bins. From the given bin on all are at the last level."""
        half = self.bin_width / 2
        level = quantised_level(self.odd[:bins] * (half / level_width)[:, None] + rounding, 0, levels)
        count = self.counts[:, :bins].double()
        product = ((level * self.odd[:bins]) * count).sum(1) + levels * self.tails[1][:, bins]
        square = (level**2 * count).sum(1) + levels**2 * self.tails[0][:, bins]
        spikes = (level * count).sum(1) + levels * self.tails[0][:, bins]
        return self.squares - 2 * half * level_width * product + level_width**2 * square, spikes


def _tail(counts: Tensor) -> Tensor:
    """Sums of every row of integers from each place to its end; the last one is zero."""
    below = pad(counts.cumsum(1), (1, 0))
    return below[:, -1:] - below
