"""Counting spikes: binary digits of every number that a neuron may fire."""

from __future__ import annotations

import pytest
import torch

from conversion.counting.spikes import MOST_IN_A_BYTE, MOST_SPIKES, count_spikes, ones_in_binary


def test_ones_in_binary() -> None:
    numbers = torch.arange(MOST_SPIKES + 1, dtype=torch.int32)
    assert ones_in_binary(numbers).tolist() == [number.bit_count() for number in range(65536)]
    small = torch.arange(MOST_IN_A_BYTE + 1, dtype=torch.uint8)
    assert ones_in_binary(small).tolist() == [number.bit_count() for number in range(256)]


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("most", [7, MOST_IN_A_BYTE, MOST_IN_A_BYTE + 1, 2**14])
def test_digits_are_counted_in_any_order_and_type(order: torch.memory_format, dtype: torch.dtype, most: int) -> None:
    spikes = (
        (2 ** torch.randint(most.bit_length(), (2, 3, 4, 5)) - 1)
        .clamp(max=most)
        .to(dtype)
        .contiguous(memory_format=order)
    )
    tally = count_spikes(spikes, torch.ones(1, dtype=dtype), single=False)
    assert tally is not None
    wanted = [[sum(int(n).bit_count() for n in part.flatten()) for part in sample] for sample in spikes]
    assert tally[1].tolist() == wanted
