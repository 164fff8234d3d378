"""Names of nodes of a captured network, from the modules of its author."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from conversion.capture.roles import Role, Transport, packet
from conversion.simulation.network import SpikingNetwork


def layer_name(network: SpikingNetwork, node: fx.Node) -> str:
    """A node's module; of an activation also the layers before it: "layer2.0.conv2 + shortcut.0 -> relu2"."""
    role = network.graph.rules[node].role
    own = "output" if role is Role.OUTPUT_ENCODER else module_name(node)
    if role not in (Role.FIRING, Role.OUTPUT_ENCODER):
        return own
    synapses = sorted({module_name(source) for source in _weights_before(network, node)})
    if not synapses:
        return own
    block = _common_block([*synapses, own])
    return f"{' + '.join([synapses[0], *(name[len(block) :] for name in synapses[1:])])} -> {own[len(block) :]}"


def _weights_before(network: SpikingNetwork, node: fx.Node) -> list[fx.Node]:
    """Convolutions and linear layers whose outputs reach a node through nothing but sums and shapes."""
    rules, found = network.graph.rules, []
    waiting = [source for source in node.all_input_nodes if rules[source].role is Role.LINEAR]
    seen = set(waiting)
    while waiting:
        source = waiting.pop()
        if rules[source].transport is Transport.SYNAPSE:
            found.append(source)
            continue
        more = [arg for arg in source.all_input_nodes if rules[arg].role is Role.LINEAR and arg not in seen]
        waiting += more
        seen.update(more)
    return found


def _common_block(names: Sequence[str]) -> str:
    """The longest common prefix of dotted names that ends in a dot and leaves something of each."""
    parts = [name.split(".")[:-1] for name in names]
    common = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        common.append(f"{level[0]}.")
    return "".join(common)


def module_name(node: fx.Node) -> str:
    """The module that a node came from, and the operation if that module has several."""
    stack = node.meta.get("nn_module_stack") or {}
    path, kind = next(reversed(stack.values()), ("", ""))
    single = str(kind).startswith("torch.nn.modules.") and not str(kind).startswith("torch.nn.modules.container.")
    return path if single and path else f"{path}.{op_name(node)}".lstrip(".")


def op_name(node: fx.Node) -> str:
    """ATen's name of a node's operation, without overload."""
    return str(getattr(packet(node), "__name__", node.target))
