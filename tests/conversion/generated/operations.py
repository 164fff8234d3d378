"""The operations that random networks are drawn from, by name: each proposes a step, which torch may refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conversion.generated.programs import Drawing, Function, Kind, Step

Operation = Callable[[Drawing, int], Step | None]
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def _shape(d: Drawing, source: int) -> torch.Size:
    return d.values[source].shape[1:]


def _alone(kind: Kind, text: str, source: int, function: Function, **more: Any) -> Step:
    return Step(kind, text, (source,), function, **more)


def _call(part: nn.Module, value: Tensor) -> Tensor:
    return part(value)


def convolution(d: Drawing, source: int) -> Step | None:
    shape = _shape(d, source)
    dims = len(shape) - 1
    if not 1 <= dims <= 3:
        return None
    groups = d.one_of([1, 1, 1, shape[0], 2])
    if shape[0] % groups:
        return None
    out = groups * d.between(1, max(1, 4 // groups))
    kernel, padding, dilation = d.between(1, 3), d.between(0, 2), d.one_of([1, 1, 2])
    mode = d.one_of(["zeros", "zeros", "zeros", "reflect", "replicate", "circular"])
    if d.chance(6) and mode == "zeros":
        part: Any = CONVOLUTIONS[dims - 1](shape[0], out, kernel, padding="same", dilation=dilation, groups=groups)
    else:
        part = CONVOLUTIONS[dims - 1](
            shape[0], out, kernel, stride=d.one_of([1, 1, 2]), padding=padding, dilation=dilation, groups=groups,
            bias=d.chance(2), padding_mode=mode,
        )  # fmt: skip
    phases: tuple[tuple[Kind, Function], ...] = ()
    if mode != "zeros":
        # The function of the layer with the padding apart: each copy of a value has its own connections.
        bare = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]
        phases = (
            (Kind.PASS, lambda layer, v: F.pad(v, [padding] * 2 * dims, mode)),
            (Kind.WEIGHTS, lambda layer, v: bare(v, layer.weight, layer.bias, layer.stride, 0, layer.dilation, groups)),
        )
    return _alone(Kind.WEIGHTS, "conv", source, _call, part=d.layer(part), phases=phases)


def transposed(d: Drawing, source: int) -> Step | None:
    shape = _shape(d, source)
    dims = len(shape) - 1
    if not 1 <= dims <= 3:
        return None
    kind: Any = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dims - 1]
    groups = d.one_of([1, 1, 2])
    if shape[0] % groups:
        return None
    stride = d.one_of([1, 2])
    part = kind(shape[0], groups * d.between(1, 2), d.between(1, 3), stride, padding=d.between(0, 1),
                output_padding=d.between(0, stride - 1), groups=groups, bias=d.chance(2))  # fmt: skip
    return _alone(Kind.WEIGHTS, "conv_transpose", source, _call, part=d.layer(part))


def linear(d: Drawing, source: int) -> Step:
    part = nn.Linear(_shape(d, source)[-1], d.between(2, 7), bias=d.chance(2))
    return _alone(Kind.WEIGHTS, "linear", source, _call, part=d.layer(part))


def again(d: Drawing, source: int) -> Step | None:
    """A layer that is there already, with its weights."""
    if not d.parts:
        return None
    used = [step for step in d.steps if step.part is not None]
    step = d.one_of(used) if used else None
    return None if step is None else Step(step.kind, step.text, (source,), step.function, step.part, step.phases)


def matrix(d: Drawing, source: int) -> Step:
    shape = _shape(d, source)
    if d.chance(2) or len(shape) < 2:
        weight = d.weight(shape[-1], d.between(2, 5))
        return _alone(Kind.WEIGHTS, "v @ constant", source, lambda v: v @ weight)
    left = d.weight(d.between(2, 5), shape[-2])
    return _alone(Kind.WEIGHTS, "constant @ v", source, lambda v: left @ v)


def einsum(d: Drawing, source: int) -> Step | None:
    shape = _shape(d, source)
    if len(shape) < 2:
        return None
    weight = d.weight(shape[0], d.between(2, 4))
    return _alone(Kind.WEIGHTS, "einsum bc...,cd->bd...", source, lambda v: torch.einsum("bc...,cd->bd...", v, weight))


def norm(d: Drawing, source: int) -> Step | None:
    shape = _shape(d, source)
    batch: Any = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d, 4: nn.BatchNorm3d}.get(len(shape))
    instance: Any = {2: nn.InstanceNorm1d, 3: nn.InstanceNorm2d, 4: nn.InstanceNorm3d}.get(len(shape))
    if batch is None:
        return None
    if d.chance(3) and instance is not None:
        part = instance(shape[0], affine=d.chance(2), track_running_stats=True)
    else:
        part = batch(shape[0], affine=not d.chance(4))
    return _alone(Kind.PASS, "norm", source, _call, part=d.layer(part))


def activation(d: Drawing, source: int) -> Step:
    ceiling = d.between(3, 20) / 10
    ways: list[tuple[str, Function]] = [
        ("relu", F.relu),
        ("relu in place", lambda v: F.relu_(v * 1.0)),
        ("clamp(min=0)", lambda v: v.clamp(min=0)),
        ("relu6", F.relu6),
        (f"hardtanh(0, {ceiling})", lambda v: F.hardtanh(v, 0.0, ceiling)),
        (f"clamp(0, {ceiling})", lambda v: torch.clamp(v, max=ceiling, min=0)),
        ("leaky_relu(0.2)", lambda v: F.leaky_relu(v, 0.2)),
    ]
    text, function = d.one_of(ways)
    return _alone(Kind.FIRE, text, source, function)


def pooling(d: Drawing, source: int) -> Step | None:
    dims = len(_shape(d, source)) - 1
    if not 1 <= dims <= 3:
        return None
    kernel, stride = d.between(1, 3), d.between(1, 3)
    padding, ceil = d.between(0, kernel // 2), d.chance(2)
    if d.chance(2):
        average: Any = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[dims - 1]
        whole = d.chance(2)
        text = f"avg_pool({kernel}, {stride}, {padding}, ceil={ceil}, include={whole})"
        return _alone(Kind.PASS, text, source, lambda v: average(v, kernel, stride, padding, ceil, whole))
    largest: Any = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[dims - 1]
    dilation = d.between(1, 2)
    text = f"max_pool({kernel}, {stride}, {padding}, {dilation}, ceil={ceil})"
    return _alone(Kind.PASS, text, source, lambda v: largest(v, kernel, stride, padding, dilation, ceil))


def adaptive(d: Drawing, source: int) -> Step | None:
    dims = len(_shape(d, source)) - 1
    if not 1 <= dims <= 3:
        return None
    functions: Any = d.one_of(
        [(F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d),
         (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)]
    )  # fmt: skip
    function, size = functions[dims - 1], d.between(1, 3)
    return _alone(Kind.PASS, f"{function.__name__}({size})", source, lambda v: function(v, size))


def upsampling(d: Drawing, source: int) -> Step | None:
    dims = len(_shape(d, source)) - 1
    if not 1 <= dims <= 3:
        return None
    mode = d.one_of(["nearest", ("linear", "bilinear", "trilinear")[dims - 1]])
    options: dict[str, Any] = d.one_of([{"scale_factor": 2}, {"size": d.between(2, 6)}])
    if mode != "nearest":
        options["align_corners"] = d.chance(2)
    text = f"interpolate({options}, {mode})"
    return _alone(Kind.PASS, text, source, lambda v: F.interpolate(v, mode=mode, **options))


def reduction(d: Drawing, source: int) -> Step | None:
    dims = len(_shape(d, source))
    if dims < 2:
        return None
    kept, axis = d.chance(2), d.between(1, dims)
    axes = d.one_of([(axis,), (-1,), tuple(range(2, dims + 1))])
    name = d.one_of(["mean", "sum", "amax", "amin", "max values"])
    if name == "max values":
        return _alone(Kind.PASS, f"max({axis})[0]", source, lambda v: v.max(axis, keepdim=kept)[0])
    method: Any = getattr(torch, name)
    options = {"dtype": d.dtype} if name in ("mean", "sum") and d.chance(4) else {}
    return _alone(Kind.PASS, f"{name}({axes}, {kept}, {options})", source, lambda v: method(v, axes, kept, **options))


def scale(d: Drawing, source: int) -> Step:
    shape = _shape(d, source)
    factor = d.real()
    along = d.weight(*[shape[0], *[1] * (len(shape) - 1)])
    other = torch.float32 if d.dtype == torch.float64 else torch.float64
    base = d.dtype
    text, function, cast, loose = d.one_of(
        [
            (f"* {factor}", lambda v: v * factor, False, False),
            (f"/ {factor}", lambda v: v / factor, False, False),
            ("* constant", lambda v: along * v, False, False),
            ("/ constant", lambda v: torch.div(v, along), False, False),
            ("neg", lambda v: -v, False, False),
            ("contiguous clone", lambda v: v.contiguous().clone(), False, False),
            ("double and back", lambda v: v.to(other).to(base), True, other == torch.float32),
            ("half and back", lambda v: v.half().to(base), True, True),
            ("bfloat16 and back", lambda v: v.bfloat16().type(base), True, True),
        ]
    )
    return _alone(Kind.PASS, text, source, function, cast=cast, loose=loose)


def merge(d: Drawing, source: int) -> Step:
    shape = _shape(d, source)
    alike = [i for i, v in enumerate(d.values) if v.shape[1:] == shape and v.dtype == d.dtype]
    reducible = [i for i, v in enumerate(d.values) if v.dim() == len(shape) + 1 and v.dtype == d.dtype]
    other = d.one_of(alike) if not d.chance(3) else d.one_of(reducible)
    alpha, constant = d.real(), d.weight(*shape)
    ways: list[tuple[str, tuple[int, ...], Function]] = [
        ("+", (source, other), lambda a, b: a + b),
        ("+=", (source, other), lambda a, b: (a * 1.0).add_(b)),
        ("-", (source, other), lambda a, b: a - b),
        (f"add(alpha={alpha})", (source, other), lambda a, b: torch.add(a, b, alpha=alpha)),
        (f"sub(alpha={alpha})", (source, other), lambda a, b: torch.sub(other=b, input=a, alpha=alpha)),
        (f"{alpha} -", (source,), lambda v: alpha - v),
        ("+ constant", (source,), lambda v: v + constant),
        ("constant -", (source,), lambda v: constant - v),
    ]
    text, sources, function = d.one_of(ways)
    return Step(Kind.MERGE, text, sources, function)


def join(d: Drawing, source: int) -> Step:
    shape = _shape(d, source)
    alike = [i for i, v in enumerate(d.values) if v.dim() == len(shape) + 1 and v.dtype == d.dtype]
    sources = (source, *(d.one_of(alike) for _ in range(d.between(1, 2))))
    axis = d.between(1, len(shape))
    constant = d.weight(*[len(d.x), *shape]) if d.chance(5) else None
    if d.chance(3):
        return Step(Kind.PASS, f"stack({axis})", (source, sources[1]), lambda a, b: torch.stack([a, b], axis))
    if constant is not None:
        row = constant[:1]
        return _alone(Kind.PASS, "cat with a constant", source, lambda v: torch.cat([v, row.expand_as(v)], axis))
    return Step(Kind.PASS, f"cat({axis})", sources, lambda *values: torch.cat(values, axis))


def movement(d: Drawing, source: int) -> Step:
    shape = _shape(d, source)
    dims = len(shape)
    a, b = d.between(1, dims), d.between(1, dims)
    size = shape[a - 1]
    start, step = d.between(0, max(0, size - 1)), d.between(1, 2)
    index = torch.randint(size, (d.between(1, 4),), generator=d.random)
    inner = (slice(None),) * a
    ways: list[tuple[str, Function]] = [
        ("flatten(1)", lambda v: v.flatten(1)),
        (f"flatten({a})", lambda v: v.flatten(a)),
        ("view(N, -1)", lambda v: v.view(v.shape[0], -1)),
        ("reshape(-1, n)", lambda v: v.reshape(-1, v[0].numel())),
        (f"unflatten({a})", lambda v: v.unflatten(a, (2, -1))),
        (f"transpose({a}, {b})", lambda v: v.transpose(a, b)),
        (f"permute, {a} last", lambda v: v.movedim(a, -1)),
        (f"flip({a})", lambda v: v.flip(a)),
        (f"roll({a})", lambda v: v.roll(1, a)),
        (f"slice({a}, {start}::{step})", lambda v: v[(*inner, slice(start, None, step))]),
        (f"select({a}, {start})", lambda v: v.select(a, start)),
        (f"narrow({a})", lambda v: v.narrow(a, start, 1)),
        (f"unsqueeze({a})", lambda v: v.unsqueeze(a)),
        (f"squeeze({a})", lambda v: v.squeeze(a)),
        ("repeat", lambda v: v.repeat(1, *[2 if axis == a else 1 for axis in range(1, dims + 1)])),
        ("expand", lambda v: v.unsqueeze(a).expand(*[2 if axis == a else -1 for axis in range(dims + 2)])),
        (f"chunk({a})[1]", lambda v: v.chunk(2, a)[1]),
        (f"split({a})[0] + [1]", lambda v: torch.cat(v.split([1, size - 1], a)[::-1], a)),
        (f"unbind({a})[-1]", lambda v: v.unbind(a)[-1]),
        (f"index_select({a}, {index.tolist()})", lambda v: v.index_select(a, index)),
        ("pixel_shuffle", lambda v: F.pixel_shuffle(v, 2)),
        ("pixel_unshuffle", lambda v: F.pixel_unshuffle(v, 2)),
        ("channel_shuffle", lambda v: F.channel_shuffle(v, 2)),
    ]
    text, function = d.one_of(ways)
    return _alone(Kind.PASS, text, source, function)


def padding(d: Drawing, source: int) -> Step:
    mode = d.one_of(["constant", "reflect", "replicate", "circular"])
    axes = d.between(1, 3)
    sizes = [d.between(-1 if mode == "constant" else 0, 2) for _ in range(2 * axes)]
    value = d.real() if mode == "constant" and d.chance(2) else None
    return _alone(Kind.PASS, f"pad({sizes}, {mode}, {value})", source, lambda v: F.pad(v, sizes, mode, value))


def smooth(d: Drawing, source: int) -> Step:
    shape = _shape(d, source)
    axis = d.between(1, len(shape))
    functions: list[tuple[str, Function]] = [
        ("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("silu", F.silu), ("gelu", F.gelu),
        ("gelu(tanh)", lambda v: F.gelu(v, approximate="tanh")), ("elu", lambda v: F.elu(v, 0.5)),
        ("softplus", F.softplus), ("hardswish", F.hardswish), ("abs", torch.abs), ("square", lambda v: v**2),
        ("hardtanh(-1, 1)", F.hardtanh), ("clamp(max=1)", lambda v: v.clamp(max=1)),
        (f"softmax({axis})", lambda v: v.softmax(axis)),
        (f"softmax({axis}, float32)", lambda v: F.softmax(v, axis, dtype=torch.float32).to(v.dtype)),
        ("layer_norm", lambda v: F.layer_norm(v, v.shape[-1:])),
        ("group_norm", lambda v: F.group_norm(v, 2)),
        ("instance_norm", F.instance_norm),
    ]  # fmt: skip
    text, function = d.one_of(functions)
    return _alone(Kind.NONLINEAR, text, source, function, loose="float32" in text)


def product(d: Drawing, source: int) -> Step:
    shape = _shape(d, source)
    alike = [i for i, v in enumerate(d.values) if v.dim() == len(shape) + 1 and v.dtype == d.dtype]
    other = d.one_of(alike)
    ways: list[tuple[str, Kind, Function]] = [
        ("*", Kind.PRODUCT, lambda a, b: a * b),
        ("@ transposed", Kind.PRODUCT, lambda a, b: a @ b.transpose(-2, -1)),
        ("maximum", Kind.NONLINEAR, torch.maximum),
        ("attention", Kind.PRODUCT, lambda a, b: F.scaled_dot_product_attention(a, b, b)),
    ]
    # Of one axis, products of matrices would be of the samples with each other.
    text, kind, function = d.one_of(ways if len(shape) > 1 else [ways[0], ways[2]])
    return Step(kind, text, (source, other), function, apart="transposed" in text)


def refused(d: Drawing, source: int) -> Step:
    ways: list[tuple[str, Function]] = [
        ("floor", torch.floor), ("cumsum", lambda v: v.cumsum(-1)), ("sort", lambda v: v.sort(-1)[0]),
        ("div floor", lambda v: torch.div(v, 0.5, rounding_mode="floor")), ("int", lambda v: v.int().to(v.dtype)),
    ]  # fmt: skip
    text, function = d.one_of(ways)
    return _alone(Kind.REFUSED, text, source, function)


REFUSED: Operation = refused
OPERATIONS: dict[str, Operation] = {
    "convolution": convolution, "convolution, too": convolution, "linear": linear, "linear, too": linear,
    "transposed": transposed, "again": again, "matrix": matrix, "einsum": einsum, "norm": norm,
    "activation": activation, "activation, too": activation, "activation, again": activation, "pooling": pooling,
    "adaptive": adaptive, "upsampling": upsampling, "reduction": reduction, "scale": scale, "merge": merge,
    "merge, too": merge, "join": join, "movement": movement, "movement, too": movement, "padding": padding,
    "smooth": smooth, "product": product,
}  # fmt: skip
