"""When a sample may stop: IAT (section 3.3 of the paper), and a rule of ours for outputs without classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from conversion.calibration.statistics import Calibration
from conversion.errors import InvalidInput
from conversion.simulation.exit_rules import (
    SettledRule,
    Sign,
    exit_bars,
    is_power_of_two,
    position_entropy,
    relative_change,
)
from conversion.simulation.frames import split_batches
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.simulate import simulate
from conversion.stages.base import require_neurons


@dataclass(frozen=True)
class EarlyExit:
    """Learns from held-out training samples how sure a correct prediction is at every step, and sets the bars.

    Attributes:
        base, scale, delta: of the bar base + scale exp(-(E_t - min E) / delta); the defaults are the paper's for
            CIFAR. It takes 0.995, 0.005 and 1 for ImageNet.
        sign: how the paper's entropy is read, see `exit_bars`.
    """

    base: float = 0.6
    scale: float = 0.4
    delta: float = 1.0
    sign: Sign = "code"

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        require_neurons(network, "Early exit")
        if calibration.held_out is None:
            raise InvalidInput(
                "IAT learns from labels how sure a correct prediction is: give held_out=(inputs, classes), training "
                "samples that are not in the calibration set. Boxes are no such labels: with them, use "
                "rule=settled."
            )
        inputs, classes = calibration.held_out
        entropy = torch.zeros(network.T, dtype=torch.float64)
        correct = torch.zeros(network.T, dtype=torch.float64)
        for batch, targets in zip(
            split_batches(inputs, calibration.pass_batch), classes.split(calibration.pass_batch), strict=True
        ):

            def learn(t: int, output: Any, targets: Tensor = targets) -> None:
                spread = position_entropy(output, t)
                if targets.shape != spread.shape:
                    raise InvalidInput(
                        f"The network's output has classes at positions of shape {tuple(spread.shape)}, the held-out "
                        f"labels have shape {tuple(targets.shape)}; give one class index for each position."
                    )
                # A label that is no class, 255 for void, is never right.
                right = output.argmax(1) == targets.to(output.device)
                entropy[t - 1] += spread[right].sum(dtype=torch.float64).cpu()
                correct[t - 1] += right.sum().cpu()

            # Outputs are looked at as they come: all steps of a map would be larger than the network.
            simulate(replace(network, exit=None), batch, at=[network.T], count=False, observe=learn)
        # Where nothing is right yet nothing is known: as unsure as can be.
        mean = torch.where(correct > 0, entropy / correct.clamp(min=1), 1.0)
        return replace(network, exit=exit_bars(mean.tolist(), self.base, self.scale, self.delta, self.sign))


@dataclass(frozen=True)
class SettledExit:
    """Lets samples go when their output has settled; learns from calibration samples what change is small enough.

    The bar is the largest with which the outputs that samples leave with are, on average, within `tolerance` of those
    after all T steps.

    Attributes:
        tolerance: |y_left - y_T| / |y_T|, mean over samples.
    """

    tolerance: float = 0.05

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        require_neurons(network, "Early exit")
        looks = [t for t in range(1, network.T) if is_power_of_two(t)]
        changes, distances = [], []
        for batch in split_batches(calibration.inputs, calibration.pass_batch):
            outputs = simulate(replace(network, exit=None), batch, at=[*looks, network.T], count=False).outputs
            changes.append([relative_change(outputs[t], outputs[t // 2]) for t in looks[1:]])
            distances.append([relative_change(outputs[network.T], outputs[t]) for t in looks[1:]])
        bar = settling_bar(_table(changes), _table(distances), self.tolerance)
        return replace(network, exit=SettledRule(bar))


def settling_bar(changes: Tensor, distances: Tensor, tolerance: float) -> float:
    """The largest change that may let samples go.

    Args:
        changes: of every sample at every look, shape (N, K).
        distances: of its output then from the last one, shape (N, K); who never leaves has the last one itself.
        tolerance: most that the distances of all samples may be on average.

    Returns:
        One of the changes; -1, with which nobody leaves, where none will do.
    """
    stayed = torch.zeros(len(changes), 1)
    for bar in changes.unique().flip(0).tolist():
        gone = torch.cat([changes <= bar, torch.ones(len(changes), 1, dtype=torch.bool)], 1)
        left = gone.int().argmax(1, keepdim=True)  # The first look with a change so small.
        if float(torch.cat([distances, stayed], 1).gather(1, left).mean()) <= tolerance:
            return float(bar)
    return -1.0


def _table(batches: list[list[Tensor]]) -> Tensor:
    """Batches of looks as one tensor (N, K) on the CPU."""
    rows = [torch.stack(looks, 1).cpu() if looks else torch.zeros(0, 0) for looks in batches]
    return torch.cat(rows)
