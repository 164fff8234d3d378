"""Kinds of sample: the checks of their inputs, whether small ones can stand in for them, the colours of frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Images; subclasses are for samples of other kinds.

    Attributes:
        any_size: whether networks take samples of any size, so that they can be tried on small ones.
    """

    any_size: bool = False
    large: ClassVar[bool] = False
    """Whether samples are large: `check` then runs a network for one task and computes shapes only for the others."""

    def fault(self, inputs: Tensor, split: str) -> str | None:
        """A sentence about what is wrong with a batch of inputs of a split; None when nothing is."""
        if inputs.dim() == 4 and inputs.dtype != torch.uint8:
            return f"Images of {split} are {inputs.dtype}; give uint8, as on disk."
        return None

    def colours_in_time(self, shape: tuple[int, ...]) -> Callable[[Tensor], Tensor] | None:
        """The colouring of samples whose first axis is time; None for samples of other shapes.

        Returns:
            A function from the frames of one sample, shape (F, ...), to red, green and blue in 0..1, (F, H, W, 3).
        """
        return None
