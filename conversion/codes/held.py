"""The held-value code: bursts change a value that receivers hold, and thresholds fall from step to step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.codes.base import CODES, Code, Sent

# An error of a half threshold is left alone: where thresholds are 1.5 apart and a value falls back to zero, the
# error is such a tie exactly, and rounding noise would decide it.
ROUNDING = 0.499


@CODES.register("held")
@dataclass(frozen=True)
class Held(Code):
    """Sigma-delta bursts of either sign: k = sign(u) min(phi, floor(|u| + 0.499)), u = (a - h) / V_t.

    A spike may take back what earlier ones sent too much, and the value held may fall below zero on the way. With one
    step it is the burst neuron of the quantised ANN.
    """

    def send(self, error: Tensor, held: Tensor, threshold: Tensor, t: int, T: int, phi: int, rectified: bool) -> Sent:
        units = error / threshold
        spikes = torch.floor(units.abs() + ROUNDING).clamp(max=phi)
        return Sent(torch.sign(units) * spikes * threshold, spikes)

    def amplitudes(self, t: int, T: int, phi: int) -> tuple[float, float]:
        return 1.0, 1.0

    def reach(self, T: int, phi: int) -> float:
        return float(T * phi)

    def payload_bits(self, T: int, phi: int, rectified: bool) -> int:
        return 1 + (phi - 1).bit_length()  # The sign, and 1 to phi spikes.
