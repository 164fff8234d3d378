"""Spike encoders: identities behind nonlinear operations, which become neurons, and before the output, which may.

A network of GELUs, normalisations and attention has no ReLU: nothing in it would spike. The output of a nonlinear
operation is analog, so a layer of signed neurons that follows the identity is put between it and the weights or
products that read it. In the ANN this is the identity, written as a leaky ReLU of slope one.

Maxima get none: the running maximum of sums of spikes is itself a sum of spikes, so its difference already is a spike
train (lateral-inhibition pooling). Operations that reach no weights, such as a final softmax, get none either.

Methods whose last layer spikes too need neurons at the output. An output encoder is their place: the identity, as an
operation of the readout, until a method puts neurons there.

Weights that read the sums of other weights, with no activation between, multiply a number at every step: so in linear
bottlenecks, and where a pointwise convolution follows a depthwise one. Encoders between the two are an option, since
they cost an error of their own (`insert_encoders_between`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import fx

from conversion.capture.roles import OpRule, Role, Transport, is_product

IDENTITY = torch.ops.aten.leaky_relu.default
# The key of a node's meta data that marks an output encoder.
AT_OUTPUT = "output_encoder"


def insert_encoders(module: fx.GraphModule, rules: Mapping[fx.Node, OpRule]) -> None:
    """Inserts every encoder that a graph needs, in place."""
    sites = [node for node, rule in rules.items() if rule.role is Role.NONLINEAR and rule.transport is None]
    sites = [node for node in sites if _drives_weights(node, rules)]
    for node in sites:
        _insert(node, list(node.users), "encoder")


def insert_output_encoders(module: fx.GraphModule, rules: Mapping[fx.Node, OpRule]) -> None:
    """Inserts the identity before every output that is a signal and no activation, in place."""
    output = next(node for node, rule in rules.items() if rule.role is Role.OUTPUT)
    for node in output.all_input_nodes:
        value = node.meta.get("val")
        computed = rules[node].role in (Role.LINEAR, Role.NONLINEAR)
        if computed and isinstance(value, torch.Tensor) and value.is_floating_point():
            _insert(node, [output], "output").meta[AT_OUTPUT] = True


def insert_encoders_between(rules: Mapping[fx.Node, OpRule]) -> list[fx.Node]:
    """Inserts an encoder wherever weights read what other weights make of spikes, in place; returns the encoders."""
    sums: set[fx.Node] = set()
    spiking: set[fx.Node] = set()
    sites: dict[fx.Node, list[fx.Node]] = {}
    for node, rule in rules.items():
        sources = [source for source in node.all_input_nodes if source.meta["signal"]]
        if rule.role is Role.FIRING:
            spiking.add(node)
            continue
        if spiking.isdisjoint(sources):
            continue  # Computed once, as what comes before the first neurons is.
        spiking.add(node)
        summed = not sums.isdisjoint(sources)
        if rule.transport is Transport.SYNAPSE:
            if summed:
                sites.setdefault(sources[0], []).append(node)
            sums.add(node)
        elif rule.transport is not None and summed:
            sums.add(node)
    return [_insert(source, readers, "between") for source, readers in sites.items()]


def _insert(node: fx.Node, users: Sequence[fx.Node], kind: str) -> fx.Node:
    """Inserts the identity between a node and some of its users."""
    graph = node.graph
    with graph.inserting_after(node):
        encoder = graph.create_node("call_function", IDENTITY, (node, 1.0), name=f"{kind}_{node.name}")
    encoder.meta = {key: node.meta[key] for key in ("val", "stack_trace") if key in node.meta}
    for user in users:
        user.replace_input_with(node, encoder)
    return encoder


def _drives_weights(node: fx.Node, rules: Mapping[fx.Node, OpRule]) -> bool:
    """Whether a value meets weights, or another signal in a product, before the next nonlinear operation."""
    waiting, seen = list(node.users), set(node.users)
    while waiting:
        user = waiting.pop()
        rule = rules[user]
        if rule.transport is Transport.SYNAPSE or is_product(user, rule):
            return True
        if rule.transport is not None:
            fresh = set(user.users) - seen
            waiting += fresh
            seen |= fresh
    return False
