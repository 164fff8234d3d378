"""Rules of operators that move values: views, slices, padding."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.capture.onnx.known import check_size, filling
from conversion.capture.onnx.reading import OnnxNode
from conversion.capture.onnx.rules import (
    Known,
    Result,
    axes_of,
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
    if node.batch is not None and sizes:
        if all(is_known_size(size) and size >= 0 for size in sizes) and _has_more_samples(x, sizes):
            sizes[0] = -1  # The samples may be folded into an axis of heads or windows, in it or in the target.
        elif sizes[0] == node.batch:
            sizes[0] = x.shape[0]
    return x.reshape(sizes)


def _has_more_samples(x: Tensor, sizes: list[int]) -> bool:
    """Whether a value with the samples on its first axis has another number of them than a shape of the file."""
    if not is_known_size(x.shape[0]):
        return True
    return all(map(is_known_size, x.shape)) and math.prod(sizes) != x.numel()


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
