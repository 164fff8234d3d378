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


# Each operation with the names of the arguments that its rule understands, in whichever overload they come; with any
# other argument that is not at its default the operation is another function, and refused.
_CONVOLUTION = "input weight bias stride padding dilation groups"
_TRANSPOSED = "input weight bias stride padding output_padding groups dilation"
SYNAPSES = {
    aten.conv1d: _CONVOLUTION, aten.conv2d: _CONVOLUTION, aten.conv3d: _CONVOLUTION,
    aten.conv_transpose1d: _TRANSPOSED, aten.conv_transpose2d: _TRANSPOSED, aten.conv_transpose3d: _TRANSPOSED,
    aten.linear: "input weight bias", aten.addmm: "self mat1 mat2 beta alpha",
}  # fmt: skip
# Linear in one signal and a constant, nonlinear in two signals.
PRODUCTS = {
    aten.mul: "self other", aten.div: "self other", aten.matmul: "self other", aten.mm: "self mat2",
    aten.bmm: "self mat2", aten.einsum: "equation tensors path",
}  # fmt: skip
_AVERAGE = "self kernel_size stride padding ceil_mode count_include_pad divisor_override"
UPSAMPLING = dict.fromkeys(
    (aten.upsample_nearest1d, aten.upsample_nearest2d, aten.upsample_nearest3d,
     aten._upsample_nearest_exact1d, aten._upsample_nearest_exact2d, aten._upsample_nearest_exact3d,
     aten.upsample_linear1d, aten.upsample_bilinear2d, aten.upsample_trilinear3d),
    "self input output_size scale_factors scales scales_d scales_h scales_w align_corners",
)  # fmt: skip
RESAMPLERS = {
    aten.avg_pool1d: _AVERAGE, aten.avg_pool2d: _AVERAGE, aten.avg_pool3d: _AVERAGE,
    aten.adaptive_avg_pool1d: "self output_size", aten.adaptive_avg_pool2d: "self output_size",
    aten.adaptive_avg_pool3d: "self output_size", **UPSAMPLING,
}  # fmt: skip
REDUCTIONS = {aten.mean: "self dim keepdim", aten.sum: "self dim keepdim"}
_CAST = "self other dtype device layout pin_memory non_blocking copy memory_format"
# To another floating-point type; casts to whole numbers round, and are refused.
CASTS = {aten.to: _CAST, aten.type_as: _CAST, aten._to_copy: _CAST}
SCALES = {
    **CASTS, aten.neg: "self", aten.clone: "self memory_format", aten.contiguous: "self memory_format",
    aten.alias: "self", aten.detach: "self",
}  # fmt: skip
MERGES = {aten.add: "self other alpha", aten.sub: "self other alpha", aten.rsub: "self other alpha"}
MOVES = {
    operator.getitem: "", aten.view: "self size", aten._unsafe_view: "self size", aten.reshape: "self shape",
    aten.flatten: "self start_dim end_dim", aten.unflatten: "self dim sizes", aten.squeeze: "self dim",
    aten.unsqueeze: "self dim", aten.permute: "self dims", aten.transpose: "self dim0 dim1", aten.t: "self",
    aten.expand: "self size implicit", aten.repeat: "self repeats", aten.movedim: "self source destination",
    aten.roll: "self shifts dims", aten.flip: "self dims", aten.slice: "self dim start end step",
    aten.select: "self dim index", aten.narrow: "self dim start length", aten.split: "self split_size split_sizes dim",
    aten.split_with_sizes: "self split_sizes dim", aten.chunk: "self chunks dim", aten.unbind: "self dim",
    aten.index_select: "self dim index", aten.cat: "tensors dim", aten.stack: "tensors dim",
    aten.pad: "self pad mode value", aten.constant_pad_nd: "self pad value",
    aten.reflection_pad1d: "self padding", aten.reflection_pad2d: "self padding", aten.reflection_pad3d: "self padding",
    aten.replication_pad1d: "self padding", aten.replication_pad2d: "self padding",
    aten.replication_pad3d: "self padding", aten.pixel_shuffle: "self upscale_factor",
    aten.pixel_unshuffle: "self downscale_factor", aten.channel_shuffle: "self groups",
    aten.index: "self indices", aten.gather: "self dim index", aten.fill: "self value",
    aten.where: "condition self other", aten.masked_fill: "self mask value",
    aten.slice_scatter: "self src dim start end step", aten.select_scatter: "self src dim index",
    aten.index_put: "self indices values", aten.index_copy: "self dim index source",
    aten.scatter: "self dim index src",
}  # fmt: skip
# Moves into places that are chosen by position, and from such.
PLACED = (
    aten.index, aten.gather, aten.fill, aten.where, aten.masked_fill, aten.slice_scatter,
    aten.select_scatter, aten.index_put, aten.index_copy, aten.scatter,
)  # fmt: skip
# Moves that put a number in some places.
FILLING = (aten.pad, aten.constant_pad_nd, aten.fill, aten.masked_fill, aten.where)
FIRING = {
    aten.relu: "self", aten.relu6: "self", aten.hardtanh: "self min_val max_val", aten.clamp: "self min max",
    aten.clamp_min: "self min", aten.leaky_relu: "self negative_slope", aten.prelu: "self weight",
    QCFS: "x threshold levels",
}  # fmt: skip
_MAXIMUM = "self kernel_size stride padding dilation ceil_mode"
# Maxima of sums of spikes are sums of spikes.
POOLS = {
    aten.max_pool1d: _MAXIMUM, aten.max_pool2d: _MAXIMUM, aten.max_pool3d: _MAXIMUM,
    aten.adaptive_max_pool1d: "self output_size", aten.adaptive_max_pool2d: "self output_size",
    aten.adaptive_max_pool3d: "self output_size",
}  # fmt: skip
MAXIMA = {aten.amax: "self dim keepdim", aten.amin: "self dim keepdim"}
NORMS = {
    aten.layer_norm: "input normalized_shape weight bias eps cudnn_enable",
    aten.group_norm: "input num_groups weight bias eps cudnn_enabled",
    aten.instance_norm: "input weight bias use_input_stats momentum eps cudnn_enabled",
    aten.rms_norm: "input normalized_shape weight eps",
}  # fmt: skip
SOFTMAXES = {aten.softmax: "self dim", aten.log_softmax: "self dim"}
ATTENTION = {aten.scaled_dot_product_attention: "query key value attn_mask is_causal scale enable_gqa"}
ELEMENTWISE = {
    aten.sigmoid: "self", aten.log_sigmoid: "self", aten.tanh: "self", aten.silu: "self", aten.mish: "self",
    aten.gelu: "self approximate", aten.hardsigmoid: "self", aten.hardswish: "self",
    aten.elu: "self alpha scale input_scale", aten.selu: "self", aten.celu: "self alpha",
    aten.softplus: "self beta threshold", aten.exp: "self", aten.log: "self", aten.sqrt: "self", aten.rsqrt: "self",
    aten.clamp_max: "self max", aten.threshold: "self threshold value", aten.glu: "self dim", aten.reciprocal: "self",
    aten.pow: "self exponent", aten.abs: "self", aten.maximum: "self other",
    aten.minimum: "self other", aten.sin: "self", aten.cos: "self", aten.erf: "self",
}  # fmt: skip
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


_UNDERSTOOD: dict[Any, frozenset[str]] = {
    op: frozenset(names.split())
    for row in (SYNAPSES, PRODUCTS, RESAMPLERS, REDUCTIONS, SCALES, MERGES, MOVES, FIRING, POOLS, MAXIMA, NORMS,
                SOFTMAXES, ATTENTION, ELEMENTWISE)
    for op, names in row.items()
}  # fmt: skip


@dataclass(frozen=True)
class Activation:
    """A firing node's function: x for 0 <= x <= ceiling, the ceiling above, slope * x below zero.

    The slope is one number, or one for each channel, which then lie on axis 1. Where `levels` is not None,
    it is QCFS: x is rounded to one of so many levels above zero, up to the ceiling.
    """

    ceiling: float = math.inf
    slope: float | tuple[float, ...] = 0.0
    levels: int | None = None

    @property
    def leaky(self) -> bool:
        """Whether outputs may be negative."""
        return is_leaky(self.slope)


def has_slopes(node: fx.Node) -> bool:
    """Whether a node is a PReLU with a slope for each channel."""
    return packet(node) is aten.prelu and bool(node.args[1].meta["val"].numel() > 1)  # type: ignore[union-attr]


def is_leaky(slope: float | tuple[float, ...]) -> bool:
    """Whether a slope, or one of several, is above zero."""
    return max(slope) > 0 if isinstance(slope, tuple) else slope > 0


def packet(node: fx.Node) -> Any:
    """The operation of a node without its overload (aten.add for aten.add.Tensor)."""
    return getattr(node.target, "overloadpacket", node.target)


def rule_of(node: fx.Node, signals: int) -> OpRule | None:
    """The table's row for a call node that reads `signals` time-varying inputs; None when there is none.

    A row holds for the arguments that it understands alone (`not_understood`).
    """
    op = packet(node)
    if op in PRODUCTS:
        divides_by_signal = op is aten.div and _is_signal(node.args[1])
        transport = Transport.SCALE if op in (aten.mul, aten.div) else Transport.SYNAPSE
        return OpRule(Role.LINEAR, transport) if signals == 1 and not divides_by_signal else OpRule(Role.NONLINEAR)
    rule = _TABLE.get(op)
    weights_change = rule is not None and rule.transport is Transport.SYNAPSE and signals > 1
    if weights_change or (op in FIRING and activation_of(node) is None):
        return OpRule(Role.NONLINEAR)
    return rule


def not_understood(node: fx.Node) -> dict[str, Any]:
    """Arguments of a call node in the table that are not at their default and that its rule does not know, by name.

    So is a signal where a layer of weights has its bias.
    """
    op, given = packet(node), given_arguments(node)
    bias = "self" if op is aten.addmm else "bias" if op in SYNAPSES else None
    return {
        name: value
        for name, value in given.items()
        if name not in _UNDERSTOOD[op] or (name == bias and _is_signal(value))
    }


def arguments(node: fx.Node) -> dict[str, Any]:
    """All arguments of a call node by their names in ATen's schema; what has no default and is not given is None."""
    defaults = _defaults(node)
    return defaults | dict(zip(defaults, node.args, strict=False)) | node.kwargs if defaults else {}


def given_arguments(node: fx.Node) -> dict[str, Any]:
    """Arguments of a call node by their names in ATen's schema, without those at their default."""
    defaults = _defaults(node)
    return {name: value for name, value in arguments(node).items() if value != defaults[name]}


def _defaults(node: fx.Node) -> dict[str, Any]:
    if not isinstance(node.target, torch._ops.OpOverload):
        return {}
    return {argument.name: argument.default_value for argument in node.target._schema.arguments}


def _is_signal(argument: Any) -> bool:
    return isinstance(argument, fx.Node) and bool(argument.meta["signal"])


def filled_with(node: fx.Node, args: list[Any], number: float) -> list[Any]:
    """The arguments of a move, with a number in place of the one that it puts where nothing was moved to.

    Padding of modes other than a constant copies what is there.
    """
    op = packet(node)
    if op is aten.pad:
        return [*args[:2], "constant", number] if len(args) < 3 or args[2] == "constant" else args
    if op is aten.constant_pad_nd:
        return [*args[:2], number]
    return [number if isinstance(arg, int | float) else arg for arg in args] if op in FILLING else args


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
    if op is QCFS:
        threshold, levels = bounds
        learnt = isinstance(threshold, fx.Node) and not threshold.meta["signal"]
        return Activation(levels=levels) if learnt else None
    if op is aten.prelu:
        slopes = _parameter(bounds[0])
        if slopes is None or min(slopes) < 0:
            return None
        return Activation(slope=slopes[0] if len(slopes) == 1 else slopes)
    if any(isinstance(bound, fx.Node) for bound in bounds):
        return None
    if op is aten.leaky_relu:
        slope = _number(bounds, 0, 0.01)
        return Activation(slope=slope) if slope >= 0 else None
    # hardtanh's bounds are -1 and 1 when left out, clamp's are none.
    low = _number(bounds, 0, -1.0 if op is aten.hardtanh else -math.inf)
    high = _number(bounds, 1, 1.0 if op is aten.hardtanh else math.inf)
    return Activation(ceiling=high) if low == 0 and high > 0 else None


def _parameter(source: Any) -> tuple[float, ...] | None:
    """The numbers of a parameter of a graph; None where they are computed."""
    if not isinstance(source, fx.Node) or source.op != "get_attr":
        return None
    value: Any = source.graph.owning_module
    for name in str(source.target).split("."):
        value = getattr(value, name)
    return tuple(value.detach().double().flatten().tolist())


def _number(args: tuple[Any, ...], position: int, default: float) -> float:
    value = args[position] if len(args) > position else None
    return default if value is None else float(value)
