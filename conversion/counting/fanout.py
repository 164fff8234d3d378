"""The connections of a network: the true fan-out of every neuron, and the multiplications that stay analog.

With every weight replaced by one and amplitudes ignored, the input of a layer is the number of its connections on which
a spike comes. Its gradient with respect to a neuron is then the number of synaptic operations that one spike of that
neuron causes, exact at borders, for strides, groups, dilations, shortcuts and the final layer.

A spike is charged for each weighted connection it drives, and once where it is added to a membrane without a weight
(an identity shortcut). Pooling is free: a spike is charged for the connections of each pooled position it falls in.
Multiplications by values that are not spikes are analog and counted as MACs (element-wise factors are not: they fold
into weights); padding is not multiplied, so ANN and SNN are counted over the same connections.

Maxima carry events as averages do: a spike is charged for every window that it falls in, whether it changes the
maximum or not, which is an upper bound. At any other nonlinear operation an event is accumulated once for each place
where it arrives, and the output is analog. The work of nonlinear operations is counted in floating-point operations
(conversion/counting/flops.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from conversion.capture.graph import ConversionGraph, Values, evaluate, last_uses
from conversion.capture.roles import HOMOGENEOUS, Role, Transport, packet
from conversion.counting.flops import flops
from conversion.counting.operations import AnalogOperations
from conversion.counting.transport import carry, inputs_read, merge


@dataclass(frozen=True)
class Work:
    """Operations of one sample by when they are done.

    Attributes:
        static: on values that are constant in time when the input is.
        step: on values that change from step to step, for one step.
        head: behind the first weights or nonlinear operation that follow the last neurons; done once, on the mean.
    """

    static: int
    step: int
    head: int


@dataclass(frozen=True, eq=False)
class Connectivity:
    """The connections of a network, for one sample.

    Attributes:
        fan_out: synaptic operations per spike, by layer (the input among them where it is made of events), in the shape
            of one sample, float64.
        macs: multiplications by analog values.
        flops: floating-point operations of nonlinear nodes.
    """

    fan_out: dict[fx.Node, Tensor]
    macs: Work
    flops: Work

    def analog_operations(self, *, constant_input: bool) -> AnalogOperations:
        """Operations on analog values; those before the first neurons are needed once if the input is constant."""
        macs, flops = self.macs, self.flops
        if constant_input:
            return AnalogOperations(
                macs_once=macs.static, macs_step=macs.step, macs_head=macs.head,
                flops_once=flops.static + flops.head, flops_step=flops.step,
            )  # fmt: skip
        return AnalogOperations(
            macs_once=0, macs_step=macs.static + macs.step, macs_head=macs.head,
            flops_once=flops.head, flops_step=flops.static + flops.step,
        )  # fmt: skip


@torch.enable_grad()
def connect(
    graph: ConversionGraph, spiking: Collection[fx.Node], *, difference: bool = True, event_input: bool = False
) -> Connectivity:
    """Counts the connections of a graph whose activations in `spiking` are layers of neurons.

    Args:
        graph: the captured network.
        spiking: the firing nodes that are layers of neurons.
        event_input: the input is made of events, each of which is charged for its connections, as those of neurons are.
        difference: the output of nonlinear nodes is the difference of the running mean, which costs more than the
            function alone.

    Raises:
        UnsupportedOp: events pass an operation whose connections cannot be counted.
    """
    # Shapes and constants come from one real pass; `events` and `analog` hold the two kinds of every signal.
    values = graph.start(graph.example)
    events: Values = {graph.input: torch.zeros_like(graph.example, dtype=torch.float64)}
    analog: Values = {graph.input: torch.ones_like(graph.example, dtype=torch.float64)}
    leaves: dict[fx.Node, Tensor] = {}
    if event_input:
        analog[graph.input] = _filled(0, graph.example)
        leaves[graph.input] = events[graph.input].requires_grad_()
    accumulated: list[Tensor] = []
    macs, operations = Counter[str](), Counter[str]()
    changing: set[fx.Node] = set()
    leading = graph.upstream(spiking)
    # Behind the last neurons: nodes that read no spikes any more, and nodes that these may read.
    head, collected = set[fx.Node](), set[fx.Node]()
    freed = last_uses(graph.body, keep=graph.output.all_input_nodes)
    previous: Sequence[fx.Node] = ()
    for node in graph.body:
        # Values that no later node reads are freed here, since the loop's body ends in several places.
        for done in previous:
            for signals in (values, events, analog):
                del signals[done]
        previous = freed.get(node, ())
        with torch.no_grad():
            values[node] = evaluate(node, values)
        rule = graph.rules[node]
        sources = [source for source in node.all_input_nodes if source in events]
        if node in spiking or any(source in changing for source in sources):
            changing.add(node)
        if node not in leading:
            if rule.role is Role.NONLINEAR or not collected.isdisjoint(sources):
                head.add(node)
            if node in head or rule.transport is Transport.SYNAPSE:
                collected.add(node)
        when = "static" if node not in changing else "head" if node in head else "step"
        if rule.role is Role.NONLINEAR:
            operations[when] += flops(node, values, inputs_read(node, rule, values))
            if difference and when == "step":
                operations[when] += _difference_flops(node, [s for s in sources if s in changing], analog, values)

        if rule.transport in (Transport.RESAMPLE, Transport.REDUCE, Transport.SCALE, Transport.MOVE):
            events[node] = carry(node, rule.transport, events, values)
            passed = carry(node, rule.transport, analog, values)
            analog[node] = pytree.tree_map(lambda part: (part > 0).double(), passed)
            continue
        if rule.transport is Transport.MERGE:
            # A signal added to itself arrives twice.
            terms = [term for term in node.args[:2] if isinstance(term, fx.Node) and term in events]
            events[node], analog[node], joined = merge(node, terms, events, analog, values)
            accumulated.append(joined)
            continue
        if rule.transport is Transport.SYNAPSE:
            accumulated.append(carry(node, rule.transport, events, values).sum())
            macs[when] += round(float(carry(node, rule.transport, analog, values).sum()))
        else:
            accumulated += [events[source].sum() for source in sources]
        # One number stands for all: a layer's connections take as much memory as its gradient alone.
        events[node] = _filled(0, values[node])
        analog[node] = _filled(int(node not in spiking), values[node])
        if node in spiking:
            leaves[node] = events[node].requires_grad_()
    accumulated += [events[source].sum() for source in graph.output.all_input_nodes if source in events]
    multiplications, floating_point = (Work(by["static"], by["step"], by["head"]) for by in (macs, operations))
    return Connectivity(_gradients(leaves, accumulated), multiplications, floating_point)


def _filled(number: int, like: Tensor) -> Tensor:
    """One number, expanded to the shape of another signal."""
    return torch.full((), number, dtype=torch.float64, device=like.device).expand(like.shape)


def _gradients(leaves: dict[fx.Node, Tensor], accumulated: list[Tensor]) -> dict[fx.Node, Tensor]:
    if not leaves:
        return {}
    total = torch.stack(accumulated).sum()
    found = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
    return {node: gradient[0] for node, gradient in zip(leaves, found, strict=True)}


def _difference_flops(node: fx.Node, changing: list[fx.Node], analog: Values, values: Values) -> int:
    """Operations per step that the difference of the running mean needs beside its function f.

    Analog inputs are added to their sums (spikes are counted as synaptic operations) and earlier outputs subtracted;
    unless f is homogeneous, sums are divided by t and f multiplied by it.
    """
    inputs = sum(analog[source].numel() for source in changing)
    (output, *_) = pytree.tree_leaves(values[node])
    scaled = 0 if packet(node) in HOMOGENEOUS else inputs + output.numel()
    return round(sum(float(analog[source].sum()) for source in changing)) + int(output.numel() + scaled)
