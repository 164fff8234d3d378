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

from conversion.calibration.histogram import ChannelHistogram
from conversion.calibration.quantisers import Quantisers

ThresholdRule = Literal["max", "percentile", "mse", "mse_floor"]
PERCENTILE = 0.999
# Of a layer's largest threshold: what float32 cannot tell from zero beside it.
SILENT = torch.finfo(torch.float32).eps
# Neighbouring candidates differ by 3 %: the error is flat to second order at its minimum.
SATURATION_GRID = torch.logspace(math.log10(0.02), math.log10(1.2), 128, dtype=torch.float64)
PAPER_GRID = 1 - 0.01 * torch.arange(95, dtype=torch.float64)


def choose_threshold(
    histogram: ChannelHistogram, rule: ThresholdRule, T: int, phi: int, *, channelwise: bool, ceiling: float = math.inf
) -> Tensor:
    """Threshold V of one layer, float64: shape (channels,), or (1,) unless channelwise.

    Args:
        histogram: histogram of the layer's ANN activations.
        rule: see the module's text.
        T: number of steps.
        phi: most spikes per step.
        channelwise: one threshold for each channel.
        ceiling: value at which the ANN's own activation saturates (6 for ReLU6); phi V never exceeds it.

    A channel that is silent on the whole calibration set (`positive`) takes the largest threshold of its layer, so that
    it fires few spikes on other inputs; a layer that is zero throughout takes 1.
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
    return positive(threshold.clamp(max=ceiling / phi))


def positive(threshold: Tensor) -> Tensor:
    """Thresholds of a layer, of which those of silent channels are the largest one; 1 where all are zero.

    A channel is silent at zero, or so far below the loudest that it may be the rounding error of that one's sums. With
    a threshold of its own it would fire at its full rate on any other input, and say nothing by it.
    """
    if not bool((threshold > 0).any()):
        return torch.ones_like(threshold)
    return torch.where(threshold > SILENT * threshold.max(), threshold, threshold.max())


def search_thresholds(largest: Tensor, fractions: Tensor, cost: Callable[[Tensor], Tensor]) -> Tensor:
    """The threshold of least cost among some fractions of the largest activation; of several, the first.

    Args:
        largest: activation of each channel, or of the layer, shape (channels,) or (1,). Zero gives threshold zero.
        fractions: candidates, in the order in which they are tried.
        cost: cost of positive thresholds in the shape of `largest`, by entry.
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
