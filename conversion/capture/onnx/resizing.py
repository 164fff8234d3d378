"""The rule of Resize: by the nearest value, linear, cubic.

What torch has an operation for is that operation. All else is written out: each output is a sum of a few inputs, its
taps, which are gathered along one axis after the other and weighted with constants.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.capture.onnx.known import check_size
from conversion.capture.onnx.reading import OnnxNode
from conversion.capture.onnx.rules import Known, demand, is_known_size, listed, numbers, real, rule, whole, word

LONGEST = 2**16
"""The most places of an axis that is resized: an honest image has fewer, and each is listed with its taps."""


@rule("Resize", known=("roi", "scales", "sizes"))
def resize(
    node: OnnxNode, x: Tensor, roi: Known | None = None, scales: Known | None = None, sizes: Known | None = None
) -> Tensor:
    demand(node, antialias=0, keep_aspect_ratio_policy="stretch")
    mode = word(node, "mode", "nearest")
    wanted, factors = _sizes(node, x, scales, sizes)
    if all(wanted[axis] == x.shape[axis] for axis in wanted):
        return x
    # Of an axis that keeps its size by a factor other than one the places change as well.
    changed = [axis for axis in wanted if wanted[axis] != x.shape[axis] or factors[axis] != 1]
    if mode == "nearest":
        return _nearest(node, x, {axis: wanted[axis] for axis in changed}, factors)
    if mode not in ("linear", "cubic"):
        raise node.refusal(f"has mode = {mode!r}, which is none of its operator's.")
    if mode == "linear" and min(changed) >= 2 and (found := _interpolated(node, x, wanted, factors)) is not None:
        return found
    for axis in changed:
        places = _coordinates(node, wanted[axis], x.shape[axis], factors[axis])
        x = _weighted(x, axis, *_taps(node, places, x.shape[axis]))
    return x


def _sizes(
    node: OnnxNode, x: Tensor, scales: Known | None, sizes: Known | None
) -> tuple[dict[int, int], dict[int, float]]:
    """The size of each axis of the output but the batch's, and by what factor it grows."""
    axes = [axis % x.dim() for axis in listed(node, "axes") or range(x.dim())]
    as_scales = sizes is None or not sizes.size
    source = scales if as_scales else sizes
    given = [] if source is None else numbers(source)
    if len(given) != len(axes):
        raise node.refusal(f"resizes {len(axes)} axes by {len(given)} numbers.")
    factors: dict[int, float] = {}
    wanted: dict[int, int] = {}
    for axis, value in zip(axes, given, strict=True):
        size = x.shape[axis]
        if axis == 0:
            # A number as the size of the batch is that of the file, or of the input; a symbol that of the input.
            of_file = is_known_size(value) and value == node.batch
            of_input = is_known_size(value) == is_known_size(size) and value == size
            if not (value == 1 if as_scales else of_file or of_input):
                raise node.refusal("resizes the batch, whose samples are apart.")
            continue
        # In single precision, as every runtime does.
        wanted[axis] = math.floor(np.float32(size) * np.float32(value)) if as_scales else value
        if not 0 < wanted[axis] <= LONGEST:
            raise node.refusal(f"resizes an axis to {wanted[axis]:,} places; 1 to {LONGEST:,} are taken.")
        factors[axis] = float(value) if as_scales else value / size
    check_size(node, [wanted.get(axis, size) for axis, size in enumerate(x.shape)])
    return wanted, factors


def _coordinates(node: OnnxNode, size: int, source: int, factor: float | np.float32) -> Known:
    """Where in a source of so many places each of the outputs lies."""
    # In single precision, as every runtime does: which of two values is nearest may hang on it.
    mode, at = word(node, "coordinate_transformation_mode", "half_pixel"), np.arange(size, dtype=np.float32)
    factor = np.float32(factor)
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and size > 1):
        return (at + 0.5) / factor - 0.5
    if mode == "half_pixel_symmetric":
        # The middles of both lie on each other, also where the size was rounded.
        return source / 2 * (1 - size / (factor * source)) + (at + 0.5) / factor - 0.5
    if mode == "pytorch_half_pixel":
        return np.zeros(size)
    if mode == "asymmetric":
        return at / factor
    if mode == "align_corners":
        return at * (source - 1) / max(size - 1, 1)
    raise node.refusal(
        f"has coordinate_transformation_mode = {mode!r}, for which it has no rule; export it with 'half_pixel', "
        "'align_corners' or 'asymmetric'."
    )


def _nearest(node: OnnxNode, x: Tensor, wanted: dict[int, int], factors: dict[int, float]) -> Tensor:
    """By torch's own operation where it takes the same places, else by listing them."""
    found = {axis: _rounded(node, size, x.shape[axis], factors[axis]) for axis, size in wanted.items()}
    own = all(
        np.array_equal(places, np.arange(len(places)) * x.shape[axis] // len(places)) for axis, places in found.items()
    )
    if own and min(found) >= 2 and x.dim() <= 5:
        return F.interpolate(x, size=[wanted.get(axis, x.shape[axis]) for axis in range(2, x.dim())], mode="nearest")
    for axis, places in found.items():
        x = x.index_select(axis, torch.tensor(places.tolist(), device=x.device))
    return x


def _rounded(node: OnnxNode, size: int, source: int, factor: float) -> Known:
    """The places of a source that the outputs of a resizing by the nearest are taken from."""
    places, rounding = _coordinates(node, size, source, factor), word(node, "nearest_mode", "round_prefer_floor")
    rounded = {
        "round_prefer_floor": np.ceil(places - 0.5), "round_prefer_ceil": np.floor(places + 0.5),
        "floor": np.floor(places), "ceil": np.ceil(places),
    }.get(rounding)  # fmt: skip
    if rounded is None:
        raise node.refusal(f"has nearest_mode = {rounding!r}, which is none of its operator's.")
    found: Known = rounded.clip(0, source - 1).astype(np.int64)
    return found


def _interpolated(node: OnnxNode, x: Tensor, wanted: dict[int, int], factors: dict[int, float]) -> Tensor | None:
    """By torch's linear operation of one to three axes; None where it computes something else."""
    coordinates, places = word(node, "coordinate_transformation_mode", "half_pixel"), range(2, x.dim())
    out = [wanted.get(axis, x.shape[axis]) for axis in places]
    by = [factors.get(axis, 1.0) for axis in places]
    # torch leaves an axis alone that keeps its size.
    if not 1 <= len(out) <= 3 or any(out[at] == x.shape[2 + at] and factor != 1 for at, factor in enumerate(by)):
        return None
    name = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(out)]
    if coordinates == "align_corners":
        return F.interpolate(x, size=out, mode=name, align_corners=True)
    # With one place, half pixels of PyTorch and of ONNX differ.
    if coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and min(out) > 1):
        # The size and the factor, which F.interpolate would compute from each other in another precision.
        found: Tensor = getattr(torch.ops.aten, f"upsample_{name}{len(out)}d").default(x, out, False, *by)
        return found
    return None


def _taps(node: OnnxNode, places: Known, source: int) -> tuple[Known, Known]:
    """The inputs that each output is the weighted sum of, and their weights, each of shape (taps, outputs)."""
    first = np.floor(places)
    rest = places - first
    if word(node, "mode", "nearest") == "linear":
        offsets, weights = np.arange(2), np.stack([1 - rest, rest])
    else:
        offsets, a = np.arange(-1, 3), real(node, "cubic_coeff_a", -0.75)
        distances = np.abs(rest - offsets[:, None])
        near = ((a + 2) * distances - (a + 3)) * distances**2 + 1
        far = ((a * distances - 5 * a) * distances + 8 * a) * distances - 4 * a
        weights = np.where(distances <= 1, near, far)
    taken = (first + offsets[:, None]).astype(np.int64)
    if whole(node, "exclude_outside", 0):
        weights = np.where((taken >= 0) & (taken < source), weights, 0.0)
        weights = weights / weights.sum(0)
    return taken.clip(0, source - 1), weights


def _weighted(x: Tensor, axis: int, taken: Known, weights: Known) -> Tensor:
    """The sum of the taps along an axis."""
    terms = []
    for places, factors in zip(taken, weights, strict=True):
        if not factors.any():
            continue
        gathered = x.index_select(axis, torch.tensor(places.tolist(), device=x.device))
        shape = [-1 if at == axis else 1 for at in range(x.dim())]
        terms.append(gathered * torch.tensor(factors.tolist(), dtype=x.dtype, device=x.device).reshape(shape))
    return sum(terms[1:], start=terms[0])
