"""The role table: the role of every ATen operation in a spiking network (docs/operations.md).

`torch.export` reduces a network to a small vocabulary of ATen operations. Each gets one row here; an operation
in no row is refused by `capture`, never skipped.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import fx

from conversion.capture.qcfs import QCFS

aten = torch.ops.aten


class Role(StrEnum):
    """The role of a node in a spiking network: how it is computed over timesteps."""

    INPUT = "input"
    CONSTANT = "constant"
    LINEAR = "linear"
    FIRING = "firing"
    OUTPUT_ENCODER = "output encoder"
    NONLINEAR = "nonlinear"
    OUTPUT = "output"


class Transport(StrEnum):
    """The way in which events pass an operation, for counting synaptic operations."""

    SYNAPSE = "synapse"
    """Every event is multiplied by weights: convolutions and matrix products with a constant."""
    RESAMPLE = "resample"
    """Channel by channel from one grid to another with non-negative weights: pooling, upsampling."""
    REDUCE = "reduce"
    """Several positions meet in one: mean, sum and maximum over dimensions."""
    SCALE = "scale"
    """Every event keeps its place and changes its amplitude: products with a constant, sign, casts."""
    MERGE = "merge"
    """Signals meet element by element: addition and subtraction."""
    MOVE = "move"
    """Events move and keep their amplitude: views, slices, concatenation, padding."""


@dataclass(frozen=True)
class OpRule:
    """One row of the table.

    `transport` is set where events pass: in linear operations, and in maxima, whose running differences are differences
    of sums of spikes. The output of any other nonlinear operation is analog.
    """

    role: Role
    transport: Transport | None = None


SYNAPSES = (
    aten.conv1d, aten.conv2d, aten.conv3d, aten.conv_transpose1d, aten.conv_transpose2d, aten.conv_transpose3d,
    aten.linear, aten.addmm,
)  # fmt: skip
# Linear in one signal and a constant, nonlinear in two signals.
PRODUCTS = {
    aten.mul: Transport.SCALE, aten.div: Transport.SCALE,
    aten.matmul: Transport.SYNAPSE, aten.mm: Transport.SYNAPSE, aten.bmm: Transport.SYNAPSE,
    aten.einsum: Transport.SYNAPSE,
}  # fmt: skip
RESAMPLERS = (
    aten.avg_pool1d, aten.avg_pool2d, aten.avg_pool3d,
    aten.adaptive_avg_pool1d, aten.adaptive_avg_pool2d, aten.adaptive_avg_pool3d,
    aten.upsample_nearest1d, aten.upsample_nearest2d, aten.upsample_nearest3d,
    aten.upsample_linear1d, aten.upsample_bilinear2d, aten.upsample_trilinear3d,
)  # fmt: skip
REDUCTIONS = (aten.mean, aten.sum)
SCALES = (
    aten.neg, aten.to, aten.type_as, aten._to_copy, aten.clone, aten.contiguous, aten.alias, aten.detach,
)  # fmt: skip
MERGES = (aten.add, aten.sub, aten.rsub)
MOVES = (
    operator.getitem, aten.view, aten._unsafe_view, aten.reshape, aten.flatten, aten.unflatten, aten.squeeze,
    aten.unsqueeze, aten.permute, aten.transpose, aten.t, aten.expand, aten.repeat, aten.movedim, aten.roll, aten.flip,
    aten.slice, aten.select, aten.narrow, aten.split, aten.split_with_sizes, aten.chunk, aten.unbind,
    aten.index_select, aten.cat, aten.stack, aten.pad, aten.constant_pad_nd, aten.reflection_pad2d,
    aten.replication_pad2d, aten.pixel_shuffle, aten.pixel_unshuffle, aten.channel_shuffle,
)  # fmt: skip
FIRING = (aten.relu, aten.relu6, aten.hardtanh, aten.clamp, aten.clamp_min, aten.leaky_relu, QCFS)
# Maxima of sums of spikes are sums of spikes.
POOLS = (
    aten.max_pool1d, aten.max_pool2d, aten.max_pool3d,
    aten.adaptive_max_pool1d, aten.adaptive_max_pool2d, aten.adaptive_max_pool3d,
)  # fmt: skip
MAXIMA = (aten.amax, aten.amin)
NORMS = (aten.layer_norm, aten.group_norm, aten.instance_norm, aten.rms_norm)
SOFTMAXES = (aten.softmax, aten.log_softmax)
ATTENTION = (aten.scaled_dot_product_attention,)
ELEMENTWISE = (
    aten.sigmoid, aten.log_sigmoid, aten.tanh, aten.silu, aten.mish, aten.gelu, aten.hardsigmoid, aten.hardswish,
    aten.elu, aten.selu, aten.celu, aten.softplus, aten.exp, aten.log, aten.sqrt, aten.rsqrt, aten.reciprocal, aten.pow,
    aten.abs, aten.maximum, aten.minimum, aten.sin, aten.cos, aten.erf,
)  # fmt: skip
# t f(sum / t) = f(sum): no division is needed.
HOMOGENEOUS = (*POOLS, *MAXIMA, aten.abs)

_TABLE: dict[Any, OpRule] = {
    **{op: OpRule(Role.LINEAR, Transport.SYNAPSE) for op in SYNAPSES},
    **{op: OpRule(Role.LINEAR, Transport.RESAMPLE) for op in RESAMPLERS},
    **{op: OpRule(Role.LINEAR, Transport.REDUCE) for op in REDUCTIONS},
    **{op: OpRule(Role.LINEAR, Transport.SCALE) for op in SCALES},
    **{op: OpRule(Role.LINEAR, Transport.MERGE) for op in MERGES},
    **{op: OpRule(Role.LINEAR, Transport.MOVE) for op in MOVES},
    **{op: OpRule(Role.FIRING) for op in FIRING},
    **{op: OpRule(Role.NONLINEAR, Transport.RESAMPLE) for op in POOLS},
    **{op: OpRule(Role.NONLINEAR, Transport.REDUCE) for op in MAXIMA},
    **{op: OpRule(Role.NONLINEAR) for op in (*NORMS, *SOFTMAXES, *ATTENTION, *ELEMENTWISE)},
}


@dataclass(frozen=True)
class Activation:
    """A firing node's function: x for 0 <= x <= ceiling, the ceiling above, slope * x below zero.

    Where `levels` is not None, it is QCFS: x is rounded to one of so many levels above zero, up to the ceiling.
    """

    ceiling: float = math.inf
    slope: float = 0.0
    levels: int | None = None


def packet(node: fx.Node) -> Any:
    """The operation of a node without its overload (aten.add for aten.add.Tensor)."""
    return getattr(node.target, "overloadpacket", node.target)


def rule_of(node: fx.Node, signals: int) -> OpRule | None:
    """The table's row for a call node that reads `signals` time-varying inputs; None when there is none."""
    op = packet(node)
    if op in PRODUCTS:
        divides_by_signal = op is aten.div and isinstance(node.args[1], fx.Node) and node.args[1].meta["signal"]
        linear = signals == 1 and not divides_by_signal
        return OpRule(Role.LINEAR, PRODUCTS[op]) if linear else OpRule(Role.NONLINEAR)
    rule = _TABLE.get(op)
    weights_change = rule is not None and rule.transport is Transport.SYNAPSE and signals > 1
    if weights_change or (op in FIRING and activation_of(node) is None):
        return OpRule(Role.NONLINEAR)
    return rule


def is_product(node: fx.Node, rule: OpRule) -> bool:
    """Whether a node multiplies two signals: element by element, as matrices, as weights of a layer, in attention."""
    return rule.role is Role.NONLINEAR and packet(node) in (*PRODUCTS, *SYNAPSES, *ATTENTION)


def activation_of(node: fx.Node) -> Activation | None:
    """The activation of an operation listed in FIRING; None where its lower bound is not zero or it falls below.

    The ceiling of QCFS is a parameter, which only the graph knows (`ConversionGraph.activation`).
    """
    op = packet(node)
    bounds: tuple[Any, ...] = node.args[1:]
    if op is aten.relu:
        return Activation()
    if op is aten.relu6:
        return Activation(ceiling=6.0)
    if op is aten.leaky_relu:
        slope = _number(bounds, 0, 0.01)
        return Activation(slope=slope) if slope >= 0 else None
    if op is QCFS:
        threshold, levels = bounds
        learnt = isinstance(threshold, fx.Node) and not threshold.meta["signal"]
        return Activation(levels=levels) if learnt else None
    # hardtanh's bounds are -1 and 1 when left out, clamp's are none.
    low = _number(bounds, 0, -1.0 if op is aten.hardtanh else -math.inf)
    high = _number(bounds, 1, 1.0 if op is aten.hardtanh else math.inf)
    return Activation(ceiling=high) if low == 0 and high > 0 else None


def _number(args: tuple[Any, ...], position: int, default: float) -> float:
    value = args[position] if len(args) > position else None
    return default if value is None or isinstance(value, fx.Node) else float(value)
