"""Clouds of points as samples."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.samples import Samples


class CloudSamples(Samples):
    """Clouds, float32 of shape (3 and further channels, points), their mean at 0 and the farthest point at 1."""

    def fault(self, inputs: Tensor, split: str) -> str | None:
        if inputs.dtype != torch.float32:
            return f"Clouds of {split} are {inputs.dtype}; give float32."
        points = inputs[:, :3]
        if not bool(torch.isfinite(points).all()):
            return f"Clouds of {split} hold values that are not finite."
        centre, radius = float(points.mean(2).norm(dim=1).max()), points.norm(dim=1).amax(1)
        if centre >= 1e-2 or bool(((radius - 1).abs() >= 1e-2).any()):
            return (
                f"A cloud of {split} is {centre:.2g} away from the origin, or its farthest point is not at distance 1."
            )
        return None
