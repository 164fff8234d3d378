"""The layout of samples in every value, found by following a sample of NaN through the network.

Most values keep the batch on their first axis. Attention moves it (tokens, N, channels) and folds it into another
axis (N windows, tokens, channels); samples can exit early only if it is known which entries of such a value are theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from conversion.capture.graph import ConversionGraph, Values, evaluate, last_uses, source_line
from conversion.capture.roles import PLACED, packet
from conversion.errors import UnsupportedOp


@dataclass(frozen=True)
class Layout:
    """The layout of the samples in a value: they lie on one axis, of size outer * N * inner.

    Attributes:
        axis: the axis.
        outer: number of repetitions of the batch on it.
        inner: number of neighbouring entries that belong to one sample.
    """

    axis: int = 0
    outer: int = 1
    inner: int = 1

    @property
    def leading(self) -> bool:
        """Whether the batch is the first axis, and nothing else is."""
        return self == Layout()

    def keep(self, value: Tensor, samples: Tensor) -> Tensor:
        """The entries of the samples with the given indices."""
        parts: Tensor = value.unflatten(self.axis, (self.outer, -1, self.inner))
        return parts.index_select(self.axis + 1, samples).flatten(self.axis, self.axis + 2)

    def join(self, batches: Sequence[Tensor]) -> Tensor:
        """Joins several batches into one, in this order."""
        parts = [batch.unflatten(self.axis, (self.outer, -1, self.inner)) for batch in batches]
        return torch.cat(parts, self.axis + 1).flatten(self.axis, self.axis + 2)


def keep(node: fx.Node, value: Any, samples: Tensor) -> Any:
    """A node's value for the samples with the given indices: a tensor, or the parts of a split."""
    layout = node.meta["layout"]
    if isinstance(value, Tensor):
        first: Layout = layout[0] if isinstance(layout, list) else layout
        return first.keep(value, samples)
    return [part.keep(item, samples) for part, item in zip(layout, value, strict=True)]


@torch.no_grad()
def find_layouts(graph: ConversionGraph) -> None:
    """Notes the layout of every signal in its node's meta data.

    Raises:
        UnsupportedOp: an operation mixes the samples of a batch.
    """
    graph.input.meta["layout"] = Layout()
    example = graph.example
    lost = example * torch.nan
    # One sample, and each of two lost in turn.
    runs = [graph.start(batch) for batch in (example, torch.cat([lost, example]), torch.cat([example, lost]))]
    freed = last_uses(graph.body, keep=())
    for node in graph.body:
        for values in runs:
            values[node] = evaluate(node, values)
        node.meta["layout"] = _layouts(node, runs)
        for done in freed.get(node, ()):
            for values in runs:
                del values[done]


def _layouts(node: fx.Node, runs: list[Values]) -> Any:
    parts = [pytree.tree_leaves(values[node]) for values in runs]
    layouts = [_layout(*part) for part in zip(*parts, strict=True)]
    if None in layouts:
        raise UnsupportedOp(f"The operation {node.target} at {source_line(node)} mixes the samples of a batch.")
    if packet(node) in PLACED and not _treats_alike(node, layouts[0], runs):  # type: ignore[arg-type]
        raise UnsupportedOp(
            f"The operation {node.target} at {source_line(node)} does with a sample what its place in the batch says; "
            "leave the batch whole, and choose places of every sample."
        )
    return layouts if isinstance(runs[0][node], (tuple, list)) else layouts[0]


def _layout(single: Tensor, first_lost: Tensor, second_lost: Tensor) -> Layout | None:
    """The layout of a value, from runs with one sample and with two; None where samples are mixed."""
    if single.dim() != first_lost.dim():
        return None
    grown = [axis for axis, size in enumerate(first_lost.shape) if size != single.shape[axis]]
    if len(grown) != 1 or first_lost.shape[grown[0]] != 2 * single.shape[grown[0]]:
        return None
    axis = grown[0]
    size = single.shape[axis]
    first, second = (_lost(value, axis) for value in (first_lost, second_lost))
    # If the ANN computes NaN by itself, mixing cannot be seen here; such an ANN fails later on.
    known = ~_lost(single, axis).any()
    # Of several possibilities, as for values that no input reaches, the one nearest to a plain batch.
    for inner in (size // outer for outer in range(1, size + 1) if size % outer == 0):
        owner = torch.arange(2 * size, device=first.device) // inner % 2
        if not bool(known & ((first & (owner == 1)) | (second & (owner == 0))).any()):
            return Layout(axis, size // inner, inner)
    return None


def _treats_alike(node: fx.Node, layout: Layout, runs: list[Values]) -> bool:
    """Whether a move does the same with two samples that are the same; moves do not round."""
    alone, of_two, _ = runs
    same = dict(of_two)
    for source in node.all_input_nodes:
        if source.meta["signal"]:
            same[source] = source.meta["layout"].join([alone[source]] * 2)
    both = layout.keep(evaluate(node, same), torch.arange(2, device=alone[node].device))
    first, second = both.unflatten(layout.axis, (layout.outer, 2, layout.inner)).unbind(layout.axis + 1)
    return bool(((first == second) | (first.isnan() & second.isnan())).all())


def _lost(value: Tensor, axis: int) -> Tensor:
    """Whether each position of an axis holds a NaN."""
    return value.movedim(axis, 0).flatten(1).isnan().any(1) if value.dim() > 1 else value.isnan()
