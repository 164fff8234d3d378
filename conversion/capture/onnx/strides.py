"""Views by strides, which exporters write as places in a flattened value, as the one operator that they are.

PyTorch's exporter writes a mean over places, of a value whose channels lie last in memory, as Gather(Reshape(x, [-1]),
places), and computes the places from the size of the batch. Seen so, samples meet in one axis. Each sample takes the
same places of its own, which is what is looked for here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from conversion.capture.onnx.fusing import read_nodes
from conversion.capture.onnx.known import KNOWN
from conversion.capture.onnx.reading import GraphInput, OnnxNode
from conversion.capture.onnx.rules import FAILURES, Known, rule
from conversion.errors import BenchmarkError

DEEPEST = 32
"""Nodes from the first size to the places that are followed; exporters write about ten."""
MOST = 2**26
"""Numbers that the places of a file are computed from, all together."""


def with_views_by_strides(
    nodes: Sequence[OnnxNode], constants: Mapping[str, Tensor], given: GraphInput, outputs: Sequence[str]
) -> list[OnnxNode]:
    """The nodes with every view by strides as one; those that nobody reads any more are gone."""
    places = _Places({name: node for node in nodes for name in node.outputs}, constants, given)
    return read_nodes([places.as_view(node) for node in read_nodes(nodes, outputs)], outputs)


@rule("AsStrided")
def as_strided(node: OnnxNode, x: Tensor) -> Tensor:
    """The places that a view takes of each sample."""
    places, flat = node.attributes.get("places"), x.flatten(1)
    if not isinstance(places, np.ndarray):
        raise node.refusal("is no operator of ONNX.")
    if node.attributes["size"] not in (None, flat.shape[1]):
        raise node.refusal(
            f"takes places of samples of {node.attributes['size']} numbers, of an input of shape {tuple(x.shape)}."
        )
    taken = places.reshape(-1)
    if not np.array_equal(taken, np.arange(flat.shape[1])):
        flat = flat.index_select(1, torch.tensor(taken.tolist(), device=x.device))
    return flat.reshape(x.shape[0], *places.shape[1:])


@dataclass(frozen=True)
class _Places:
    """Looks for places that are computed from the size of the batch alone."""

    made: Mapping[str, OnnxNode]
    constants: Mapping[str, Tensor]
    given: GraphInput
    computations: dict[int, _Computation] = field(default_factory=dict)

    def as_view(self, node: OnnxNode) -> OnnxNode:
        """The node as a view by strides where it is one."""
        if node.op != "Gather" or len(node.inputs) != 2 or node.attributes.get("axis", 0) != 0:
            return node
        flat, places = self.made.get(node.inputs[0]), node.inputs[1]
        if node.batch not in (None, 1) or flat is None or flat.op != "Reshape" or len(flat.inputs) != 2:
            return node
        shape, one = (self._values(name, 1) for name in (flat.inputs[1], places))
        if shape is None or shape.tolist() != [-1] or one is None or one.shape[:1] != (1,) or one.ndim < 2:
            return node
        if not one.size or one.min() < 0:
            return node
        size = None
        if node.batch is None:
            # Each further sample takes the same places, further on by the size of a sample.
            three = self._values(places, 3)
            if three is None or three.shape != (3, *one.shape[1:]):
                return node
            size = int((three[1] - one[0]).flat[0])
            if size <= one.max() or not np.array_equal(three, np.concatenate([one, one + size, one + 2 * size])):
                return node
        return replace(node, op="AsStrided", inputs=(flat.inputs[0],), attributes={"places": one, "size": size})

    def _values(self, name: str, batch: int) -> Known | None:
        """The whole numbers of a value for a batch; None where it is no such, or depends on more than the batch."""
        found = self.computations.setdefault(batch, _Computation(self, batch)).value(name)
        return None if found is None or found.dtype.kind not in "iu" else found.astype(np.int64)


class _Computation:
    """Computes values from the size of a batch, each once."""

    def __init__(self, places: _Places, batch: int) -> None:
        self.places = places
        self.batch = batch
        self.found: dict[str, Known | None] = {}
        self.room = MOST

    def value(self, name: str, depth: int = 0) -> Known | None:
        """A value; None where it depends on more than the batch, or takes too much."""
        if name not in self.found:
            try:
                made = self._computed(name, depth)
            except (BenchmarkError, *FAILURES):
                made = None  # Whatever is wrong with it is said where it is computed.
            self.room -= 0 if made is None else made.size
            self.found[name] = made if self.room >= 0 else None
        return self.found[name]

    def _computed(self, name: str, depth: int) -> Known | None:
        if name in self.places.constants:
            return self.places.constants[name].numpy()
        node = self.places.made.get(name)
        if node is None or depth == DEEPEST:
            return None
        if node.op == "Constant":
            value = node.attributes.get("value")
            return value.numpy() if isinstance(value, Tensor) else None
        if node.op == "Shape":
            first = (node.attributes.get("start", 0), node.attributes.get("end")) == (0, 1)
            return np.array([self.batch]) if first and node.inputs[0] == self.places.given.name else None
        read = [self.value(each, depth + 1) if each else None for each in node.inputs]
        if node.op not in KNOWN or any(value is None and each for value, each in zip(read, node.inputs, strict=True)):
            return None
        return KNOWN[node.op](node, *read)
