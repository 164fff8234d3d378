"""The channel axis of every activation, found by following labelled channels from the weights to it.

Each layer of weights labels its outputs with the number of their channel; views, permutations and slices move the
labels as they move values. If the labels of an activation differ along one axis alone, its channels lie on that axis.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from conversion.capture.graph import ConversionGraph, Values, evaluate
from conversion.capture.roles import Role, Transport, filled_with, has_slopes, is_product, packet

aten = torch.ops.aten
# The label of values that come from a constant or from padding.
NONE = torch.nan
# Labels of one layer start this far from those of the next; float64 adds them up exactly.
LARGEST = 2**24


@torch.no_grad()
def find_channels(graph: ConversionGraph) -> dict[fx.Node, int | None]:
    """The channel axis of every firing node and output encoder; None where channels are merged, split or mixed."""
    values = graph.start(graph.example)
    numbers = itertools.count(step=LARGEST)
    labels: Values = {graph.input: _label(values[graph.input], min(1, graph.example.dim() - 1), next(numbers))}
    found: dict[fx.Node, int | None] = {}
    for node in graph.body:
        values[node] = evaluate(node, values)
        labels[node] = _carry(graph, node, labels, values, next(numbers))
        if graph.rules[node].role in (Role.FIRING, Role.OUTPUT_ENCODER):
            # The slopes of a PReLU lie on axis 1, and neurons with them.
            found[node] = 1 if has_slopes(node) else _axis(labels[node])
    return found


def per_channel(values: Tensor, axis: int, dims: int) -> Tensor:
    """One value for each channel, or one for all, as a tensor of `dims` dimensions with the channels on one axis."""
    shape = [1] * dims
    shape[axis] = -1
    return values.view(shape)


def per_neuron(values: Tensor, axis: int, dims: int) -> Tensor:
    """One value for each neuron of a sample, for each channel or for all, as a tensor that fits a batch."""
    return per_channel(values, axis, dims) if values.dim() == 1 else values[None]


def _label(value: Tensor, axis: int, first: int) -> Tensor:
    """Consecutive numbers along one axis, equal along the others, in the shape of a value."""
    numbers = first + torch.arange(value.shape[axis], dtype=torch.float64, device=value.device)
    return per_channel(numbers, axis, value.dim()).expand(value.shape)


def _axis(label: Tensor) -> int | None:
    """The only axis along which labels differ, if all of them do; else an axis of size one, or None."""
    low, high = label.nan_to_num(nan=torch.inf), label.nan_to_num(nan=-torch.inf)
    varying = [
        axis
        for axis in range(label.dim())
        if bool((high.amax(axis, keepdim=True) > low.amin(axis, keepdim=True)).any())
    ]
    line = low.movedim(varying[0], 0).flatten(1).amin(1) if len(varying) == 1 else low.new_empty(0)
    if len(line) and len(line.unique()) == len(line):
        return varying[0]
    # With an axis of size one, all values are one channel.
    return next((axis for axis in range(1, label.dim()) if label.shape[axis] == 1), None)


def _carry(graph: ConversionGraph, node: fx.Node, labels: Values, values: Values, first: int) -> Any:
    rule, value = graph.rules[node], values[node]
    sources = [labels[source] for source in node.all_input_nodes if source in labels]
    if rule.transport is Transport.MOVE:
        return _move(node, labels, values)
    if rule.transport is Transport.REDUCE:
        # The mean of equal labels is the label.
        return sources[0].mean(*node.args[1:3])
    if packet(node) is aten.glu:
        return sources[0].chunk(2, node.args[1] if len(node.args) > 1 else -1)[0]
    if rule.transport is Transport.RESAMPLE:
        return pytree.tree_map(lambda part: _resampled(sources[0], part), value)
    if rule.transport is Transport.SYNAPSE or (is_product(node, rule) and packet(node) not in (aten.mul, aten.div)):
        return _label(value, 1 if "conv" in str(node.target) else value.dim() - 1, first)
    whole = [label for label in sources if label.shape == value.shape]
    # The labels of the latest layer: those of the input are a guess.
    latest = max(whole, key=lambda label: float(label.nan_to_num(nan=-1).amax()), default=sources[0])
    return latest.expand(value.shape)


def _resampled(label: Tensor, value: Tensor) -> Tensor:
    """Labels after pooling or upsampling, which keep the first two axes; none where there is no channel axis."""
    if label.dim() < 3 or label.shape[:2] != value.shape[:2]:
        return torch.full_like(value, NONE, dtype=torch.float64)
    plane = label.nan_to_num(nan=-torch.inf).flatten(2).amax(2)
    return plane.view(*plane.shape, *[1] * (value.dim() - 2)).expand(value.shape)


def _move(node: fx.Node, labels: Values, values: Values) -> Any:
    def pick(source: fx.Node) -> Any:
        constant = values[source]
        if source in labels or not (isinstance(constant, Tensor) and constant.is_floating_point()):
            return labels.get(source, constant)
        return torch.full_like(constant, NONE, dtype=torch.float64)

    args: list[Any] = list(fx.node.map_arg(node.args, pick))
    target: Any = node.target
    return target(*filled_with(node, args, NONE), **node.kwargs)
