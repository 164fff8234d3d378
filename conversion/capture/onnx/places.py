"""Rules of operators that take values from listed places, or put them there."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from conversion.capture.onnx.reading import OnnxNode
from conversion.capture.onnx.rules import Known, demand, is_known_size, numbers, rule, whole


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


@rule("GatherND", known=("indices",))
def gather_parts(node: OnnxNode, x: Tensor, indices: Known) -> Tensor:
    """The parts of a value at places of its first axes."""
    demand(node, batch_dims=0)
    return x[_rows(x, indices)]


@rule("GatherElements")
def gather_elements(node: OnnxNode, x: Tensor, indices: Tensor) -> Tensor:
    axis = whole(node, "axis", 0) % x.dim()
    return torch.gather(x, axis, _of_all_samples(node, x, indices.long(), axis) % x.shape[axis])


@rule("ScatterND", known=("indices",))
def scatter_parts(node: OnnxNode, x: Tensor, indices: Known, updates: Tensor) -> Tensor:
    """The value with parts put into its first axes at given places."""
    demand(node, reduction="none")
    if node.batch == 1:
        # In a file for single samples, a constant has a batch of one where the other has all.
        kept, put = x.shape[indices.shape[-1] :], updates.shape[indices.ndim - 1 :]
        sizes = [two if _is_one(one) else one for one, two in zip(kept, put, strict=True)]
        x = x.expand(*x.shape[: indices.shape[-1]], *sizes)
        updates = updates.expand(*updates.shape[: indices.ndim - 1], *sizes)
    return x.index_put(_rows(x, indices), updates)


@rule("ScatterElements")
def scatter_elements(node: OnnxNode, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    demand(node, reduction="none")
    axis = whole(node, "axis", 0) % x.dim()
    return torch.scatter(x, axis, _of_all_samples(node, updates, indices.long(), axis) % x.shape[axis], updates)


def _rows(x: Tensor, indices: Known) -> tuple[Tensor, ...]:
    """Places along each of the first axes."""
    return tuple(torch.tensor(row.tolist(), device=x.device) for row in np.moveaxis(indices, -1, 0))


def _of_all_samples(node: OnnxNode, like: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Places of a file for single samples, for every sample of a batch."""
    if node.batch == 1 and axis and _is_one(indices.shape[0]):
        return indices.expand(like.shape[0], *indices.shape[1:])
    return indices


def _is_one(size: int) -> bool:
    return is_known_size(size) and size == 1
