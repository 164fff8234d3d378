"""Histograms of activations, one per channel, gathered batch after batch in one pass of the ANN.

Thresholds are searched on histograms, never on raw activations: trying a hundred candidates costs as much for a
million activations as for a thousand, and the memory does not grow with the calibration set.
"""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 2048
# A channel that stays below is dead: weight decay leaves denormal weights, whose reciprocals overflow float32.
TINY = 1e-20


class ChannelHistogram:
    """Distribution of one layer's activations, by channel.

    Attributes:
        counts: positive magnitudes by bin, shape (channels, BINS), int64. Zeros are not counted: every quantiser
            maps them to zero.
        width: width of a bin, shape (channels,), float64; it doubles when a later batch exceeds the range.
        maximum: largest magnitude seen, zero where it is below TINY, shape (channels,), float64.
    """

    def __init__(self, channels: int) -> None:
        self.counts = torch.zeros(channels, BINS, dtype=torch.int64)
        self.width = torch.zeros(channels, dtype=torch.float64)
        self.maximum = torch.zeros(channels, dtype=torch.float64)
        self._sum = torch.zeros(channels, dtype=torch.float64)
        self._seen = 0

    @property
    def seen(self) -> int:
        """Number of activations counted for each channel, zeros included."""
        return self._seen

    @property
    def mean(self) -> Tensor:
        """Mean activation, zeros and signs included, shape (channels,), float64."""
        return self._sum / max(self._seen, 1)

    @property
    def centres(self) -> Tensor:
        """Magnitude that stands for each bin, shape (channels, BINS), float64."""
        return (torch.arange(BINS, dtype=torch.float64) + 0.5) * self.width[:, None]

    def add(self, activations: Tensor, axis: int) -> None:
        """Counts a batch; `axis` is that of the channels."""
        # Channels last is how images lie in memory, so that this copies nothing.
        rows = activations.movedim(axis, -1).reshape(-1, len(self.maximum))
        rows = rows.to("cpu", torch.promote_types(rows.dtype, torch.float32))
        self._sum += rows.sum(0, dtype=torch.float64)
        self._seen += len(rows)
        magnitudes = rows.abs()
        peak = magnitudes.amax(0).double()
        self.maximum = torch.maximum(self.maximum, torch.where(peak > TINY, peak, 0.0))
        self._widen()
        # A dead channel has no width yet and nothing to count.
        scale = torch.where(self.width > 0, 1 / self.width, 0).to(rows.dtype)
        bins = magnitudes.mul(scale).to(torch.int32).clamp_(max=BINS - 1)
        bins += torch.arange(len(scale), dtype=torch.int32) * BINS
        found = torch.bincount(bins.flatten(), minlength=self.counts.numel()).view_as(self.counts)
        found[:, 0] -= (magnitudes == 0).sum(0)
        self.counts += found

    def _widen(self) -> None:
        fresh = (self.width == 0) & (self.maximum > 0)
        self.width = torch.where(fresh, self.maximum / BINS, self.width)
        while bool((short := self.maximum > self.width * BINS).any()):
            pairs = self.counts[short].view(-1, BINS // 2, 2).sum(2)
            self.counts[short] = torch.cat([pairs, torch.zeros_like(pairs)], dim=1)
            self.width[short] *= 2
