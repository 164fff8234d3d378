"""The parts that a network is folded into, and sizes of the signals between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

INPUT, OUTPUT = "input", "output"


@dataclass(eq=False)
class Part:
    """One part of a network.

    Attributes:
        kind: Input, Output, Conv, Affine, Scale, AvgPool, Flatten, Neurons, or what a subclass of `Folding` puts.
        fields: what it is made with; tensors in float64.
        shape: of one sample of its output.
        sources: the parts whose outputs it sums.
        origin: the operation that it is; None where it was put in between.
    """

    kind: str
    fields: dict[str, Any]
    shape: tuple[int, ...]
    sources: Sequence[str] = ()
    origin: fx.Node | None = None


def sample_shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(int(length) for length in node.meta["val"].shape[1:])


def size(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def sizes(value: Any, dims: int) -> tuple[int, ...]:
    """A length for each dimension, where one is given for all or for each."""
    found = tuple(int(length) for length in value) if isinstance(value, Sequence) else (int(value),)
    return found * dims if len(found) == 1 else found
