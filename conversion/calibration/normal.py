"""Thresholds from two moments of a channel: those of the best quantiser for normally distributed currents.

DCGS (Huang et al., ICML 2025) and H-MT (AAAI 2026) fit theirs so. For currents x ~ N(mean, deviation) and the levels
q(x) = i s, i = 0..n, of width s = theta / n, of which the nearest is sent, the error E (relu(x) - q)^2 is stationary
where scaling q does not lower it:

    k(theta) = E[x q] / E[q^2] = 1.

The release of DCGS iterates theta <- k(theta) theta a hundred times from theta = 1. With many levels k is so close to 1
above the solution that this hardly moves, and where it ends depends on the scale of the weights; here the equation is
solved by bisection.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

# The solution lies between these multiples of |mean| + deviation: 4,096 levels clip beyond 7 deviations.
BRACKET, HALVINGS = (1e-4, 10.0), 60


class Moments(NamedTuple):
    """Mean and standard deviation of the currents of each channel, shape (channels,), float64."""

    mean: Tensor
    deviation: Tensor


def fit(moments: Moments, levels: int, slope: float | Tensor = 0.0) -> Tensor:
    """Largest level theta of each channel, shape (channels,), float64; 0 where no current is ever above zero.

    Args:
        moments: of the currents.
        levels: n.
        slope: of a leaky ReLU, or of a PReLU one for each channel, whose levels are as many on either side of zero.
    """
    mean, deviation = moments
    scale = mean.abs() + deviation
    alive = (deviation > 0) | (mean > 0)
    scale = torch.where(alive & (scale > 0), scale, 1.0)
    # A constant is a very narrow distribution.
    units = Moments(mean / scale, (deviation / scale).clamp(min=1e-9))
    low, high = (torch.full_like(scale, math.log(bound)) for bound in BRACKET)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        raises = excess(units, middle.exp(), levels, slope) > 0
        low, high = torch.where(raises, middle, low), torch.where(raises, high, middle)
    theta = low.exp() * scale
    # So few currents are above zero that their share is none in float64.
    return torch.where(alive & (low > math.log(BRACKET[0])), theta, 0.0)


def excess(moments: Moments, theta: Tensor, levels: int, slope: float | Tensor = 0.0) -> Tensor:
    """E[x q] - E[q^2] over the width of a level: above zero where larger levels would err less, shape (channels,)."""
    found = _excess(moments, theta, levels)
    if isinstance(slope, Tensor) or slope > 0:
        found = found + _excess(Moments(-slope * moments.mean, slope * moments.deviation), theta, levels)
    return found


def _excess(moments: Moments, theta: Tensor, levels: int) -> Tensor:
    """The same of the part above zero: sums over the n edges from which each next level is sent."""
    mean, deviation = (moment[:, None] for moment in moments)
    odd = 2 * torch.arange(1, levels + 1, dtype=torch.float64, device=theta.device) - 1
    width = theta[:, None] / levels
    at = (odd * width / 2 - mean) / (math.sqrt(2) * deviation)
    beyond = torch.special.erfc(at) / 2
    reached = mean * beyond + deviation * torch.exp(-at.square()) / math.sqrt(2 * math.pi)
    found: Tensor = (reached - odd * width * beyond).sum(1)
    return found
