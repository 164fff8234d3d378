"""QCFS, the quantisation-clip-floor-shift activation (Bu et al., ICLR 2022), as one operation.

    y = th floor(L clip(x / th, 0, 1) + 1/2) / L

with a threshold th that is learnt and a number of levels L. It is what an integrate-and-fire neuron of threshold th
that starts at th / 2 sends on average over L steps of a constant current, so networks are trained with it to be
converted. It is an operation of its own, so that `torch.export` records one node, which becomes one layer of neurons.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


@torch.library.custom_op("conversion::qcfs", mutates_args=())
def qcfs(x: Tensor, threshold: Tensor, levels: int) -> Tensor:
    """The activation of x, of any shape; the gradient passes the floor as if it were not there.

    Args:
        x: the input of the layer.
        threshold: th, one number for the whole layer, shape (1,).
        levels: L.
    """
    # In the order of the published code, so that values at the edge of a level fall to the same side.
    return (x / threshold).clamp_(0, 1).mul_(levels).add_(0.5).floor_().div_(levels).mul_(threshold)


QCFS = torch.ops.conversion.qcfs


@qcfs.register_fake
def _shape(x: Tensor, threshold: Tensor, levels: int) -> Tensor:
    return torch.empty_like(x, dtype=torch.result_type(x, threshold))


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
    x, threshold, _ = inputs
    ctx.save_for_backward(x, threshold, output)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
    """With u = x / th: dy/dx = [0 <= u <= 1] and dy/dth = y / th - u [0 <= u <= 1]."""
    x, threshold, output = ctx.saved_tensors
    position = x / threshold
    passed = torch.where(position == position.clamp(0, 1), gradient, 0)
    by_threshold = torch.addcmul(gradient * output, passed, x.to(passed.dtype), value=-1).sum() / threshold
    return passed.to(x.dtype), by_threshold.to(threshold.dtype), None


qcfs.register_autograd(_backward, setup_context=_keep)
