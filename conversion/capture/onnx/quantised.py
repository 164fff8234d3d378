"""Rules of numbers that are stored as whole ones: weights are computed once, signals are refused.

A quantised file holds weights as bytes with a scale, and DequantizeLinear makes numbers of them, which is done when the
file is read. Quantised activations are another matter: rounding is nonlinear, and the spikes of a converted network
round in their own way, at thresholds of their own.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from conversion.capture.onnx.known import check_size, known
from conversion.capture.onnx.reading import DTYPES, OnnxNode
from conversion.capture.onnx.rules import Known, demand, rule, whole

WHOLE_ARITHMETIC = (
    "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger",
)  # fmt: skip


@rule("DequantizeLinear")
def dequantize(node: OnnxNode, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """scale (x - zero), with one scale for all, one for each place of an axis, or one for each block of it."""
    dtype = scale.dtype
    if to := whole(node, "output_dtype", 0):
        dtype = DTYPES.get(to, dtype)
    scale = _along(node, x, scale).to(dtype)
    numbers = x.to(dtype)
    return scale * (numbers if zero is None else numbers - _along(node, x, zero).to(dtype))


@known("QuantizeLinear")
def quantize(node: OnnxNode, x: Known, scale: Known, zero: Known | None = None) -> Known:
    """Of a constant: round(x / scale) + zero within the bounds of its type; halves are rounded to even numbers."""
    demand(node, block_size=0)
    to = whole(node, "output_dtype", 0)
    kind = DTYPES.get(to)
    if to and kind is None:
        raise node.refusal(f"makes numbers of type {to} (onnx.TensorProto.DataType); those of whole bytes have a rule.")
    if zero is None:
        zero = np.zeros((), dtype="uint8" if kind is None else str(kind).removeprefix("torch."))
    if zero.dtype.kind not in "iu":
        raise node.refusal(f"makes numbers of type {zero.dtype}; those of whole numbers have a rule.")
    shape = [1] * x.ndim
    if scale.ndim == 1 and scale.size > 1:
        shape[whole(node, "axis", 1)] = -1
    check_size(node, np.broadcast_shapes(x.shape, scale.reshape(shape).shape), x)
    bounds = np.iinfo(zero.dtype)
    rounded = np.rint(x / scale.reshape(shape)) + zero.reshape(shape).astype(np.float64)
    found: Known = rounded.clip(bounds.min, bounds.max).astype(zero.dtype)
    return found


@rule("QuantizeLinear")
def refuse_rounding(node: OnnxNode, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """Signals are not rounded."""
    raise node.refusal(
        "rounds a value that the network computes from its input. Rounding is nonlinear, and a spiking network rounds "
        "at its own thresholds; export the network as it was before its activations were quantised. Weights that are "
        "quantised are read."
    )


@rule(*WHOLE_ARITHMETIC)
def refuse_whole_numbers(node: OnnxNode, *inputs: Tensor) -> Tensor:
    """Whole numbers are no signals."""
    raise node.refusal(
        "computes in whole numbers. A network is captured in floating-point ones; export it as it was before it was "
        "quantised. Weights may be stored in whole numbers, behind DequantizeLinear."
    )


def _along(node: OnnxNode, x: Tensor, parameter: Tensor) -> Tensor:
    """A scale or zero point in a shape that fits the numbers."""
    if parameter.numel() == 1:
        return parameter.reshape(())
    axis = whole(node, "axis", 1) % x.dim()
    size = int(x.shape[axis])
    if block := min(whole(node, "block_size", 0), size):
        if parameter.shape[axis] != -(-size // block):
            raise node.refusal(f"has {parameter.shape[axis]} blocks of {block} on an axis of {size} numbers.")
        return parameter.repeat_interleave(block, axis).narrow(axis, 0, size)
    return parameter.reshape([-1 if at == axis else 1 for at in range(x.dim())])
