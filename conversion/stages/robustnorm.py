"""Thresholds from running averages over batches: RobustNorm, as SpikingJelly computes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, fx

from conversion.calibration.statistics import Calibration
from conversion.calibration.thresholds import PERCENTILE, positive
from conversion.simulation.network import SpikingNetwork
from conversion.stages.base import put_neurons, require_activations

Statistic = Literal["quantile", "maximum"]
MOMENTUM = 0.1


@dataclass(frozen=True)
class RunningThresholds:
    """One threshold per layer: a running average over batches of a statistic of the ANN's activations.

    The first batch is taken as it is, each later one enters with weight 0.1 (SpikingJelly's `RateCodingRecipe`). So the
    average of maxima is no maximum. Zeros count among the activations. Where the average is zero and activations are
    not, the threshold is the largest of them; SpikingJelly refuses such a layer.

    Attributes:
        statistic: the 99.9 % quantile, linear between neighbours, or the maximum.
        batch: samples in a batch. The last batch may have fewer and counts as much as any other.
    """

    statistic: Statistic = "quantile"
    batch: int = 100

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        graph = network.graph
        require_activations(graph, calibration)
        thresholds: dict[fx.Node, Tensor] = {}

        def observe(node: fx.Node, value: Tensor) -> None:
            found = quantile(value.abs(), PERCENTILE) if self.statistic == "quantile" else value.abs().max()
            average = thresholds.get(node)
            thresholds[node] = found if average is None else (1 - MOMENTUM) * average + MOMENTUM * found

        for batch in calibration.mean_inputs.split(self.batch):
            graph.run(batch, observe=observe)
        for node in graph.firing:
            average = thresholds[node].double().cpu().view(1)
            largest = calibration.histograms[node].maximum.max().view(1)
            thresholds[node] = positive(torch.where(average > 0, average, largest))
        return put_neurons(network, {node: thresholds[node] for node in graph.firing}, "none")


def quantile(values: Tensor, share: float) -> Tensor:
    """The quantile of all values together, linear between neighbours: `torch.quantile` for any number of values."""
    position = share * (values.numel() - 1)
    below = math.floor(position)
    flat = values.flatten()
    low, high = (flat.kthvalue(min(rank, len(flat))).values for rank in (below + 1, below + 2))
    return low.lerp(high, position - below)
