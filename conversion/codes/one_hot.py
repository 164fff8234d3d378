"""One spike a step with one of several amplitudes, each half of the one before."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.codes.base import CODES, Code, Sent

# A level is fired from 3/4 of its amplitude on: in the middle between it and the next lower one.
FIRES_FROM = 0.75


@CODES.register("one_hot")
@dataclass(frozen=True)
class OneHot(Code):
    """Sigma-delta in powers of two: a spike of either sign, 2^-k thresholds large, k < levels, nearest to the error.

    Attributes:
        levels: number of amplitudes.
    """

    levels: int = 6

    def weight(self, t: int) -> float:
        """Factor of all amplitudes of step t."""
        return 1.0

    def send(self, error: Tensor, held: Tensor, threshold: Tensor, t: int, T: int, phi: int, rectified: bool) -> Sent:
        unit = threshold * self.weight(t)
        units = error.abs() / (FIRES_FROM * unit)
        if rectified:  # Never take back more than was sent.
            units = torch.where(error < 0, units.minimum(held / unit), units)
        # frexp gives the exponent of the next larger power of two.
        exponent = (torch.frexp(units).exponent - 1).clamp(max=0)
        spikes = (units > 0) & (exponent > -self.levels)
        size = torch.ldexp(unit.expand_as(units), exponent) * spikes
        return Sent(torch.sign(error) * size, spikes.to(error.dtype))

    def amplitudes(self, t: int, T: int, phi: int) -> tuple[float, float]:
        return self.weight(t) * 2.0 ** (1 - self.levels), self.weight(t)

    def reach(self, T: int, phi: int) -> float:
        return sum(self.weight(t) for t in range(1, T + 1))

    def payload_bits(self, T: int, phi: int, rectified: bool) -> int:
        return 1 + (self.levels - 1).bit_length()


@CODES.register("differential")
@dataclass(frozen=True)
class Differential(OneHot):
    """The same, with spikes of step t worth 1 / t: rate coding of changes (DCGS, Huang et al.).

    The release keeps a membrane of t (a - h), whose spikes are worth one; divided by t they are these.
    """

    levels: int = 4

    def weight(self, t: int) -> float:
        return 1 / t
