"""Digits in time: step t is worth half of the step before, most significant digit first.

Where layers wait for the whole window the digits may as well come in the other order, with receivers whose potential
halves at every step in place of weighted spikes; they are the same digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.codes.base import CODES, Code, Sent


@CODES.register("binary")
@dataclass(frozen=True)
class Binary(Code):
    """Binary digits: one spike of 2^(1-t) thresholds, or none. The value is rounded to the last digit."""

    signed = False

    def send(self, error: Tensor, held: Tensor, threshold: Tensor, t: int, T: int, phi: int, rectified: bool) -> Sent:
        left, worth = _last_digits(error, threshold, T), 2.0 ** (T - t)
        spikes = (left >= worth).to(error.dtype)
        return Sent(spikes * threshold * 2.0 ** (1 - t), spikes)

    def amplitudes(self, t: int, T: int, phi: int) -> tuple[float, float]:
        return 2.0 ** (1 - t), 2.0 ** (1 - t)

    def reach(self, T: int, phi: int) -> float:
        return 2 - 2.0 ** (1 - T)

    def payload_bits(self, T: int, phi: int, rectified: bool) -> int:
        return 0  # The step says all.


@CODES.register("signed_digits")
@dataclass(frozen=True)
class SignedDigits(Binary):
    """Digits -1, 0 and 1, of which no two in a row are needed: a value has the fewest spikes that digits can have.

    A digit is sent where the rest exceeds 2/3 of its worth, which is more than all later digits that are not next to
    each other can say.
    """

    signed = True

    def send(self, error: Tensor, held: Tensor, threshold: Tensor, t: int, T: int, phi: int, rectified: bool) -> Sent:
        left, worth = _last_digits(error, threshold, T), 2.0 ** (T - t)
        spikes = (3 * left.abs() > 2 * worth).to(error.dtype)
        return Sent(torch.sign(left) * spikes * threshold * 2.0 ** (1 - t), spikes)

    def payload_bits(self, T: int, phi: int, rectified: bool) -> int:
        return 1


def _last_digits(error: Tensor, threshold: Tensor, T: int) -> Tensor:
    """The error in units of the last digit, rounded."""
    return torch.floor(error / (threshold * 2.0 ** (1 - T)) + 0.5)
