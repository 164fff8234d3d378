"""A plug-in whose methods and network go wrong in every way that a runner has to survive."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from adapters.base import NETWORKS, Network
from conversion.calibration.statistics import Calibration
from conversion.methods import METHODS, Method
from conversion.simulation.network import SpikingNetwork
from conversion.stages import Stage, Thresholds
from tasks.images.base import ImageClassification

How = Literal["exit", "kill", "memory", "hang", "bug", "nan", "slow", "nap"]


@dataclass(frozen=True)
class Misbehave:
    how: How

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        if self.how == "exit":
            os._exit(7)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "memory":
            torch.empty(1 << 50)
        if self.how == "hang":
            while True:
                pass
        if self.how == "bug":
            raise RuntimeError("it broke\nand said a lot")
        if self.how in ("slow", "nap"):
            time.sleep(1.5 if self.how == "slow" else 0.2)
        if self.how == "nan":
            return network.with_neurons(
                {node: replace(neuron, bias=neuron.threshold * torch.nan) for node, neuron in network.neurons.items()}
            )
        return network


@METHODS.register("misbehaving")
class Misbehaving(Method):
    """Plain thresholds, and then something goes wrong."""

    how: How

    def stages(self) -> tuple[Stage, ...]:
        return (Thresholds("max", phi=4), Misbehave(self.how))


class Unsupported(nn.Module):
    """An operation that no rule covers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.erfinv(x.flatten(1)).relu())


@NETWORKS.register("unsupported")
class UnsupportedNetwork(Network):
    family, shape = ImageClassification, (1, 8, 8)
    mean, std = (0.5,), (1.0,)

    def build(self) -> nn.Module:
        return Unsupported()
