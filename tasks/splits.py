"""Seeded draws that cut a validation or test split off a dataset."""

from __future__ import annotations

import torch
from torch import Tensor


def stratified(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Draws the same fraction of every class.

    Args:
        labels: class indices, int64 of shape (N,).
        fraction: share of each class to draw, in 0..1; the count is rounded to the nearest integer.
        seed: the same labels and seed give the same draw on every machine.

    Returns:
        Indices left and indices drawn, each ascending; together they are 0..N-1.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(len(labels.bincount())):
        members = torch.nonzero(labels == label).flatten()
        shuffled = members[torch.randperm(len(members), generator=generator)]
        drawn[shuffled[: round(fraction * len(members))]] = True
    return torch.nonzero(~drawn).flatten(), torch.nonzero(drawn).flatten()


def random_split(count: int, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Draws a fraction of 0..count-1 where there are no classes; returns indices left and drawn, each ascending."""
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[: round(fraction * count)]
    taken = set(drawn.tolist())
    return [index for index in range(count) if index not in taken], sorted(taken)
