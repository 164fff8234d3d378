"""The report of roles: what every operation of a spiking network does in time (docs/report.md)."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import BaseModel, ConfigDict
from torch import fx

from conversion.capture.roles import Role, Transport
from conversion.report.naming import layer_name, op_name
from conversion.simulation.network import SpikingNetwork


class RoleGroup(BaseModel):
    """The operations that have one role in time.

    Attributes:
        role: "constant" under a constant input, so computed once; "spiking"; "linear" in spikes or in their sums;
            "analog", multiplications of a current and activations without neurons, at every step; "nonlinear", the
            difference of the running mean; "readout", applied once to the mean output.
        ops: number of operations of each kind.
        names: their modules, in execution order.
    """

    model_config = ConfigDict(frozen=True)
    role: Literal["constant", "spiking", "linear", "analog", "nonlinear", "readout"]
    ops: dict[str, int]
    names: tuple[str, ...]


def roles(network: SpikingNetwork, *, constant_input: bool = True) -> list[RoleGroup]:
    """The operations of a network by their role in time; empty groups are left out.

    An input that is not constant is taken as one of events.
    """
    groups: dict[str, list[fx.Node]] = {}
    for node, role in _roles_in_time(network, constant_input).items():
        groups.setdefault(role, []).append(node)
    return [
        RoleGroup.model_validate(
            {
                "role": role,
                "ops": Counter(op_name(node) for node in groups[role]),
                "names": tuple(layer_name(network, node) for node in groups[role]),
            }
        )
        for role in ("constant", "spiking", "linear", "analog", "nonlinear", "readout")
        if role in groups
    ]


def _roles_in_time(network: SpikingNetwork, constant_input: bool) -> dict[fx.Node, str]:
    rules, head = network.graph.rules, set(network.head)
    # Nodes whose value is no sum of spikes: weights that read it multiply.
    analog = {network.graph.input} if constant_input else set[fx.Node]()
    changing = network.changing(constant_input=constant_input)
    found: dict[fx.Node, str] = {}
    for node in network.graph.body:
        rule = rules[node]
        if rule.role is Role.OUTPUT_ENCODER and node not in network.neurons:
            continue
        from_analog = not analog.isdisjoint(node.all_input_nodes)
        if node not in network.neurons and (from_analog or rule.transport in (None, Transport.SYNAPSE)):
            analog.add(node)
        if node in head:
            found[node] = "readout"
        elif node not in changing:
            found[node] = "constant"
        elif node in network.neurons:
            found[node] = "spiking"
        elif rule.role is Role.NONLINEAR:
            found[node] = "nonlinear"
        else:
            multiplies = rule.role is Role.FIRING or (from_analog and rule.transport is Transport.SYNAPSE)
            found[node] = "analog" if multiplies else "linear"
    return found
