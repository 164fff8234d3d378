"""Encoded recordings of events as samples, and the colours of their frames."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tasks.samples import Samples

DTYPES = (torch.uint8, torch.int16, torch.int32, torch.float32)


class EventSamples(Samples):
    """Counts of events, of shape (C, H, W), or (F, 2, H, W) where they are frames in time."""

    large = True

    def fault(self, inputs: Tensor, split: str) -> str | None:
        if inputs.dtype not in DTYPES:
            return f"Encoded recordings of {split} are {inputs.dtype}; give uint8, int16, int32 or float32."
        return None

    def colours_in_time(self, shape: tuple[int, ...]) -> Callable[[Tensor], Tensor] | None:
        return polarities if len(shape) == 4 else None


def polarities(frames: Tensor) -> Tensor:
    """Colours frames on white: brighter events red, darker ones blue, more of them stronger.

    Args:
        frames: counts of one recording, darker before brighter, shape (F, 2, H, W).

    Returns:
        Red, green and blue in 0..1, shape (F, H, W, 3).
    """
    darker, brighter = (frames / frames.max().clamp(min=1e-9)).sqrt().unbind(1)
    return torch.stack([1 - darker, 1 - torch.maximum(darker, brighter), 1 - brighter], -1)
