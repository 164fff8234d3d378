"""Passage of events through one operation, with all weights replaced by one (the `Transport` of the role table)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from conversion.capture.graph import Values, evaluate
from conversion.capture.roles import ATTENTION, PRODUCTS, OpRule, Transport, filled_with, is_product, packet
from conversion.errors import UnsupportedOp

aten = torch.ops.aten


def carry(node: fx.Node, transport: Transport, signals: Values, values: Values) -> Any:
    """The output of an operation with all weights replaced by one and all other constants by zero.

    Args:
        node: the operation.
        transport: the transport of the operation.
        signals: its input signals, as numbers of events or of connections.
        values: real values of its inputs and of itself, which give shapes and constants.
    """
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
    # With zeros, which nobody multiplies.
    return target(*filled_with(node, args, 0), **node.kwargs)


def merge(
    node: fx.Node, sources: list[fx.Node], events: Values, analog: Values, values: Values
) -> tuple[Tensor, Tensor, Tensor]:
    """Adds signals: a sum of events is events; into an analog term the spikes of the others are accumulated.

    Returns:
        The events and the analog part of the sum, and the number of accumulations.
    """
    shape = values[node].shape
    spikes = torch.stack([events[source].expand(shape) for source in sources]).sum(0)
    mixed = torch.stack([analog[source].expand(shape) for source in sources]).amax(0)
    return spikes * (1 - mixed), mixed, (spikes * mixed).sum()


def inputs_read(node: fx.Node, rule: OpRule, values: Values) -> Tensor | None:
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
        found = carry(node, rule.transport or Transport.SYNAPSE, ones, values)
    counts: Tensor = found[0] if isinstance(found, tuple) else found
    return counts


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
