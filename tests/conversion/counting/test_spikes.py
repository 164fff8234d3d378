"""Counting spikes: binary digits of every number that a neuron may fire."""

from __future__ import annotations

import torch

from conversion.counting.spikes import MOST_SPIKES, ones_in_binary


def test_ones_in_binary() -> None:
    numbers = torch.arange(MOST_SPIKES + 1, dtype=torch.int32)
    assert ones_in_binary(numbers).tolist() == [number.bit_count() for number in range(65536)]
