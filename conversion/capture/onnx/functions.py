"""Rules of operators that compute element by element, and of those that reduce axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.capture.onnx.reading import DTYPES, OnnxNode
from conversion.capture.onnx.rules import Known, axes_of, number, real, rule, whole, word


def _plain(operator: str, function: Callable[[Tensor], Tensor]) -> None:
    """Files a function of one tensor that has no options."""

    def compute(node: OnnxNode, x: Tensor) -> Tensor:
        return function(x)

    rule(operator)(compute)


for _operator, _function in (
    ("Abs", torch.abs), ("Cos", torch.cos), ("Erf", torch.erf), ("Exp", torch.exp), ("Identity", lambda x: x),
    ("HardSwish", F.hardswish), ("Log", torch.log), ("Mish", F.mish), ("Neg", torch.neg),
    ("Reciprocal", torch.reciprocal), ("Relu", F.relu), ("Sigmoid", torch.sigmoid), ("Sin", torch.sin),
    ("Softplus", F.softplus), ("Softsign", F.softsign), ("Sqrt", torch.sqrt), ("Tanh", torch.tanh),
    ("Floor", torch.floor), ("Ceil", torch.ceil), ("Round", torch.round), ("Sign", torch.sign),
):  # fmt: skip
    _plain(_operator, _function)


def _paired(operator: str, function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Files a function of two tensors that broadcast."""

    def compute(node: OnnxNode, a: Tensor, b: Tensor) -> Tensor:
        return function(a, b)

    rule(operator)(compute)


for _operator, _pairing in (
    ("Add", torch.add), ("Sub", torch.sub), ("Mul", torch.mul), ("Equal", torch.eq), ("Greater", torch.gt),
    ("Less", torch.lt), ("GreaterOrEqual", torch.ge), ("LessOrEqual", torch.le), ("And", torch.logical_and),
    ("Or", torch.logical_or), ("Mod", torch.remainder),
):  # fmt: skip
    _paired(_operator, _pairing)


@rule("Div")
def divide(node: OnnxNode, a: Tensor, b: Tensor) -> Tensor:
    return torch.div(a, b, rounding_mode=None if a.is_floating_point() else "trunc")


@rule("Sum")
def total(node: OnnxNode, *terms: Tensor) -> Tensor:
    return reduce(torch.add, terms)


@rule("Mean")
def mean(node: OnnxNode, *terms: Tensor) -> Tensor:
    return reduce(torch.add, terms) / len(terms)


@rule("Max")
def maximum(node: OnnxNode, *terms: Tensor) -> Tensor:
    return reduce(torch.maximum, terms)


@rule("Min")
def minimum(node: OnnxNode, *terms: Tensor) -> Tensor:
    return reduce(torch.minimum, terms)


@rule("Pow", known=("exponent",))
def power(node: OnnxNode, x: Tensor, exponent: Known) -> Tensor:
    if exponent.size != 1:
        raise node.refusal("has an exponent for each element; take one for all.")
    return torch.pow(x, float(number(node, exponent)))


@rule("Where", known=("condition",))
def where(node: OnnxNode, condition: Known, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(torch.as_tensor(condition.astype(bool)).to(a.device), a, b)


@rule("Cast")
def cast(node: OnnxNode, x: Tensor) -> Tensor:
    dtype = DTYPES.get(whole(node, "to", 0))
    if dtype is None:
        raise node.refusal("casts to a type that networks are not computed in.")
    return x.to(dtype)


@rule("CastLike")
def cast_like(node: OnnxNode, x: Tensor, target: Tensor) -> Tensor:
    return x.to(target.dtype)


@rule("Dropout", known=("ratio", "training"))
def dropout(node: OnnxNode, x: Tensor, ratio: Known | None = None, training: Known | None = None) -> Tensor:
    if number(node, training, False):
        raise node.refusal("is in training mode; export the network in inference mode (model.eval()).")
    return x


# Activations.


@rule("Clip", known=("low", "high"))
def clip(node: OnnxNode, x: Tensor, low: Known | None = None, high: Known | None = None) -> Tensor:
    bounds = [None if bound is None else float(bound) for bound in (number(node, low), number(node, high))]
    return x if bounds == [None, None] else torch.clamp(x, *bounds)


@rule("LeakyRelu")
def leaky_relu(node: OnnxNode, x: Tensor) -> Tensor:
    return F.leaky_relu(x, real(node, "alpha", 0.01))


@rule("PRelu")
def prelu(node: OnnxNode, x: Tensor, slope: Tensor) -> Tensor:
    """Slopes broadcast to x in ONNX; torch has one for each channel, or one for all."""
    sizes = [1] * (x.dim() - slope.dim()) + list(slope.shape)
    if slope.numel() != 1 and any(size != 1 for axis, size in enumerate(sizes) if axis != 1):
        raise node.refusal(f"has slopes of shape {tuple(slope.shape)}; only one for each channel has a rule.")
    return F.prelu(x, slope.reshape(-1))


@rule("HardSigmoid")
def hard_sigmoid(node: OnnxNode, x: Tensor) -> Tensor:
    alpha, beta = real(node, "alpha", 0.2), real(node, "beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-5) and beta == 0.5:
        return F.hardsigmoid(x)
    return torch.clamp(alpha * x + beta, 0.0, 1.0)


@rule("ThresholdedRelu")
def thresholded_relu(node: OnnxNode, x: Tensor) -> Tensor:
    return F.threshold(x, real(node, "alpha", 1.0), 0.0)


@rule("Elu")
def elu(node: OnnxNode, x: Tensor) -> Tensor:
    return F.elu(x, real(node, "alpha", 1.0))


@rule("Celu")
def celu(node: OnnxNode, x: Tensor) -> Tensor:
    return F.celu(x, real(node, "alpha", 1.0))


@rule("Selu")
def selu(node: OnnxNode, x: Tensor) -> Tensor:
    alpha, gamma = real(node, "alpha", 1.67326319217681884765625), real(node, "gamma", 1.05070102214813232421875)
    return gamma * F.elu(x, alpha)


@rule("Gelu")
def gelu(node: OnnxNode, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=word(node, "approximate", "none"))


@rule("Silu")
def silu(node: OnnxNode, x: Tensor) -> Tensor:
    return F.silu(x)


@rule("Swish")
def swish(node: OnnxNode, x: Tensor) -> Tensor:
    alpha = real(node, "alpha", 1.0)
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


def _softmax(node: OnnxNode, x: Tensor, function: Callable[..., Tensor]) -> Tensor:
    if node.opset >= 13:
        return function(x, dim=whole(node, "axis", -1))
    axis = whole(node, "axis", 1) % x.dim()
    if all(size == 1 for size in x.shape[axis + 1 :]):
        return function(x, dim=axis)
    # Older versions take it over all axes from this one on.
    return function(x.flatten(axis), dim=-1).reshape(x.shape)


@rule("Softmax")
def softmax(node: OnnxNode, x: Tensor) -> Tensor:
    return _softmax(node, x, F.softmax)


@rule("LogSoftmax")
def log_softmax(node: OnnxNode, x: Tensor) -> Tensor:
    return _softmax(node, x, F.log_softmax)


# Reductions.


def _reduction(operator: str, function: Callable[[Tensor, list[int], bool], Tensor]) -> None:
    """Files a reduction, whose axes are an attribute in older versions and an input in newer ones."""

    def compute(node: OnnxNode, x: Tensor, axes: Known | None = None) -> Tensor:
        found = axes_of(node, axes)
        if not found:
            if whole(node, "noop_with_empty_axes", 0):
                return x
            found = list(range(x.dim()))
        return function(x, found, bool(whole(node, "keepdims", 1)))

    rule(operator, known=("axes",))(compute)


for _operator, _reduced in (
    ("ReduceMean", torch.mean), ("ReduceSum", torch.sum), ("ReduceMax", torch.amax), ("ReduceMin", torch.amin),
    ("ReduceL1", lambda x, axes, keep: x.abs().sum(axes, keep)),
    ("ReduceL2", lambda x, axes, keep: x.pow(2).sum(axes, keep).sqrt()),
    ("ReduceSumSquare", lambda x, axes, keep: x.pow(2).sum(axes, keep)),
):  # fmt: skip
    _reduction(_operator, _reduced)


@rule("GlobalAveragePool")
def global_average(node: OnnxNode, x: Tensor) -> Tensor:
    return x.mean(list(range(2, x.dim())), keepdim=True)


@rule("GlobalMaxPool")
def global_maximum(node: OnnxNode, x: Tensor) -> Tensor:
    return x.amax(list(range(2, x.dim())), keepdim=True)
