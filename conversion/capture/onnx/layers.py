"""Rules of layers with weights, of normalisation and of pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.capture.onnx.reading import OnnxNode
from conversion.capture.onnx.rules import demand, listed, real, rule, whole, word

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAXIMA = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGES = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


@rule("Conv")
def conv(node: OnnxNode, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    function = _of_dimensions(node, x, CONVOLUTIONS)
    stride, dilation = _each(node, "strides", x), _each(node, "dilations", x)
    begin, end = _padding(node, x, weight.shape[2:], stride, dilation)
    if begin != end:
        x, begin = _padded(x, begin, end, 0.0), [0] * len(begin)
    return function(x, weight, bias, stride, begin, dilation, whole(node, "group", 1))


@rule("ConvTranspose")
def conv_transpose(node: OnnxNode, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    function = _of_dimensions(node, x, TRANSPOSED)
    stride, dilation = _each(node, "strides", x), _each(node, "dilations", x)
    extra = listed(node, "output_padding") or [0] * len(stride)
    reach = [(size - 1) * d + 1 for size, d in zip(weight.shape[2:], dilation, strict=True)]
    full = [s * (size - 1) + r + e for s, size, r, e in zip(stride, x.shape[2:], reach, extra, strict=True)]
    wanted, automatic = listed(node, "output_shape"), word(node, "auto_pad", "NOTSET")
    if wanted is None and automatic.startswith("SAME"):
        wanted = [size * s for size, s in zip(x.shape[2:], stride, strict=True)]
    if wanted is None:
        begin, end = _padding(node, x, weight.shape[2:], stride, dilation)
    else:
        cut = [size - want for size, want in zip(full, wanted[-len(full) :], strict=True)]
        less, more = [one // 2 for one in cut], [one - one // 2 for one in cut]
        begin, end = (less, more) if automatic == "SAME_UPPER" else (more, less)
    groups = whole(node, "group", 1)
    if begin == end and min(begin) >= 0:
        return function(x, weight, bias, stride, begin, extra, groups, dilation)
    found = function(x, weight, bias, stride, 0, extra, groups, dilation)
    return _padded(found, [-one for one in begin], [-one for one in end], 0.0)


@rule("Gemm")
def gemm(node: OnnxNode, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    alpha, beta = real(node, "alpha", 1.0), real(node, "beta", 1.0)
    x = x.t() if whole(node, "transA", 0) else x
    weight = weight if whole(node, "transB", 0) else weight.t()
    weight = weight if alpha == 1 else alpha * weight
    if bias is None or beta == 0:
        return F.linear(x, weight)
    bias = bias if beta == 1 else beta * bias
    return F.linear(x, weight, bias) if bias.dim() == 1 else F.linear(x, weight) + bias


@rule("MatMul")
def matmul(node: OnnxNode, a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b)


@rule("Einsum")
def einsum(node: OnnxNode, *operands: Tensor) -> Tensor:
    return torch.einsum(word(node, "equation", ""), *operands)


@rule("Attention")
def attention(node: OnnxNode, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled products of (N, heads, length, size), or of (N, length, heads times size) with the heads as attributes."""
    demand(node, softcap=0.0)
    flat = query.dim() == 3
    if flat:
        heads = whole(node, "q_num_heads", 0), *[whole(node, "kv_num_heads", 0)] * 2
        query, key, value = (
            part.unflatten(-1, (count, -1)).transpose(1, 2)
            for part, count in zip((query, key, value), heads, strict=True)
        )
    scale = real(node, "scale", 0.0) or None
    found = F.scaled_dot_product_attention(
        query, key, value, mask, is_causal=bool(whole(node, "is_causal", 0)), scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip
    return found.transpose(1, 2).flatten(2) if flat else found


# Normalisation.


@rule("BatchNormalization")
def batch_norm(node: OnnxNode, x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    demand(node, training_mode=0)
    return F.batch_norm(x, mean, variance, scale, shift, training=False, eps=real(node, "epsilon", 1e-5))


@rule("InstanceNormalization")
def instance_norm(node: OnnxNode, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=shift, eps=real(node, "epsilon", 1e-5))


@rule("LayerNormalization")
def layer_norm(node: OnnxNode, x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    axis = whole(node, "axis", -1)
    return F.layer_norm(x, list(x.shape[axis:]), scale, shift, real(node, "epsilon", 1e-5))


@rule("RMSNormalization")
def rms_norm(node: OnnxNode, x: Tensor, scale: Tensor) -> Tensor:
    axis = whole(node, "axis", -1)
    return F.rms_norm(x, list(x.shape[axis:]), scale, real(node, "epsilon", 1e-5))


@rule("GroupNormalization")
def group_norm(node: OnnxNode, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    groups, channels = whole(node, "num_groups", 1), x.shape[1]
    if node.opset < 21 and len(scale) != channels:
        # Once there was one for each group.
        scale, shift = (value.repeat_interleave(channels // groups) for value in (scale, shift))
    return F.group_norm(x, groups, scale, shift, real(node, "epsilon", 1e-5))


@rule("LpNormalization")
def lp_norm(node: OnnxNode, x: Tensor) -> Tensor:
    axis, p = whole(node, "axis", -1), whole(node, "p", 2)
    size = x.abs().sum(axis, keepdim=True) if p == 1 else x.pow(2).sum(axis, keepdim=True).sqrt()
    return x / size


@rule("LRN")
def local_response_norm(node: OnnxNode, x: Tensor) -> Tensor:
    size, bias = whole(node, "size", 1), real(node, "bias", 1.0)
    return F.local_response_norm(x, size, real(node, "alpha", 1e-4), real(node, "beta", 0.75), bias)


# Pooling.


@rule("MaxPool")
def max_pool(node: OnnxNode, x: Tensor) -> Tensor:
    demand(node, storage_order=0)
    if len(node.outputs) > 1 and node.outputs[1]:
        raise node.refusal("gives the positions of its maxima, too; spikes carry values alone.")
    function = _of_dimensions(node, x, MAXIMA)
    kernel, stride, dilation = _kernel(node, x), _each(node, "strides", x), _each(node, "dilations", x)
    begin, end = _padding(node, x, kernel, stride, dilation)
    if begin != end or any(2 * one > size for one, size in zip(begin, kernel, strict=True)):
        x, begin = _padded(x, begin, end, -math.inf), [0] * len(begin)
    return function(x, kernel, stride, begin, dilation, bool(whole(node, "ceil_mode", 0)))


@rule("AveragePool")
def average_pool(node: OnnxNode, x: Tensor) -> Tensor:
    function = _of_dimensions(node, x, AVERAGES)
    kernel, stride, dilation = _kernel(node, x), _each(node, "strides", x), _each(node, "dilations", x)
    if any(one != 1 for one in dilation):
        raise node.refusal(f"has dilations = {dilation}, for which it has no rule.")
    begin, end = _padding(node, x, kernel, stride, dilation)
    with_padding = bool(whole(node, "count_include_pad", 0))
    ceil = bool(whole(node, "ceil_mode", 0))
    if begin == end and all(2 * one <= size for one, size in zip(begin, kernel, strict=True)):
        return function(x, kernel, stride, begin, ceil, with_padding)
    found = function(_padded(x, begin, end, 0.0), kernel, stride, 0, ceil)
    if with_padding:
        return found
    # The share of each window that is no padding.
    ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
    return found / function(_padded(ones, begin, end, 0.0), kernel, stride, 0, ceil)


def _of_dimensions(node: OnnxNode, x: Tensor, functions: Mapping[int, Callable[..., Tensor]]) -> Callable[..., Tensor]:
    found = functions.get(x.dim() - 2)
    if found is None:
        raise node.refusal(f"works on an input of shape {tuple(x.shape)}; those of one to three axes of places do.")
    return found


def _each(node: OnnxNode, name: str, x: Tensor) -> list[int]:
    """One number for each axis of places, ones where they are left out."""
    found = listed(node, name)
    return [1] * (x.dim() - 2) if found is None else found


def _kernel(node: OnnxNode, x: Tensor) -> list[int]:
    found = listed(node, "kernel_shape")
    if found is None or len(found) != x.dim() - 2:
        raise node.refusal(f"has kernel_shape = {found} for an input of shape {tuple(x.shape)}.")
    return found


def _padding(
    node: OnnxNode, x: Tensor, kernel: Sequence[Any], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Padding before and behind each axis of places."""
    automatic = word(node, "auto_pad", "NOTSET")
    if automatic in ("NOTSET", "VALID"):
        pads = listed(node, "pads") if automatic == "NOTSET" else None
        pads = [0] * (2 * (x.dim() - 2)) if pads is None else pads
        return pads[: len(pads) // 2], pads[len(pads) // 2 :]
    begin, end = [], []
    for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True):
        needed = max(0, (math.ceil(size / s) - 1) * s + (k - 1) * d + 1 - size)
        less, more = needed // 2, needed - needed // 2
        begin.append(more if automatic == "SAME_LOWER" else less)
        end.append(less if automatic == "SAME_LOWER" else more)
    return begin, end


def _padded(x: Tensor, begin: Sequence[int], end: Sequence[int], value: float) -> Tensor:
    """Padded, or cut where padding is negative; torch lists the last axis first."""
    pads = [one for pair in reversed(list(zip(begin, end, strict=True))) for one in pair]
    return F.pad(x, pads, value=value)
