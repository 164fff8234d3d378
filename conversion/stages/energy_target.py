"""Energy as a target: the weight of energy with which a network takes a given share of the ANN's energy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from conversion.calibration.statistics import Calibration
from conversion.counting.operations import MACS_PER_FLOP, MACS_PER_SYNOP
from conversion.errors import InvalidInput
from conversion.simulation.frames import split_batches
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.simulate import simulate
from conversion.stages.codes import CodedNeurons
from conversion.stages.early_exit import ConfidentExit

# The weights that are tried lie within this factor of the stage's own; halvings of its logarithm.
RANGE, ROUNDS = 256.0, 7
# Where the search begins for a stage that does not weigh energy.
USUAL = 0.005
# Relative distance from the target that is near enough.
NEAR = 0.01


@dataclass(frozen=True)
class AtEnergy:
    """Puts coded neurons with the weight of energy that takes a given share of the ANN's energy, and the exit.

    The share is measured with the exit, on calibration samples that thresholds were not fitted to, where there are
    any: those held out. The weight is found by bisection on a part of the samples; the energy of the whole conversion,
    and that of other samples, is near the target and not equal to it. An addition costs 0.9 / 4.6 of a multiplication.

    Attributes:
        neurons: the stage whose weight is sought; its own is where the search begins.
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
        low, high = -math.log(RANGE), math.log(RANGE)
        found = 0.0
        for _ in range(ROUNDS):
            found = (low + high) / 2
            share = energy_share(self._converted(network, part, found), unseen)
            if abs(share / self.target - 1) < NEAR:
                break
            low, high = (found, high) if share > self.target else (low, found)
        if high == math.log(RANGE):
            least = energy_share(self._converted(network, part, high), unseen)
            if least > self.target:
                raise InvalidInput(
                    f"The target of energy is {self.target:.3f} of the ANN's, and this code takes {least:.3f} of it on "
                    "this network at the least, with operations on analog values; give at least that."
                )
        return self._converted(network, calibration, found)

    def _converted(self, network: SpikingNetwork, calibration: Calibration, logarithm: float) -> SpikingNetwork:
        weighted = replace(self.neurons, energy=(self.neurons.energy or USUAL) * math.exp(logarithm))
        converted = weighted(network, calibration)
        return converted if self.exit is None else self.exit(converted, calibration)


def energy_share(network: SpikingNetwork, calibration: Calibration) -> float:
    """Energy of a network on a calibration set as a share of the ANN's, with one accumulation for each spike."""
    shares = []
    ann = replace(network, neurons={}, weights={}, exit=None).connectivity.analog_operations(constant_input=True)
    whole = ann.macs_in(1) + MACS_PER_FLOP * ann.flops_in(1)
    for batch in split_batches(calibration.inputs, calibration.pass_batch):
        counts = simulate(network, batch).counts
        assert counts is not None  # Asked for by default.
        T = counts.tally.shape[1]
        spent = counts.macs(T) + MACS_PER_FLOP * counts.flops(T) + MACS_PER_SYNOP * counts.total("synops_unary", T)
        shares.append(spent / whole)
    return float(torch.cat(shares).mean())
