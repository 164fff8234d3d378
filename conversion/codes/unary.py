"""Spikes of one amplitude, a value as their number."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.codes.base import CODES, Code, Sent


@CODES.register("unary")
@dataclass(frozen=True)
class Unary(Code):
    """A spike of one threshold wherever the value held is half a threshold or more short of the one to be told.

    With its whole input at hand a neuron fires its k spikes in the first k steps: those of parallel conversion (Hao et
    al., ICML 2025), where step t fires if T times the mean current and half a threshold are t thresholds or more. What
    is sent is never taken back.
    """

    signed = False

    def send(self, error: Tensor, held: Tensor, threshold: Tensor, t: int, T: int, phi: int, rectified: bool) -> Sent:
        spikes = torch.floor(error / threshold + 0.5).clamp(0, 1)
        return Sent(spikes * threshold, spikes)

    def amplitudes(self, t: int, T: int, phi: int) -> tuple[float, float]:
        return 1.0, 1.0

    def reach(self, T: int, phi: int) -> float:
        return float(T)

    def payload_bits(self, T: int, phi: int, rectified: bool) -> int:
        return 0
