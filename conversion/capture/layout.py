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
from conversion.capture.roles import PLACED, arguments, packet
from conversion.errors import UnsupportedOp

# Moves by which a sample's place in the batch may decide, and the sizes of batches on which that is tried.
BY_PLACE = {*PLACED, torch.ops.aten.roll}
CROWDS = (2, 5, 7)
# Moves into listed places, each with the argument that is put there.
WRITTEN = {torch.ops.aten.index_put: "values", torch.ops.aten.index_copy: "source", torch.ops.aten.scatter: "src"}


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
    # Constants of larger batches, for moves that their size decides on.
    placing = any(packet(node) in BY_PLACE for node in graph.body)
    crowds = [(count, graph.start(torch.cat([example] * count))) for count in CROWDS] if placing else []
    freed = last_uses(graph.body, keep=())
    for node in graph.body:
        for values in runs:
            values[node] = evaluate(node, values)
        node.meta["layout"] = _layouts(node, runs)
        if packet(node) in BY_PLACE and not all(_treats_alike(node, runs[0], *crowd) for crowd in crowds):
            raise UnsupportedOp(
                f"The operation {node.target} at {source_line(node)} does with a sample what its place in the batch "
                "says; leave the batch whole, and choose places of every sample."
            )
        if packet(node) in WRITTEN and not _keeps_all(node, runs[0]):
            raise UnsupportedOp(
                f"The operation {node.target} at {source_line(node)} puts several values into one place, and it is not "
                "defined which of them stays; leave out those that are overwritten."
            )
        for done in freed.get(node, ()):
            for values in runs:
                del values[done]


def _layouts(node: fx.Node, runs: list[Values]) -> Any:
    parts = [pytree.tree_leaves(values[node]) for values in runs]
    layouts = [_layout(*part) for part in zip(*parts, strict=True)]
    if None in layouts:
        raise UnsupportedOp(f"The operation {node.target} at {source_line(node)} mixes the samples of a batch.")
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


def _treats_alike(node: fx.Node, alone: Values, count: int, constants: Values) -> bool:
    """Whether a move does with each of so many samples what it does with that sample alone; moves do not round."""
    signals = [source for source in node.all_input_nodes if source.meta["signal"]]
    single = [{**alone, **{source: alone[source] + place for source in signals}} for place in range(count)]
    joined = {source: source.meta["layout"].join([values[source] for values in single]) for source in signals}
    found, layout = evaluate(node, {**constants, **joined}), node.meta["layout"]
    return all(
        torch.equal(_plain(layout.keep(found, torch.tensor([place], device=found.device))), _plain(evaluate(node, own)))
        for place, own in enumerate(single)
    )


def _keeps_all(node: fx.Node, alone: Values) -> bool:
    """Whether every value that a move puts into a listed place is there afterwards: no spike may count that is lost."""
    put: Any = arguments(node).get(WRITTEN[packet(node)])
    if not isinstance(put, fx.Node) or not put.meta["signal"]:
        return True
    numbers = torch.arange(1, alone[put].numel() + 1, dtype=torch.float64, device=alone[put].device)
    # Places are whole numbers.
    others = [source for source in node.all_input_nodes if alone[source].is_floating_point()]
    blank = {source: torch.zeros_like(alone[source], dtype=torch.float64) for source in others}
    found = evaluate(node, {**alone, **blank, put: numbers.reshape(alone[put].shape)})
    return bool(torch.isin(numbers, found).all())


def _plain(value: Tensor) -> Tensor:
    return value.nan_to_num(nan=0.5)


def _lost(value: Tensor, axis: int) -> Tensor:
    """Whether each position of an axis holds a NaN."""
    return value.movedim(axis, 0).flatten(1).isnan().any(1) if value.dim() > 1 else value.isnan()
