"""Energy as a target: the weight of energy and the exit with which a network errs least within a share of the ANN's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from conversion.calibration.statistics import Calibration
from conversion.counting.operations import MACS_PER_FLOP, MACS_PER_SYNOP
from conversion.errors import InvalidInput
from conversion.simulation.exit_rules import ExitRule, exit_steps, relative_change
from conversion.simulation.frames import mean_input, split_batches
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.simulate import simulate
from conversion.stages.codes import CodedNeurons
from conversion.stages.early_exit import ConfidentExit, answers_classes

# Factors of the stage's own weight, and probabilities of an exit, that are tried.
FACTORS = tuple(2.0 ** (power / 2) for power in range(-8, 5))
PROBABILITIES = (0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
# The weight that factors are of, for a stage that weighs none.
USUAL = 0.005


class Trial(NamedTuple):
    """What a weight of energy and an exit come to.

    Attributes:
        error: mean distance of the outputs from the ANN's, relative to these.
        share: energy as a share of the ANN's.
        factor: the weight, as a factor.
        exit: the exit, None for none.
    """

    error: float
    share: float
    factor: float
    exit: ConfidentExit | None


@dataclass(frozen=True)
class AtEnergy:
    """Puts coded neurons, and the exit, that err least within a share of the ANN's energy.

    A larger weight of energy makes every step cheaper, and an earlier exit makes fewer of them; each without the other
    spoils the answers before it saves much. Both are tried on calibration samples, one simulation for each weight, and
    measured on held-out samples where there are any. The whole conversion and other samples take about as much energy,
    and not exactly. An addition costs 0.9 / 4.6 of a multiplication.

    Attributes:
        neurons: the stage whose weight is sought.
        exit: an exit, None for none; its probability is sought, too, where outputs are classes.
        target: the share.
        samples: samples that the search fits to and, as many others, measures on.
    """

    neurons: CodedNeurons
    exit: ConfidentExit | None
    target: float
    samples: int = 128

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        part = Calibration(network.graph, calibration.inputs[: self.samples], calibration.held_out, calibration.seed)
        others = calibration.inputs if calibration.held_out is None else calibration.held_out[0]
        unseen = Calibration(network.graph, others[: self.samples])
        exits = [self.exit]
        if self.exit is not None and answers_classes(calibration):
            exits = [replace(self.exit, probability=probability) for probability in PROBABILITIES]
        tried: list[Trial] = []
        for factor in FACTORS:
            converted = self._weighted(factor)(network, part)
            rules = [None if leave is None else leave(converted, part).exit for leave in exits]
            measured = measure_exits(converted, unseen, rules)
            tried += [Trial(*found, factor, leave) for found, leave in zip(measured, exits, strict=True)]
        within = [trial for trial in tried if trial.share <= self.target]
        if not within:
            least = min(trial.share for trial in tried)
            raise InvalidInput(
                f"The target of energy is {self.target:.3f} of the ANN's, and this code takes {least:.3f} of it on "
                "this network at the least, with operations on analog values; give at least that."
            )
        best = min(within, key=lambda trial: trial.error)
        converted = self._weighted(best.factor)(network, calibration)
        return converted if best.exit is None else best.exit(converted, calibration)

    def _weighted(self, factor: float) -> CodedNeurons:
        return replace(self.neurons, energy=(self.neurons.energy or USUAL) * factor)


def measure(network: SpikingNetwork, calibration: Calibration) -> tuple[float, float]:
    """Distance of a network's outputs from the ANN's, relative to these, and its energy as a share of the ANN's."""
    return measure_exits(replace(network, exit=None), calibration, [network.exit])[0]


def measure_exits(
    network: SpikingNetwork, calibration: Calibration, rules: Sequence[ExitRule | None]
) -> list[tuple[float, float]]:
    """Error and energy of a network, as of `measure`, with each of several exit rules, from one simulation without."""
    ann = replace(network, neurons={}, weights={}).connectivity.analog_operations(constant_input=True)
    whole = ann.macs_in(1) + MACS_PER_FLOP * ann.flops_in(1)
    found: list[list[Tensor]] = [[] for _ in rules]
    for batch in split_batches(calibration.inputs, calibration.pass_batch):
        readout = simulate(network, batch)
        counts, steps = readout.counts, sorted(readout.outputs)
        assert counts is not None  # Asked for by default.
        wanted = network.graph.run(network.graph.cast(mean_input(batch)))
        errors = torch.stack([relative_change(wanted, readout.mean(t)).cpu().double() for t in steps])
        spent = [
            counts.macs(t) + MACS_PER_FLOP * counts.flops(t) + MACS_PER_SYNOP * counts.total("synops_unary", t)
            for t in steps
        ]
        by_step = torch.stack([errors, torch.stack(spent) / whole])
        for rule, figures in zip(rules, found, strict=True):
            last = exit_steps(rule, readout.outputs).cpu() - 1 if rule is not None else torch.full((len(batch),), -1)
            figures.append(by_step[:, last, torch.arange(len(last))])
    return [tuple(torch.cat(figures, 1).mean(1).tolist()) for figures in found]
