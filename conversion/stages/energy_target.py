"""Energy as a target: the weight of energy and the exit with which a network errs least within a share of the ANN's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from conversion.calibration.sensitivity import symmetric_kl
from conversion.calibration.statistics import Calibration
from conversion.counting.counts import Counts
from conversion.counting.operations import MACS_PER_FLOP, MACS_PER_SYNOP
from conversion.errors import InvalidInput
from conversion.simulation.compiling import worth_compiling
from conversion.simulation.exit_rules import ExitRule, exit_steps, relative_change
from conversion.simulation.frames import mean_input, split_batches
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.simulate import simulate
from conversion.stages.base import neurons_of
from conversion.stages.codes import SAVES, CodedNeurons
from conversion.stages.early_exit import ConfidentExit, answers_classes
from conversion.stages.tuning import TEMPERATURE

# Factors of the stage's own weight that are tried, by how much closer ones differ from the best, and probabilities of
# an exit.
FACTORS, CLOSER = tuple(2.0**power for power in range(-4, 9, 2)), (2.0, 2.0**0.5)
PROBABILITIES = (0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
# The weight that factors are of, for a stage that weighs none.
USUAL = 0.005


class Trial(NamedTuple):
    """What a weight of energy and an exit come to.

    Attributes:
        error: mean distance of the outputs from the ANN's: of classes that of `distance_of_classes`, of other outputs
            relative to these.
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
        samples: samples that the search fits to.
        unseen: other samples that it measures on; the same ones where none are held out.
    """

    neurons: CodedNeurons
    exit: ConfidentExit | None
    target: float
    samples: int = 128
    unseen: int = 512

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        known = self._known(network, calibration)
        # One for all trials, since it holds statistics of the ANN.
        part = Calibration(network.graph, calibration.inputs[: self.samples], calibration.held_out, calibration.seed)
        others = calibration.inputs if calibration.held_out is None else calibration.held_out[0]
        unseen = Calibration(network.graph, others[: self.unseen])
        for factor in FACTORS:
            self._try(factor, known, network, part, unseen)
        for ratio in CLOSER:
            best = self._best(known)
            for factor in (best.factor / ratio, best.factor * ratio):
                self._try(factor, known, network, part, unseen)
        best = self._best(known)
        if best.share > self.target:
            raise InvalidInput(
                f"The target of energy is {self.target:.3f} of the ANN's, and this code takes {best.share:.3f} of it "
                "on this network at the least, with operations on analog values; give at least that."
            )
        converted = self._weighted(best.factor)(network, calibration)
        return converted if best.exit is None else best.exit(converted, calibration)

    def _known(self, network: SpikingNetwork, calibration: Calibration) -> dict[float, list[Trial]]:
        """Trials by their factors; of other targets, too, where nothing has changed the network before."""
        if network.neurons or network.weights:
            return {}
        known: dict[float, list[Trial]] = calibration.findings.setdefault((replace(self, target=0.0), network.T), {})
        return known

    def _best(self, known: dict[float, list[Trial]]) -> Trial:
        """The one that errs least within the target, or the cheapest if there is none."""
        trials = [trial for factor in sorted(known) for trial in known[factor]]
        within = [trial for trial in trials if trial.share <= self.target]
        if not within:
            return min(trials, key=lambda trial: trial.share)
        return min(within, key=lambda trial: trial.error)

    def _try(
        self, factor: float, known: dict[float, list[Trial]], network: SpikingNetwork, part: Calibration,
        unseen: Calibration,
    ) -> None:  # fmt: skip
        """Adds the trials of a factor, one for each probability of an exit, if they are not known."""
        if factor in known:
            return
        classes, exits = answers_classes(part), [self.exit]
        if self.exit is not None and classes:
            exits = [replace(self.exit, probability=probability) for probability in PROBABILITIES]
        converted = self._weighted(factor)(network, part)
        rules = [None if leave is None else leave(converted, part).exit for leave in exits]
        measured = measure_exits(converted, unseen, rules, distance_of_classes if classes else relative_change)
        known[factor] = [Trial(*found, factor, leave) for found, leave in zip(measured, exits, strict=True)]

    def _weighted(self, factor: float) -> CodedNeurons:
        return replace(self.neurons, energy=(self.neurons.energy or USUAL) * factor)


def distance_of_classes(wanted: Any, output: Any) -> Tensor:
    """16 times the symmetric divergence of probabilities at temperature 4, for each sample: float64 of shape (N,).

    At temperature 1 a mean over some hundred samples is that of the few whose class is another.
    """
    return TEMPERATURE**2 * symmetric_kl(wanted / TEMPERATURE, output / TEMPERATURE)


def measure(network: SpikingNetwork, calibration: Calibration) -> tuple[float, float]:
    """Distance of a network's outputs from the ANN's, relative to these, and its energy as a share of the ANN's."""
    return measure_exits(replace(network, exit=None), calibration, [network.exit])[0]


def measure_exits(
    network: SpikingNetwork, calibration: Calibration, rules: Sequence[ExitRule | None],
    distance: Callable[[Any, Any], Tensor] = relative_change,
) -> list[tuple[float, float]]:  # fmt: skip
    """Error and energy of a network with each of several exit rules, from one simulation without.

    Args:
        network: the network, without an exit.
        calibration: samples.
        rules: the exits, None for none.
        distance: of every sample's output from the ANN's, which is its first argument.
    """
    updates = len(calibration.inputs) * network.T * neurons_of(network.graph)
    fast = worth_compiling((SAVES if network.holds else 1) * updates, network.graph.example.device)
    whole = energy_of_ann(network)
    found: list[list[Tensor]] = [[] for _ in rules]
    for batch in split_batches(calibration.inputs, calibration.pass_batch):
        readout = simulate(network, batch, fast=fast)
        counts, steps = readout.counts, sorted(readout.outputs)
        assert counts is not None  # Asked for by default.
        wanted = network.graph.run(network.graph.cast(mean_input(batch)))
        errors = torch.stack([distance(wanted, readout.mean(t)).cpu().double() for t in steps])
        by_step = torch.stack([errors, torch.stack([energy_up_to(t, counts) for t in steps]) / whole])
        for rule, figures in zip(rules, found, strict=True):
            last = exit_steps(rule, readout.outputs).cpu() - 1 if rule is not None else torch.full((len(batch),), -1)
            figures.append(by_step[:, last, torch.arange(len(last))])
    return [tuple(torch.cat(figures, 1).mean(1).tolist()) for figures in found]


def energy_of_ann(network: SpikingNetwork) -> float:
    """The energy that the ANN takes for a sample, in multiplications."""
    ann = replace(network, neurons={}, weights={}).connectivity.analog_operations(constant_input=True)
    return ann.macs_in(1) + MACS_PER_FLOP * ann.flops_in(1)


def energy_up_to(t: int, counts: Counts) -> Tensor:
    """What every sample takes up to step t, in multiplications; one accumulation for each spike and connection.

    Float64 of shape (N,). An addition costs 0.9 / 4.6 of a multiplication.
    """
    return counts.macs(t) + MACS_PER_FLOP * counts.flops(t) + MACS_PER_SYNOP * counts.total("synops_unary", t)
