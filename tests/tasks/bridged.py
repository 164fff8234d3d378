"""One conversion of an untrained network on a task, from its files to its metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from conversion import capture, convert, simulate
from tasks.base import Task

T = 2


def colours(inputs: Tensor) -> Tensor:
    return inputs.float() / 255


def classes(output: Tensor) -> Tensor:
    return output.argmax(1)


def convolutions(channels: int, outputs: int) -> nn.Module:
    """A map of scores, a quarter as large as the input."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, outputs, 1),
    )  # fmt: skip


def classifier(channels: int, outputs: int) -> nn.Module:
    return nn.Sequential(convolutions(channels, outputs), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def converted(
    task: Task, ann: nn.Module, encode: Callable[[Tensor], Tensor] = colours, decode: Callable[[Tensor], Any] = classes
) -> int:
    """Converts by `burst` and measures two steps; how many test samples the metric has seen."""
    calibration = encode(task.calibration(8, seed=0))
    graph = capture(ann.eval(), calibration[:2])
    network = convert(graph, [calibration], method="burst", T=T, phi=4)
    metric = task.metric()
    for batch in task.test(4):
        readout = simulate(network, encode(batch.inputs), T)
        assert torch.isfinite(readout.mean(T)).all() and not torch.equal(readout.mean(1), readout.mean(T))
        metric.update(decode(readout.mean(T)), batch.targets)
    value = metric.compute()[task.primary_metric]
    assert 0 <= value.ci_low <= value.value <= value.ci_high <= 100
    return len(metric.outcomes())
