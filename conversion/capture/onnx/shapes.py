"""Rules of operators that move values: views, slices, padding, resizing."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.capture.onnx.known import check_size, filling
from conversion.capture.onnx.reading import OnnxNode
from conversion.capture.onnx.rules import (
    Known,
    Result,
    axes_of,
    demand,
    is_known_size,
    listed,
    number,
    numbers,
    rule,
    whole,
    word,
)


@rule("Reshape", known=("target",))
def reshape(node: OnnxNode, x: Tensor, target: Known) -> Tensor:
    copies = not whole(node, "allowzero", 0)
    sizes = [x.shape[axis] if size == 0 and copies else size for axis, size in enumerate(numbers(target))]
    if node.batch is not None and sizes and sizes[0] == node.batch:
        sizes[0] = x.shape[0]
    return x.reshape(sizes)


@rule("Flatten")
def flatten(node: OnnxNode, x: Tensor) -> Tensor:
    axis = whole(node, "axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    if axis == 0:
        return x.reshape(1, -1)
    x = x.unsqueeze(-1) if axis == x.dim() else x.flatten(axis)
    return x if axis == 1 else x.flatten(0, axis - 1)


@rule("Transpose")
def transpose(node: OnnxNode, x: Tensor) -> Tensor:
    return x.permute(listed(node, "perm") or list(reversed(range(x.dim()))))


@rule("Squeeze", known=("axes",))
def squeeze(node: OnnxNode, x: Tensor, axes: Known | None = None) -> Tensor:
    found = axes_of(node, axes)
    if found is None:
        found = [axis for axis, size in enumerate(x.shape) if is_known_size(size) and size == 1]
    return x.squeeze(found)


@rule("Unsqueeze", known=("axes",))
def unsqueeze(node: OnnxNode, x: Tensor, axes: Known | None = None) -> Tensor:
    found = axes_of(node, axes) or []
    for axis in sorted(one % (x.dim() + len(found)) for one in found):
        x = x.unsqueeze(axis)
    return x


@rule("Expand", known=("target",))
def expand(node: OnnxNode, x: Tensor, target: Known) -> Tensor:
    sizes = numbers(target)
    check_size(node, sizes)
    sizes = [1] * (x.dim() - len(sizes)) + sizes
    added = len(sizes) - x.dim()
    # Each may broadcast to the other; -1 keeps the size.
    return x.expand(
        [-1 if is_known_size(size) and size == 1 and at >= added else size for at, size in enumerate(sizes)]
    )


@rule("Tile", known=("repeats",))
def tile(node: OnnxNode, x: Tensor, repeats: Known) -> Tensor:
    return x.repeat(numbers(repeats))


@rule("Concat")
def concat(node: OnnxNode, *parts: Tensor) -> Tensor:
    axis = whole(node, "axis", 0)
    if node.batch == 1 and axis % parts[0].dim():
        # In a file for single samples, constants have a batch of one.
        batch = next((part.shape[0] for part in parts if not is_known_size(part.shape[0]) or part.shape[0] != 1), 1)
        parts = tuple(
            part.expand(batch, *part.shape[1:]) if is_known_size(part.shape[0]) and part.shape[0] == 1 else part
            for part in parts
        )
    return torch.cat(parts, axis)


@rule("Split", known=("sizes",))
def split(node: OnnxNode, x: Tensor, sizes: Known | None = None) -> Result:
    axis = whole(node, "axis", 0)
    parts = listed(node, "split") if sizes is None else numbers(sizes)
    if parts is None:
        count = whole(node, "num_outputs", len(node.outputs))
        parts = math.ceil(x.shape[axis] / max(1, count))  # type: ignore[assignment]
    return tuple(torch.split(x, parts, axis))  # type: ignore[arg-type]


@rule("Slice", known=("starts", "ends", "axes", "steps"))
def cut(
    node: OnnxNode, x: Tensor, starts: Known, ends: Known, axes: Known | None = None, steps: Known | None = None
) -> Tensor:
    along = range(x.dim()) if axes is None else numbers(axes)
    by = [1] * starts.size if steps is None else numbers(steps)
    for axis, start, end, step in zip(along, numbers(starts), numbers(ends), by, strict=False):
        size = x.shape[axis]
        if start == 0 and step == 1 and (end is size or (is_known_size(end) and end >= 2**31 - 1)):
            continue  # All of it, of whatever size.
        if step > 0:
            places = [slice(None)] * (axis % x.dim()) + [slice(start, end, step)]
            x = x[tuple(places)]
            continue
        # Running backwards, an end before the beginning is none.
        kept = range(size)[slice(start, None if end < -size else end, step)]
        x = x.index_select(axis, torch.tensor(list(kept), device=x.device))
    return x


@rule("Gather", known=("indices",))
def gather(node: OnnxNode, x: Tensor, indices: Known) -> Tensor:
    axis = whole(node, "axis", 0) % x.dim()
    if indices.ndim == 0:
        return x.select(axis, int(indices))
    size = x.shape[axis]
    if beyond := [index for index in numbers(indices) if not -size <= index < size]:
        raise node.refusal(f"takes place {beyond[0]} of an axis of {size}.")
    places = [index % size for index in numbers(indices)]
    found = x.index_select(axis, torch.tensor(places, device=x.device))
    return found if indices.ndim == 1 else found.unflatten(axis, indices.shape)


@rule("Pad", known=("pads", "value", "axes"))
def pad(node: OnnxNode, x: Tensor, pads: Known, value: Known | None = None, axes: Known | None = None) -> Tensor:
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}.get(
        word(node, "mode", "constant")
    )
    if mode is None:
        raise node.refusal(f"has mode = {node.attributes['mode']!r}, which is none of its operator's.")
    each = numbers(pads)
    along = list(range(x.dim())) if axes is None else [axis % x.dim() for axis in numbers(axes)]
    if len(each) != 2 * len(along):
        raise node.refusal(f"pads {len(along)} axes by {len(each)} numbers, where there are two for each.")
    begin = dict(zip(along, each[: len(along)], strict=True))
    end = dict(zip(along, each[len(along) :], strict=True))
    padded = [axis for axis in along if begin[axis] or end[axis]]
    if not padded:
        return x
    # torch lists pairs from the last axis to the first that is padded; the copying modes pad all axes of places.
    first = min(padded) if mode == "constant" else 2
    pairs = [one for axis in range(x.dim() - 1, first - 1, -1) for one in (begin.get(axis, 0), end.get(axis, 0))]
    if min(padded) < first:
        raise node.refusal(f"pads batch or channels in the mode '{word(node, 'mode', 'constant')}'.")
    if mode == "constant":
        return F.pad(x, pairs, value=float(number(node, value, 0.0)))
    return F.pad(x, pairs, mode=mode)


@rule("DepthToSpace")
def depth_to_space(node: OnnxNode, x: Tensor) -> Tensor:
    block = whole(node, "blocksize", 1)
    if word(node, "mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, block)
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, block, block, channels // block**2, height, width).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(batch, channels // block**2, height * block, width * block)


@rule("SpaceToDepth")
def space_to_depth(node: OnnxNode, x: Tensor) -> Tensor:
    block = whole(node, "blocksize", 1)
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels, height // block, block, width // block, block).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(batch, channels * block**2, height // block, width // block)


@rule("ConstantOfShape", known=("target",))
def constant_of_shape(node: OnnxNode, target: Known) -> Tensor:
    value, sizes = filling(node), numbers(target)
    check_size(node, sizes)
    return torch.full(sizes, value.item(), dtype=getattr(torch, value.dtype.name))


@rule("Resize", known=("roi", "scales", "sizes"))
def resize(
    node: OnnxNode, x: Tensor, roi: Known | None = None, scales: Known | None = None, sizes: Known | None = None
) -> Tensor:
    demand(node, antialias=0, exclude_outside=0, keep_aspect_ratio_policy="stretch")
    mode, coordinates = word(node, "mode", "nearest"), word(node, "coordinate_transformation_mode", "half_pixel")
    axes = [axis % x.dim() for axis in listed(node, "axes") or range(x.dim())]
    given, as_scales = (numbers(sizes), False) if sizes is not None and sizes.size else (None, True)
    if given is None:
        given = [] if scales is None else numbers(scales)
    if len(given) != len(axes):
        raise node.refusal(f"resizes {len(axes)} axes by {len(given)} numbers.")
    factors: dict[int, float] = {}
    wanted: dict[int, int] = {}
    for axis, value in zip(axes, given, strict=True):
        size = x.shape[axis]
        if axis == 0:
            # A number as the size of the batch is that of the file; a symbol is that of the network's input.
            if value != (1 if as_scales else node.batch if is_known_size(value) else size):
                raise node.refusal("resizes the batch, whose samples are apart.")
            continue
        wanted[axis] = math.floor(size * value) if as_scales else value
        factors[axis] = float(value) if as_scales else value / size
    changed = [axis for axis in wanted if wanted[axis] != x.shape[axis]]
    check_size(node, [wanted.get(axis, size) for axis, size in enumerate(x.shape)])
    if not changed:
        return x
    if mode == "nearest":
        return _nearest(node, x, wanted, factors, coordinates)
    if mode != "linear" or min(changed) < 2:
        raise node.refusal(f"has mode = '{mode}' on the axes {changed}; linear ones of places and nearest have rules.")
    places = range(2, x.dim())
    out = [wanted.get(axis, x.shape[axis]) for axis in places]
    name = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(out)]
    # With one place, half pixels of PyTorch and of ONNX differ.
    if coordinates == "align_corners":
        return F.interpolate(x, size=out, mode=name, align_corners=True)
    if coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and min(out) > 1):
        if any(abs(wanted[axis] - x.shape[axis] * factors[axis]) > 1e-6 for axis in changed):
            return F.interpolate(x, scale_factor=[factors.get(axis, 1.0) for axis in places], mode=name)
        return F.interpolate(x, size=out, mode=name, align_corners=False)
    raise node.refusal(
        f"has coordinate_transformation_mode = '{coordinates}', for which the linear mode has no rule; export it with "
        "half_pixel or align_corners."
    )


def _nearest(node: OnnxNode, x: Tensor, wanted: dict[int, int], factors: dict[int, float], coordinates: str) -> Tensor:
    """By torch's own operation where it takes the same places, else by listing them."""
    changed = {axis: size for axis, size in wanted.items() if size != x.shape[axis]}
    found = {axis: _places(node, size, x.shape[axis], factors[axis], coordinates) for axis, size in changed.items()}
    own = all(
        np.array_equal(places, np.arange(len(places)) * x.shape[axis] // len(places)) for axis, places in found.items()
    )
    if own and min(found) >= 2 and x.dim() <= 5:
        return F.interpolate(x, size=[wanted.get(axis, x.shape[axis]) for axis in range(2, x.dim())], mode="nearest")
    for axis, places in found.items():
        x = x.index_select(axis, torch.tensor(places.tolist(), device=x.device))
    return x


def _places(node: OnnxNode, size: int, source: int, factor: float, coordinates: str) -> Known:
    """The places that the outputs of a resizing by the nearest are taken from, of so many in the source."""
    at = np.arange(size)
    if coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and size > 1):
        places = (at + 0.5) / factor - 0.5
    elif coordinates == "pytorch_half_pixel":
        places = np.zeros(size)
    elif coordinates == "asymmetric":
        places = at / factor
    elif coordinates == "align_corners":
        places = at * (source - 1) / max(size - 1, 1)
    else:
        raise node.refusal(f"has coordinate_transformation_mode = '{coordinates}', for which it has no rule.")
    rounding = word(node, "nearest_mode", "round_prefer_floor")
    rounded = {
        "round_prefer_floor": np.ceil(places - 0.5), "round_prefer_ceil": np.floor(places + 0.5),
        "floor": np.floor(places), "ceil": np.ceil(places),
    }.get(rounding)  # fmt: skip
    if rounded is None:
        raise node.refusal(f"has nearest_mode = '{rounding}', which is none of its operator's.")
    found: Known = rounded.clip(0, source - 1).astype(np.int64)
    return found
