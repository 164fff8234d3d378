"""One spike for each value: its step and level name its amplitude."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.codes.base import CODES, WindowCode


@CODES.register("phase")
@dataclass(frozen=True)
class Phase(WindowCode):
    """One spike of B^-i thresholds, i < T levels, nearest to the value; none for values below half of the smallest.

    Amplitude i belongs to step i mod T and level i div T. With one level the step alone says it (a phase code of base
    B); with as many steps as there are amplitudes to an octave, levels are powers of two (staggered one-hot).

    Attributes:
        per_octave: amplitudes between a value and its half; B = 2^(1 / per_octave).
        levels: amplitudes of each step.
    """

    per_octave: int = 8
    levels: int = 5

    def encode(self, value: Tensor, threshold: Tensor, T: int) -> tuple[Tensor, Tensor]:
        count = T * self.levels
        sizes = 2.0 ** (torch.arange(1 - count, 1, dtype=value.dtype, device=value.device) / self.per_octave)
        edges = torch.cat([sizes[:1] / 2, (sizes[1:] + sizes[:-1]) / 2])
        # In the order in which the values lie in memory: `bucketize` would copy others, and answer in another order.
        order = sorted(range(value.dim()), key=value.stride, reverse=True)
        back = [order.index(axis) for axis in range(len(order))]
        ratios = (value.abs() / threshold).permute(order).contiguous()
        # 0 is silence, then the amplitudes from the smallest to the largest.
        chosen = torch.bucketize(ratios, edges, out_int32=True).permute(back)
        worth = torch.cat([sizes.new_zeros(1), sizes])[chosen] * threshold
        step = torch.where(chosen > 0, (count - chosen) % T + 1, 0)
        return step.to(torch.int16), torch.sign(value) * worth

    def amplitudes(self, t: int, T: int, phi: int) -> tuple[float, float]:
        first, last = t - 1, (self.levels - 1) * T + t - 1
        return 2.0 ** (-last / self.per_octave), 2.0 ** (-first / self.per_octave)

    def reach(self, T: int, phi: int) -> float:
        return 1.0

    def payload_bits(self, T: int, phi: int, rectified: bool) -> int:
        return (not rectified) + (self.levels - 1).bit_length()
