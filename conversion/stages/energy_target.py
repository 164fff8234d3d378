"""Energy as a target: the weight of energy with which a network errs least within a share of the ANN's energy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from conversion.calibration.statistics import Calibration
from conversion.counting.operations import MACS_PER_FLOP, MACS_PER_SYNOP
from conversion.errors import InvalidInput
from conversion.simulation.exit_rules import relative_change
from conversion.simulation.frames import mean_input, split_batches
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.simulate import simulate
from conversion.stages.codes import CodedNeurons
from conversion.stages.early_exit import ConfidentExit

# Factors of the stage's own weight that are tried first, each twice the one before; then halvings of one of the gaps.
FACTORS = tuple(2.0**power for power in range(-6, 5))
HALVINGS = 3
# The weight that factors are of, for a stage that weighs none.
USUAL = 0.005


class Trial(NamedTuple):
    """What a weight of energy comes to.

    Attributes:
        error: mean distance of the outputs from the ANN's, relative to these.
        share: energy as a share of the ANN's.
        factor: the weight, as a factor.
    """

    error: float
    share: float
    factor: float


@dataclass(frozen=True)
class AtEnergy:
    """Puts coded neurons with the weight of energy that errs least within a share of the ANN's energy, and the exit.

    Energy need not fall with its weight: where samples exit, an answer that is too coarse makes them stay. So weights
    over a wide range are tried, and then some between the best that keeps to the share and the next smaller one. Share
    and error are measured with the exit, on held-out samples where there are any. The whole conversion and other
    samples take about as much energy, and not exactly. An addition costs 0.9 / 4.6 of a multiplication.

    Attributes:
        neurons: the stage whose weight is sought.
        exit: the exit, None for none.
        target: the share.
        samples: samples that the search fits to and, as many others, measures on.
    """

    neurons: CodedNeurons
    exit: ConfidentExit | None
    target: float
    samples: int = 64

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        part = Calibration(network.graph, calibration.inputs[: self.samples], calibration.held_out, calibration.seed)
        others = calibration.inputs if calibration.held_out is None else calibration.held_out[0]
        unseen = Calibration(network.graph, others[: self.samples])

        def trial(factor: float) -> Trial:
            return Trial(*measure(self._converted(network, part, factor), unseen), factor)

        tried = [trial(factor) for factor in FACTORS]
        within = [each for each in tried if each.share <= self.target]
        if not within:
            least = min(each.share for each in tried)
            raise InvalidInput(
                f"The target of energy is {self.target:.3f} of the ANN's, and this code takes {least:.3f} of it on "
                "this network at the least, with operations on analog values; give at least that."
            )
        best, low = min(within), 0.5 * min(within).factor
        for _ in range(HALVINGS):
            middle = trial((low * best.factor) ** 0.5)
            if middle.share <= self.target and middle.error <= best.error:
                best = middle
            else:
                low = middle.factor
        return self._converted(network, calibration, best.factor)

    def _converted(self, network: SpikingNetwork, calibration: Calibration, factor: float) -> SpikingNetwork:
        weighted = replace(self.neurons, energy=(self.neurons.energy or USUAL) * factor)
        converted = weighted(network, calibration)
        return converted if self.exit is None else self.exit(converted, calibration)


def measure(network: SpikingNetwork, calibration: Calibration) -> tuple[float, float]:
    """Distance of a network's outputs from the ANN's, relative to these, and its energy as a share of the ANN's."""
    errors, shares = [], []
    ann = replace(network, neurons={}, weights={}, exit=None).connectivity.analog_operations(constant_input=True)
    whole = ann.macs_in(1) + MACS_PER_FLOP * ann.flops_in(1)
    for batch in split_batches(calibration.inputs, calibration.pass_batch):
        readout = simulate(network, batch, at=[network.T])
        counts, T = readout.counts, network.T
        assert counts is not None  # Asked for by default.
        spent = counts.macs(T) + MACS_PER_FLOP * counts.flops(T) + MACS_PER_SYNOP * counts.total("synops_unary", T)
        shares.append(spent / whole)
        wanted = network.graph.run(network.graph.cast(mean_input(batch)))
        errors.append(relative_change(wanted, readout.mean(T)).cpu())
    return float(torch.cat(errors).mean()), float(torch.cat(shares).mean())
