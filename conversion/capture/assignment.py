"""The role of every node of a graph; what the role table does not cover is refused here, by name and source line."""

from __future__ import annotations

import torch
from torch import Tensor, fx

from conversion.capture.encoders import AT_OUTPUT
from conversion.capture.graph import source_line
from conversion.capture.roles import CASTS, OpRule, Role, Transport, arguments, aten, not_understood, packet, rule_of
from conversion.capture.signals import count_signals, is_tensor, mark_signals
from conversion.errors import UnsupportedOp

# Sizes of signals are numbers that no value changes.
SIZES = (aten.sym_size, aten.sym_numel, aten.sym_stride)
# Operations that change nothing.
KEEPING = (aten.clone, aten.contiguous, aten.alias, aten.detach)


def assign_roles(module: fx.GraphModule) -> dict[fx.Node, OpRule]:
    """The role of every node, in execution order.

    Raises:
        UnsupportedOp: an operation has no rule, or has an argument that its rule does not understand, or makes whole
            numbers of a signal.
    """
    mark_signals(module)
    rules: dict[fx.Node, OpRule] = {}
    for node in module.graph.nodes:
        if node.op == "placeholder":
            rules[node] = OpRule(Role.INPUT)
        elif node.op == "output":
            rules[node] = OpRule(Role.OUTPUT)
        elif not node.meta["signal"]:
            _check_constant(node)
            # Parameters, what is computed from them alone, and batch sizes.
            rules[node] = OpRule(Role.CONSTANT)
        elif AT_OUTPUT in node.meta:
            rules[node] = OpRule(Role.OUTPUT_ENCODER)
        else:
            rules[node] = _rule(node)
    return rules


def _rule(node: fx.Node) -> OpRule:
    rule = rule_of(node, count_signals(node))
    if rule is None:
        raise refusal(
            node, "has no rule", "Add it to the table in conversion/capture/roles.py, in the row that says what it "
            "does in time, or replace it in the network."
        )  # fmt: skip
    if unknown := not_understood(node):
        listed = ", ".join(f"{name}={value!r}" for name, value in unknown.items())
        raise refusal(
            node, f"has no rule for {listed}", "With it the operation is another function; add the argument to its row "
            "in conversion/capture/roles.py if the row still holds, or leave it out in the network."
        )  # fmt: skip
    _check_type(node, rule)
    return rule


def _check_type(node: fx.Node, rule: OpRule) -> None:
    """Refuses whole numbers: positions, comparisons and rounding are no signals. Inputs may be, and move, as such."""
    value = node.meta["val"]
    first = value if isinstance(value, Tensor) else value[0]
    if first.is_floating_point():
        return
    sources = [source.meta["val"] for source in node.all_input_nodes if source.meta["signal"]]
    of_numbers = any(isinstance(source, Tensor) and source.is_floating_point() for source in sources)
    carried = rule.transport is Transport.MOVE or (rule.transport is Transport.SCALE and packet(node) in KEEPING)
    if carried and not of_numbers:
        return
    kind = str(first.dtype).removeprefix("torch.")
    if packet(node) in CASTS and of_numbers:
        raise refusal(
            node, f"casts a signal to {kind}", "That rounds, which is nonlinear, and spikes cannot carry its result; "
            "leave the cast out, or apply it to the network's output."
        )  # fmt: skip
    raise refusal(
        node, f"gives values of type {kind}", "Only floating-point numbers are signals; cast the input first, with "
        "x.float(), and take positions from the network's output."
    )  # fmt: skip


def _check_constant(node: fx.Node) -> None:
    """Refuses numbers that are read from a signal's values, not known before the input is, and random ones."""
    if node.op == "call_function" and not is_tensor(node) and count_signals(node) and packet(node) not in SIZES:
        raise refusal(
            node, "makes a number of a signal", "What the network computes then depends on the input; compute it with "
            "tensors instead."
        )  # fmt: skip
    if _draws(node):
        raise refusal(
            node, "draws random numbers", "The network gives another output in every call; draw them once, and keep "
            "them as a buffer, or leave them out in inference mode."
        )  # fmt: skip


def _draws(node: fx.Node) -> bool:
    """Whether an operation draws random numbers; dropouts that are not active do not."""
    if not isinstance(node.target, torch._ops.OpOverload) or torch.Tag.nondeterministic_seeded not in node.target.tags:
        return False
    given = arguments(node)
    active = [given[name] for name in ("training", "train", "p", "dropout_p") if name in given]
    return not active or all(active)


def refusal(node: fx.Node, what: str, advice: str) -> UnsupportedOp:
    """The error about an operation of the network."""
    return UnsupportedOp(f"The operation {node.target} at {source_line(node)} {what}. {advice}")
