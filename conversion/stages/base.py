"""What a stage is, and what stages that simulate layers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from conversion.calibration import Calibration
from conversion.network import SpikingNetwork
from conversion.neuron import Layer, Neuron
from conversion.schedules import Trains

# Small batches keep a layer's potentials near the cores from step to step.
SWEEP_BATCH = 32


class Stage(Protocol):
    """One step of a conversion."""

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork: ...


def fire_train(neuron: Neuron, T: int, axis: int, currents: Sequence[Tensor]) -> list[Tensor]:
    """What a layer of neurons transmits at every step of one batch, given its currents."""
    layer = Layer(neuron, T, axis)
    return [layer.step(current)[0] for current in currents]


def channel_mean(trains: Trains, axis: int) -> Tensor:
    """Mean over samples, positions and steps, per channel, float64."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for train in trains:
        for output in train:
            rows = output.movedim(axis, -1).flatten(0, -2)
            total = total.to(output.device) + rows.sum(0, dtype=torch.float64)
            count += len(rows)
    return total / count
