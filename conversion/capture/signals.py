"""Signals: the values of a captured graph that depend on its input and change in time; all else is constant."""

from __future__ import annotations

from torch import Tensor, fx

from conversion.capture.roles import aten, packet

# Operations that make a constant with the type of a signal, by the position of that signal.
LIKE_A_SIGNAL = {aten.new_zeros: 0, aten.new_ones: 0, aten.new_full: 0, aten.new_empty: 0, aten.type_as: 1}


def mark_signals(module: fx.GraphModule) -> None:
    """Notes in every node's meta data whether its value is a signal."""
    for node in module.graph.nodes:
        made = packet(node) in LIKE_A_SIGNAL and not _casts_signal(node)
        node.meta["signal"] = node.op == "placeholder" or (count_signals(node) > 0 and is_tensor(node) and not made)


def count_signals(node: fx.Node) -> int:
    """Number of a node's arguments that are signals; x * x has two."""
    arguments: list[fx.Node] = []
    fx.node.map_arg((node.args, node.kwargs), arguments.append)
    return sum(argument.meta["signal"] for argument in arguments)


def is_tensor(node: fx.Node) -> bool:
    """Whether a node's value is a tensor, or has one among its parts."""
    value = node.meta.get("val")
    return isinstance(value, Tensor) or (isinstance(value, (tuple, list)) and any(isinstance(v, Tensor) for v in value))


def _casts_signal(node: fx.Node) -> bool:
    """Whether an operation of LIKE_A_SIGNAL casts a signal to the type of another, which carries it on."""
    value = node.args[0]
    return packet(node) is aten.type_as and isinstance(value, fx.Node) and bool(value.meta["signal"])
