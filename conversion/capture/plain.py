"""Views around activations: neurons expect the batch on the first axis of their currents, and one axis of channels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from torch import fx

from conversion.capture.assignment import assign_roles
from conversion.capture.channels import find_channels
from conversion.capture.graph import ConversionGraph, source_line
from conversion.capture.layout import find_layouts
from conversion.capture.roles import Role, aten, has_slopes
from conversion.errors import UnsupportedOp


def with_plain_activations(graph: ConversionGraph, sites: Collection[fx.Node]) -> ConversionGraph:
    """Puts views around those of some activations and output encoders that need them, and notes the channel axes.

    Raises:
        UnsupportedOp: an operation mixes the samples of a batch, or a PReLU has its samples and channels on one axis.
    """
    find_layouts(graph)
    folded = [node for node in sites if not node.meta["layout"].leading]
    for node in folded:
        layout = node.meta["layout"]
        if has_slopes(node):
            raise UnsupportedOp(
                f"The PReLU at {source_line(node)} has a slope for each channel, and its samples are not on its first "
                "axis by themselves; give it one slope for all channels, or keep the batch apart there."
            )
        axis = layout.axis
        before = [(aten.unflatten.int, axis, [layout.outer, -1, layout.inner]), (aten.movedim.int, axis + 1, 0)]
        _surround(node, before, [(aten.movedim.int, 0, axis + 1), (aten.flatten.using_ints, axis, axis + 2)])
    graph = replace(graph, rules=assign_roles(graph.module)) if folded else graph
    channels = find_channels(graph)
    mixed = [node for node in sites if channels[node] is None and graph.rules[node].role is Role.FIRING]
    for node in mixed:
        # All of it counts as one channel.
        _surround(node, [(aten.unsqueeze.default, -1)], [(aten.squeeze.dim, -1)])
    for node in sites:
        axis = channels[node]
        node.meta["channel_axis"] = node.meta["val"].dim() - 1 if axis is None else axis
    graph = replace(graph, rules=assign_roles(graph.module)) if mixed else graph
    if folded or mixed:
        find_layouts(graph)
    return graph


def _surround(node: fx.Node, before: Sequence[tuple[Any, ...]], after: Sequence[tuple[Any, ...]]) -> None:
    """Puts operations, each with its arguments behind the signal, before and after an activation."""

    def apply(source: fx.Node, operation: Any, *args: Any) -> fx.Node:
        made = node.graph.call_function(operation, (source, *args))
        made.meta = {"val": operation(source.meta["val"], *args), "stack_trace": node.meta.get("stack_trace", "")}
        return made

    users = list(node.users)
    source, *rest = node.args
    assert isinstance(source, fx.Node)
    with node.graph.inserting_before(node):
        for operation, *args in before:
            source = apply(source, operation, *args)
    node.args = (source, *rest)
    node.meta["val"] = source.meta["val"]
    result = node
    for operation, *args in after:
        with node.graph.inserting_after(result):
            result = apply(result, operation, *args)
    for user in users:
        user.replace_input_with(node, result)
