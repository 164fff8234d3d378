"""Early exit: IAT (section 3.3 of the paper), and rules of ours that need no labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from conversion.calibration.statistics import Calibration
from conversion.errors import InvalidInput
from conversion.simulation.exit_rules import (
    ConfidenceRule,
    SettledRule,
    Sign,
    entropy_rule,
    is_power_of_two,
    position_entropy,
    relative_change,
)
from conversion.simulation.frames import split_batches
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.simulate import simulate
from conversion.stages.base import require_neurons, require_rates


@dataclass(frozen=True)
class EarlyExit:
    """IAT: sets the confidence threshold of every step from the entropy of correct predictions on held-out samples.

    Attributes:
        base, scale, delta: those of alpha_t = base + scale exp(-(E_t - min E) / delta); the defaults are the paper's
            for CIFAR. It takes 0.995, 0.005 and 1 for ImageNet.
        sign: sign of the paper's entropy, see `entropy_rule`.
    """

    base: float = 0.6
    scale: float = 0.4
    delta: float = 1.0
    sign: Sign = "code"

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        require_rates(network, "IAT's exit, by the entropy of summed outputs,")
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

            # Outputs are observed step by step: those of all steps of a map would be larger than the network.
            simulate(replace(network, exit=None), batch, at=[network.T], count=False, observe=learn)
        # Where no prediction is right yet, the largest entropy.
        mean = torch.where(correct > 0, entropy / correct.clamp(min=1), 1.0)
        return replace(network, exit=entropy_rule(mean.tolist(), self.base, self.scale, self.delta, self.sign))


@dataclass(frozen=True)
class ConfidentExit:
    """Exit of samples whose class is likely enough, or, where the output is no classes, has settled (`SettledExit`).

    An output of shape (N, classes) is taken for classes, and any other where held-out samples have classes.

    Attributes:
        probability: lowest probability of the likeliest class with which a sample exits.
        tolerance: as in `SettledExit`.
    """

    probability: float = 0.99
    tolerance: float = 0.05

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        require_neurons(network, "Early exit")
        if not answers_classes(calibration):
            return SettledExit(self.tolerance)(network, calibration)
        return replace(network, exit=ConfidenceRule(self.probability))


def answers_classes(calibration: Calibration) -> bool:
    """Whether the outputs of the calibrated network are scores of classes, of a sample or at each position."""
    output = calibration.graph.run(calibration.graph.example)
    if not isinstance(output, Tensor) or output.dim() < 2 or output.shape[1] < 2:
        return False
    return output.dim() == 2 or calibration.held_out is not None


@dataclass(frozen=True)
class SettledExit:
    """Exit of samples whose output has settled; the calibration samples say which change is small enough.

    It is the largest with which the outputs at the exit are, on average, within `tolerance` of those after all T steps.

    Attributes:
        tolerance: mean over samples of |y_exit - y_T| / |y_T|.
    """

    tolerance: float = 0.05

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        require_neurons(network, "Early exit")
        decisions = [t for t in range(1, network.T) if is_power_of_two(t)]
        changes, distances = [], []
        for batch in split_batches(calibration.inputs, calibration.pass_batch):
            outputs = simulate(replace(network, exit=None), batch, at=[*decisions, network.T], count=False).outputs
            changes.append([relative_change(outputs[t], outputs[t // 2]) for t in decisions[1:]])
            distances.append([relative_change(outputs[network.T], outputs[t]) for t in decisions[1:]])
        max_change = largest_change(_table(changes), _table(distances), self.tolerance)
        return replace(network, exit=SettledRule(max_change))


def largest_change(changes: Tensor, distances: Tensor, tolerance: float) -> float:
    """The largest change with which samples may exit.

    Args:
        changes: change of the output of every sample at each of K decisions, shape (N, K).
        distances: distance of its output at that step from the last one, shape (N, K); without an exit it is zero.
        tolerance: largest mean over samples of the distance at the exit.

    Returns:
        One of the changes; -1, with which no sample exits, where all are too large.
    """
    at_T = torch.zeros(len(changes), 1)
    for largest in changes.unique().flip(0).tolist():
        exits = torch.cat([changes <= largest, torch.ones(len(changes), 1, dtype=torch.bool)], 1)
        first = exits.int().argmax(1, keepdim=True)
        if float(torch.cat([distances, at_T], 1).gather(1, first).mean()) <= tolerance:
            return float(largest)
    return -1.0


def _table(batches: list[list[Tensor]]) -> Tensor:
    """One tensor (N, K) on the CPU from K columns of each batch."""
    rows = [torch.stack(columns, 1).cpu() if columns else torch.zeros(0, 0) for columns in batches]
    return torch.cat(rows)
