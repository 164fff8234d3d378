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
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from conversion.capture.graph import ConversionGraph, Values, evaluate, last_uses
from conversion.capture.roles import ATTENTION, HOMOGENEOUS, PRODUCTS, OpRule, Role, Transport, is_product, packet
from conversion.counting.flops import flops
from conversion.counting.operations import AnalogOperations
from conversion.errors import UnsupportedOp

aten = torch.ops.aten


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
            operations[when] += flops(node, values, _reads(node, rule, values))
            if difference and when == "step":
                operations[when] += _difference_flops(node, [s for s in sources if s in changing], analog, values)

        if rule.transport in (Transport.RESAMPLE, Transport.REDUCE, Transport.SCALE, Transport.MOVE):
            events[node] = _carry(node, rule.transport, events, values)
            passed = _carry(node, rule.transport, analog, values)
            analog[node] = pytree.tree_map(lambda part: (part > 0).double(), passed)
            continue
        if rule.transport is Transport.MERGE:
            # A signal added to itself arrives twice.
            terms = [term for term in node.args[:2] if isinstance(term, fx.Node) and term in events]
            events[node], analog[node], joined = _merge(node, terms, events, analog, values)
            accumulated.append(joined)
            continue
        if rule.transport is Transport.SYNAPSE:
            accumulated.append(_carry(node, rule.transport, events, values).sum())
            macs[when] += round(float(_carry(node, rule.transport, analog, values).sum()))
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


def _reads(node: fx.Node, rule: OpRule, values: Values) -> Tensor | None:
    """Number of inputs that each output of a maximum or matrix product reads; None for other operations."""
    elementwise = packet(node) in (aten.mul, aten.div, *ATTENTION)
    if rule.transport is None and (elementwise or not is_product(node, rule)):
        return None
    ones = {
        source: torch.ones_like(values[source], dtype=torch.float64)
        for source in node.all_input_nodes
        if source.meta["signal"]
    }
    with torch.no_grad():
        found = _carry(node, rule.transport or Transport.SYNAPSE, ones, values)
    counts: Tensor = found[0] if isinstance(found, tuple) else found
    return counts


def _difference_flops(node: fx.Node, changing: list[fx.Node], analog: Values, values: Values) -> int:
    """Operations per step that the difference of the running mean needs beside its function f.

    Analog inputs are added to their sums (spikes are counted as synaptic operations) and earlier outputs subtracted;
    unless f is homogeneous, sums are divided by t and f multiplied by it.
    """
    inputs = sum(analog[source].numel() for source in changing)
    (output, *_) = pytree.tree_leaves(values[node])
    scaled = 0 if packet(node) in HOMOGENEOUS else inputs + output.numel()
    return round(sum(float(analog[source].sum()) for source in changing)) + int(output.numel() + scaled)


def _carry(node: fx.Node, transport: Transport, signals: Values, values: Values) -> Any:
    """The output of an operation with all weights replaced by one and all other constants by zero."""
    args: list[Any] = [_substitute(arg, transport, signals, values) for arg in node.args]
    target: Any = node.target
    if transport is Transport.SCALE:
        signal = next(signals[source] for source in node.all_input_nodes if source in signals)
        return signal.expand(values[node].shape)
    if transport is Transport.REDUCE:
        return args[0].sum(*args[1:3])
    if transport is Transport.RESAMPLE:
        return _resample(node, args[0], values)
    if transport is Transport.SYNAPSE:
        if packet(node) is aten.addmm:
            return args[1] @ args[2]
        if packet(node) not in PRODUCTS:
            args[2:3] = [None]
        return target(*args)
    if packet(node) in (aten.pad, aten.constant_pad_nd):
        args = [*args[:2], *(["constant"] if packet(node) is aten.pad else [])]
    return target(*args, **node.kwargs)


def _substitute(arg: Any, transport: Transport, signals: Values, values: Values) -> Any:
    def pick(source: fx.Node) -> Any:
        if source in signals:
            return signals[source]
        constant = values[source]
        if not (isinstance(constant, Tensor) and constant.is_floating_point()):
            return constant
        fill = torch.ones_like if transport is Transport.SYNAPSE else torch.zeros_like
        return fill(constant, dtype=torch.float64)

    return fx.node.map_arg(arg, pick)


def _merge(
    node: fx.Node, sources: list[fx.Node], events: Values, analog: Values, values: Values
) -> tuple[Tensor, Tensor, Tensor]:
    """Adds signals: a sum of events is events; into an analog term the spikes of the others are accumulated."""
    shape = values[node].shape
    spikes = torch.stack([events[source].expand(shape) for source in sources]).sum(0)
    mixed = torch.stack([analog[source].expand(shape) for source in sources]).amax(0)
    return spikes * (1 - mixed), mixed, (spikes * mixed).sum()


def _resample(node: fx.Node, signal: Tensor, values: Values) -> Any:
    """The output of pooling or upsampling, whose connections are probed on each spatial axis by itself."""
    real = values[node.args[0]]  # type: ignore[index]
    several = isinstance(values[node], tuple)
    for axis in range(2, real.dim()):
        size = real.shape[axis]
        shape = [1, size, *[1] * (real.dim() - 2)]
        shape[axis] = size
        probe = torch.eye(size, dtype=real.dtype, device=real.device).view(shape).expand(1, size, *real.shape[2:])
        with torch.no_grad():
            response = evaluate(node, {**values, node.args[0]: probe})  # type: ignore[dict-item]
        response = response[0] if several else response
        if response.shape[1] != size:  # The axis of the channels was pooled, too.
            raise UnsupportedOp(f"The connections of {node.target} cannot be counted for {real.dim()}-d signals.")
        others = [a for a in range(2, real.dim()) if a != axis]
        reads = (response.amax(others) if others else response)[0] > 0
        signal = (signal.movedim(axis, -1) @ reads.double()).movedim(-1, axis)
    return (signal,) if several else signal
