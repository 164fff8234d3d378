"""Capture of a PyTorch module as a ConversionGraph: `torch.export`, batch-norm folding, one role for every node.

Nodes that are inserted into the graph compute nothing: encoders are the identity, and views around an activation put
the batch on its first axis and leave it one axis of channels, as neurons expect them.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from conversion.capture.channels import find_channels
from conversion.capture.encoders import AT_OUTPUT, insert_encoders, insert_output_encoders
from conversion.capture.folding import fold_batch_norm
from conversion.capture.graph import ConversionGraph, source_line
from conversion.capture.layout import find_layouts
from conversion.capture.purify import pure_module
from conversion.capture.qcfs import QCFS
from conversion.capture.roles import OpRule, Role, packet, rule_of
from conversion.errors import InvalidInput, UnsupportedOp

aten = torch.ops.aten
# Operations that make a constant with the type of a signal, by the position of that signal.
LIKE_A_SIGNAL = {aten.new_zeros: 0, aten.new_ones: 0, aten.new_full: 0, aten.type_as: 1}


def capture(model: nn.Module, example: Tensor) -> ConversionGraph:
    """Captures an inference-mode network with a free batch size.

    Args:
        model: the trained network; it is copied and left as it is.
        example: a batch that the network accepts, shape (N, ...); all but N is fixed from here on.

    Returns:
        The graph, in topological order, every node with its role.

    Raises:
        InvalidInput: the model is in training mode, holds a parameter or buffer that is not finite, or a QCFS
            activation whose threshold is not one positive number.
        UnsupportedOp: torch.export fails, an operation has no rule, or one mixes the samples of a batch. The message
            names the operation, the source line and what to do.
    """
    if model.training:
        raise InvalidInput("The network is in training mode; call model.eval() before capture.")
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InvalidInput(f"The network's '{name}' holds values that are not finite; the checkpoint is damaged.")

    sample = example[:1]
    # A batch of one would be specialised to one.
    batch = sample.expand(2, *sample.shape[1:]).contiguous()
    # A copy, so that moving or casting the graph never changes the caller's network.
    program = _export(copy.deepcopy(model), batch)
    module = pure_module(program)
    _normalise(module)
    fold_batch_norm(module)
    insert_encoders(module, _assign_roles(module))
    insert_output_encoders(module, _assign_roles(module))
    out_spec = program.call_spec.out_spec
    assert out_spec is not None
    graph = ConversionGraph(module, _assign_roles(module), sample.detach().clone(), out_spec)
    _check_trained_thresholds(graph)
    return _with_plain_activations(graph)


def _export(model: nn.Module, batch: Tensor) -> ExportedProgram:
    try:
        with torch.no_grad():
            return torch.export.export(model, (batch,), dynamic_shapes=({0: Dim("batch", min=1)},), strict=False)
    except Exception as error:  # torch.export passes on whatever the model's own code raised.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UnsupportedOp(
            f"torch.export cannot capture the network for any batch size and inputs of shape "
            f"(N, {', '.join(map(str, batch.shape[1:]))}): {reason}"
        ) from error


def _normalise(module: fx.GraphModule) -> None:
    """Rewrites operations that export records in several ways in one way."""
    (inputs,) = module.graph.find_nodes(op="placeholder")
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        op = packet(node)
        if op in (aten.view, aten._unsafe_view):
            # A view recorded for one memory format fails on channels-last activations; a reshape never does.
            node.target = aten.reshape.default
        elif op in LIKE_A_SIGNAL:
            args = list(node.args)
            args[LIKE_A_SIGNAL[op]] = inputs
            node.args = tuple(args)
        elif node.target in (aten.max.dim, aten.min.dim):
            _only_values(module, node)


def _only_values(module: fx.GraphModule, node: fx.Node) -> None:
    """Replaces a maximum over a dimension by one without positions, which spikes cannot carry."""
    if any(user.target is not operator.getitem or user.args[1] != 0 for user in node.users):
        raise UnsupportedOp(
            f"The positions that {node.target} at {source_line(node)} finds are used, but only its values are a "
            "signal. Use the values, or take the positions from the network's output."
        )
    extremum = aten.amax.default if packet(node) is aten.max else aten.amin.default
    source, dim, *keepdim = node.args
    for part in list(node.users):
        with module.graph.inserting_before(part):
            values = module.graph.call_function(extremum, (source, [dim], *keepdim))
        values.meta = {key: part.meta[key] for key in ("val", "stack_trace") if key in part.meta}
        part.replace_all_uses_with(values)
        module.graph.erase_node(part)
    module.graph.erase_node(node)


def _assign_roles(module: fx.GraphModule) -> dict[fx.Node, OpRule]:
    rules: dict[fx.Node, OpRule] = {}
    for node in module.graph.nodes:
        signals = _signals(node)
        made = packet(node) in LIKE_A_SIGNAL and not _reads_signal(node)
        node.meta["signal"] = node.op == "placeholder" or (signals > 0 and _is_tensor(node) and not made)
        if node.op == "placeholder":
            rules[node] = OpRule(Role.INPUT)
        elif node.op == "output":
            rules[node] = OpRule(Role.OUTPUT)
        elif not node.meta["signal"]:
            # Parameters, what is computed from them alone, and batch sizes.
            rules[node] = OpRule(Role.CONSTANT)
        elif AT_OUTPUT in node.meta:
            rules[node] = OpRule(Role.OUTPUT_ENCODER)
        else:
            rule = rule_of(node, signals)
            if rule is None:
                raise UnsupportedOp(
                    f"The operation {node.target} at {source_line(node)} has no rule. Add it to the table in "
                    "conversion/capture/roles.py, in the row that says what it does in time, or replace it in the "
                    "network."
                )
            rules[node] = rule
    return rules


def _signals(node: fx.Node) -> int:
    """Number of a node's arguments that are signals; x * x has two."""
    arguments: list[fx.Node] = []
    fx.node.map_arg((node.args, node.kwargs), arguments.append)
    return sum(argument.meta["signal"] for argument in arguments)


def _reads_signal(node: fx.Node) -> bool:
    """Whether an operation of LIKE_A_SIGNAL casts a signal to the type of another, which carries it on."""
    value = node.args[0]
    return packet(node) is aten.type_as and isinstance(value, fx.Node) and bool(value.meta["signal"])


def _is_tensor(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) or (isinstance(value, (tuple, list)) and any(isinstance(v, Tensor) for v in value))


def _check_trained_thresholds(graph: ConversionGraph) -> None:
    for node in graph.firing:
        if packet(node) is not QCFS:
            continue
        levels: Any = node.args[2]
        if levels < 1:
            raise InvalidInput(f"A QCFS activation has {levels} levels; neurons need at least 1.")
        source: Any = node.args[1]
        threshold = graph.constant(source)
        if threshold.numel() != 1 or not bool((threshold > 0).all()):
            value = f"{float(threshold):.4g}" if threshold.numel() == 1 else f"{threshold.numel()} numbers"
            raise InvalidInput(
                f"The threshold of a QCFS activation, '{source.target}', is {value}; neurons need one positive number "
                "for a layer. Where training has driven it below zero, train again with a smaller learning rate."
            )


def _with_plain_activations(graph: ConversionGraph) -> ConversionGraph:
    """Puts views around activations, so that all have the batch on their first axis and one channel axis."""
    find_layouts(graph)
    folded = [node for node in (*graph.firing, *graph.output_encoders) if not node.meta["layout"].leading]
    for node in folded:
        layout = node.meta["layout"]
        axis = layout.axis
        before = [(aten.unflatten.int, axis, [layout.outer, -1, layout.inner]), (aten.movedim.int, axis + 1, 0)]
        _surround(node, before, [(aten.movedim.int, 0, axis + 1), (aten.flatten.using_ints, axis, axis + 2)])
    graph = replace(graph, rules=_assign_roles(graph.module)) if folded else graph
    channels = find_channels(graph)
    mixed = [node for node in graph.firing if channels[node] is None]
    for node in mixed:
        # All of it counts as one channel.
        _surround(node, [(aten.unsqueeze.default, -1)], [(aten.squeeze.dim, -1)])
    for node, axis in channels.items():
        node.meta["channel_axis"] = node.meta["val"].dim() - 1 if axis is None else axis
    graph = replace(graph, rules=_assign_roles(graph.module)) if mixed else graph
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
