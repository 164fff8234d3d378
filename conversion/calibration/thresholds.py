"""Firing thresholds from activation histograms (Eq. 8 of the paper).

A layer's mean output over T steps lies on T phi + 1 levels, V / T apart, up to phi V. Every rule chooses the
saturation level phi V:

- `max`: the largest activation. Nothing is clipped.
- `percentile`: a quantile of the positive activations.
- `mse`: the level with the least squared error of a *rounding* quantiser, which is what the deployed neuron is (its
  initial potential is half a threshold). Searched over 0.02 to 1.2 of the largest activation.
- `mse_floor`: as published by SNN Calibration: a flooring quantiser, V on the grid (1 - 0.01 i) max, i = 0..94.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from conversion.calibration.histogram import BINS, ChannelHistogram
from conversion.simulation.transfer import quantised_level

ThresholdRule = Literal["max", "percentile", "mse", "mse_floor"]
PERCENTILE = 0.999
# Neighbouring candidates differ by 3 %: the error is flat to second order at its minimum.
SATURATION_GRID = torch.logspace(math.log10(0.02), math.log10(1.2), 128, dtype=torch.float64)
PAPER_GRID = 1 - 0.01 * torch.arange(95, dtype=torch.float64)


def choose_threshold(
    histogram: ChannelHistogram, rule: ThresholdRule, T: int, phi: int, *, channelwise: bool, ceiling: float = math.inf
) -> Tensor:
    """Threshold V of one layer, float64: shape (channels,), or (1,) unless channelwise.

    Args:
        histogram: of the layer's ANN activations.
        rule: see the module's text.
        T: number of steps.
        phi: most spikes per step.
        channelwise: one threshold for each channel.
        ceiling: where the ANN's own activation saturates (6 for ReLU6); phi V never exceeds it.

    A channel that is zero on the whole calibration set takes the largest threshold of its layer, so that it fires few
    spikes on other inputs; a layer that is zero throughout takes 1.
    """
    largest = histogram.maximum if channelwise else histogram.maximum.max().view(1)
    if rule == "max":
        threshold = largest / phi
    elif rule == "percentile":
        threshold = _percentile(histogram, channelwise) / phi
    elif rule == "mse":
        threshold = _least_error(histogram, largest, SATURATION_GRID / phi, T, phi, 0.5, channelwise)
    else:
        threshold = _least_error(histogram, largest, PAPER_GRID, T, phi, 0.0, channelwise)
    threshold = threshold.clamp(max=ceiling / phi)
    spare = threshold.max() if bool((threshold > 0).any()) else torch.tensor(1.0, dtype=threshold.dtype)
    return torch.where(threshold > 0, threshold, spare)


def search_thresholds(largest: Tensor, fractions: Tensor, cost: Callable[[Tensor], Tensor]) -> Tensor:
    """The threshold of least cost among some fractions of the largest activation; of several, the first.

    Args:
        largest: activation of each channel, or of the layer, shape (channels,) or (1,). Zero gives threshold zero.
        fractions: candidates, in the order in which they are tried.
        cost: of positive thresholds in the shape of `largest`, by entry.
    """
    best = torch.full_like(largest, math.inf)
    chosen = torch.zeros_like(largest)
    for fraction in fractions:
        threshold = largest * fraction
        # Dead channels: any threshold will do, but not 0 / 0.
        found = cost(torch.where(threshold > 0, threshold, 1.0))
        better = found < best
        best = torch.where(better, found, best)
        chosen = torch.where(better, threshold, chosen)
    return chosen


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


def _least_error(
    histogram: ChannelHistogram, largest: Tensor, grid: Tensor, T: int, phi: int, rounding: float, channelwise: bool
) -> Tensor:
    quantisers = Quantisers(histogram)

    def squared_error(threshold: Tensor) -> Tensor:
        error, _ = quantisers(threshold / T, T * phi, rounding)
        return error if channelwise else error.sum().view(1)

    return search_thresholds(largest, grid, squared_error)


def _percentile(histogram: ChannelHistogram, channelwise: bool) -> Tensor:
    values, weights = histogram.centres, histogram.counts.double()
    if not channelwise:
        values, order = values.flatten().sort()
        values, weights = values[None], weights.flatten()[order][None]
    reached = weights.cumsum(1) >= PERCENTILE * weights.sum(1, keepdim=True)
    return values.gather(1, reached.int().argmax(1, keepdim=True)).squeeze(1)
