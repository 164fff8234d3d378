"""Small converted networks to write as NIR."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from conversion import SpikingNetwork, convert
from tests.conversion.toys import captured, randomise_norms, seeded


def spiking(
    model: nn.Module, shape: tuple[int, ...], method: str = "burst", T: int = 6, **options: Any
) -> SpikingNetwork:  # fmt: skip
    """A network converted with one spike per step, half a threshold as a current, on random inputs."""
    graph = captured(randomise_norms(model), seeded((2, *shape)))
    if method == "burst":
        options = {"phi": 1, "start": "shift"} | options
    return convert(graph, seeded((16, *shape), 1), method, T=T, **options)


def small(**options: Any) -> SpikingNetwork:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(24, 4),
    )  # fmt: skip
    return spiking(model, (2, 6, 6), **options)
