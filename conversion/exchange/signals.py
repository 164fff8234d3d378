"""Values of a network as sums of outputs of NIR nodes, with the factors that are still to be folded into weights.

A spike of NIR is 1, one of ours is a threshold. So the output of a layer of neurons is a term with its thresholds as
factors, and whoever has weights takes the factors of its inputs into them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Signal:
    """A value of the network.

    Attributes:
        shape: that of one sample.
        terms: by the node whose output it is, the factor of each term, float64, of as many dimensions as `shape` and
            broadcasting to it.
        offset: what is added to the sum; likewise. None is nothing.
    """

    shape: tuple[int, ...]
    terms: Mapping[str, Tensor]
    offset: Tensor | None = None

    @classmethod
    def of(cls, key: str, shape: tuple[int, ...], factor: Tensor | None = None) -> Signal:
        return cls(shape, {key: one(shape) if factor is None else factor})

    def times(self, factor: Tensor) -> Signal:
        offset = None if self.offset is None else self.offset * factor
        return Signal(self.shape, {key: known * factor for key, known in self.terms.items()}, offset)

    def plus(self, other: Signal) -> Signal:
        terms = dict(self.terms)
        for key, factor in other.terms.items():
            terms[key] = terms[key] + factor if key in terms else factor
        offsets = [offset for offset in (self.offset, other.offset) if offset is not None]
        return Signal(self.shape, terms, torch.stack(torch.broadcast_tensors(*offsets)).sum(0) if offsets else None)

    def shifted(self, offset: Tensor) -> Signal:
        return Signal(self.shape, self.terms, offset if self.offset is None else self.offset + offset)

    def flattened(self) -> Signal:
        """The signal with its sample in one dimension; its keys have to be those of flattened nodes."""
        size = int(torch.Size(self.shape).numel())
        terms = {key: factor.expand(self.shape).reshape(-1) for key, factor in self.terms.items()}
        offset = None if self.offset is None else self.offset.expand(self.shape).reshape(-1)
        return Signal((size,), terms, offset)

    @property
    def common(self) -> Tensor | None:
        """The factor that all terms share; None where they differ."""
        first, *others = self.terms.values()
        return first if all(torch.equal(first, other) for other in others) else None


def one(shape: tuple[int, ...]) -> Tensor:
    return torch.ones([1] * len(shape), dtype=torch.float64)


def by_channel(values: Tensor) -> bool:
    """Whether values differ at most from channel to channel."""
    return values[0].numel() == 1 if values.dim() else True
