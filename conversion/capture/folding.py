"""Normalisation with running statistics, folded into the layer before it or replaced by the affine map that it is.

W <- W g / sqrt(var + eps), b <- (b - mean) g / sqrt(var + eps) + beta, over the output channels of any convolution,
transposed convolution or linear layer. Batch norms of any kind are such maps, and instance norms that track statistics.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx

from conversion.capture.graph import attribute, evaluate, source_line
from conversion.capture.roles import SYNAPSES, aten, packet
from conversion.errors import InvalidInput

TRANSPOSED = (aten.conv_transpose1d, aten.conv_transpose2d, aten.conv_transpose3d)


def fold_batch_norm(module: fx.GraphModule) -> None:
    """Removes every normalisation with running statistics of a captured graph, in place.

    SyncBatchNorm exports as a batch norm.

    Raises:
        InvalidInput: its statistics are not finite.
    """
    for node in list(module.graph.nodes):
        if not is_affine(node):
            continue
        scale, shift = _affine(module, node)
        source = node.args[0]
        if _foldable(source, channels=len(scale)):
            result = _fold(module, source, scale, shift)
        else:
            result = _standalone(module, node, scale, shift)
        # Of a batch norm only the first of (normalised, mean, rstd) is ever used at inference.
        if packet(node) is aten.instance_norm:
            node.replace_all_uses_with(result)
        for user in list(node.users):
            assert user.target is operator.getitem and user.args[1] == 0
            user.replace_all_uses_with(result)
            module.graph.erase_node(user)
        module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()


def is_affine(node: fx.Node) -> bool:
    """Whether a node normalises with running statistics, not with those of its input."""
    if node.op != "call_function":
        return False
    fixed = packet(node) is aten._native_batch_norm_legit_no_training
    fixed = fixed or (packet(node) is aten.instance_norm and node.args[5] is False)
    return fixed and not any(isinstance(arg, fx.Node) and arg.meta["signal"] for arg in node.args[1:5])


def _affine(module: fx.GraphModule, node: fx.Node) -> tuple[Tensor, Tensor]:
    """Per-channel scale and shift of a normalisation, in float64."""
    weight, bias, mean, var = (_value(module, arg) for arg in node.args[1:5])
    eps: Any = node.args[7 if packet(node) is aten.instance_norm else 6]
    scale = (var.double() + eps).rsqrt()
    scale = scale if weight is None else scale * weight.double()
    shift = -mean.double() * scale
    shift = shift if bias is None else shift + bias.double()
    if not bool((torch.isfinite(scale) & torch.isfinite(shift)).all()):
        raise InvalidInput(
            f"The running statistics of the normalisation at {source_line(node)} make values that are not finite; the "
            "checkpoint is damaged."
        )
    return scale, shift


def _foldable(source: Any, channels: int) -> bool:
    if not isinstance(source, fx.Node) or source.op != "call_function" or packet(source) not in SYNAPSES:
        return False
    # Someone else reads the un-normalised value; or a linear layer's features are not batch norm's channels.
    axis_differs = packet(source) is aten.linear and source.meta["val"].dim() != 2
    constant = all(arg is None or (isinstance(arg, fx.Node) and arg.op == "get_attr") for arg in source.args[1:3])
    return len(source.users) == 1 and constant and not axis_differs and packet(source) is not aten.addmm


def _fold(module: fx.GraphModule, source: fx.Node, scale: Tensor, shift: Tensor) -> fx.Node:
    weight = _value(module, source.args[1])
    bias = _value(module, source.args[2]) if len(source.args) > 2 else None
    folded_bias = shift if bias is None else bias.double() * scale + shift
    if packet(source) in TRANSPOSED:
        # (in, out / groups, ...): the outputs of a group lie on axis 1, the groups are blocks of axis 0.
        groups = int(source.args[6]) if len(source.args) > 6 else 1  # type: ignore[arg-type]
        blocks = weight.double().unflatten(0, (groups, -1))
        per_output = scale.view(groups, 1, -1, *[1] * (weight.dim() - 2))
        folded_weight = (blocks * per_output).flatten(0, 1)
    else:
        folded_weight = weight.double() * scale.view(-1, *[1] * (weight.dim() - 1))
    with module.graph.inserting_before(source):
        # New attributes: the old ones may be shared with another layer.
        new_weight = _register(module, f"{source.name}_folded_weight", folded_weight.to(weight.dtype))
        new_bias = _register(module, f"{source.name}_folded_bias", folded_bias.to(weight.dtype))
    source.args = (source.args[0], new_weight, new_bias, *source.args[3:])
    return source


def _standalone(module: fx.GraphModule, node: fx.Node, scale: Tensor, shift: Tensor) -> fx.Node:
    value = node.args[0].meta["val"]  # type: ignore[union-attr]
    shape = (-1, *[1] * (value.dim() - 2))
    with module.graph.inserting_before(node):
        factor = _register(module, f"{node.name}_scale", scale.view(shape).to(value.dtype))
        offset = _register(module, f"{node.name}_shift", shift.view(shape).to(value.dtype))
        scaled = module.graph.call_function(aten.mul.Tensor, (node.args[0], factor))
        shifted = module.graph.call_function(aten.add.Tensor, (scaled, offset))
    for made in (scaled, shifted):
        made.meta = {"val": value, "stack_trace": node.meta.get("stack_trace", "")}
    return shifted


def _register(module: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    module.register_buffer(name, value)
    node = module.graph.get_attr(name)
    node.meta["val"] = value
    return node


def _value(module: fx.GraphModule, arg: Any) -> Any:
    """A parameter, or what the network computes from parameters alone."""
    if not isinstance(arg, fx.Node):
        return arg
    if arg.op == "get_attr":
        return attribute(module, arg).detach()
    with torch.no_grad():
        return evaluate(arg, {source: _value(module, source) for source in arg.all_input_nodes})
