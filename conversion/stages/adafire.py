"""AdaFire: a search for the most spikes per step of each layer (section 3.1 of the paper)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Literal

from torch import fx

from conversion.calibration.frontier import Allocation, allocate, round_up, smallest_budget
from conversion.calibration.sensitivity import Effect, Energy, Sensitivity, measure_sensitivity
from conversion.calibration.statistics import Calibration
from conversion.errors import InvalidInput
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron
from conversion.stages.base import require_activations
from conversion.stages.bias import BiasCorrection
from conversion.stages.thresholds import Thresholds

Form = Literal["released", "corrected"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdaFireResult:
    """The result of AdaFire's search.

    Attributes:
        phi: most spikes per step of every layer, in execution order.
        table: sensitivity and energy of the candidates phi_min, phi_min + 1, ..., phi_init of every layer.
        budget: upper bound of the sum of energies.
        allocation: the chosen point, with the sums of E (cost) and S (loss) over layers. Thresholds are set again for
            the phi found, so the energy of the network differs.
    """

    phi: tuple[int, ...]
    table: Sensitivity
    budget: float
    allocation: Allocation


@dataclass(frozen=True)
class AdaFire:
    """Puts burst neurons in the place of every activation, each layer with the phi that the frontier gives it.

        minimise  sum_i S_i(phi_i)   subject to  sum_i E_i(phi_i) <= budget * sum_i E_i(phi)

    The released form measures S and E with all layers at phi_init and the thresholds that fit it, and counts spikes.
    The corrected form measures them around the network that is the unit of the budget (all layers at phi, biases
    corrected), each candidate with thresholds of its own, and counts synaptic operations.

    Attributes:
        thresholds: rule and kind of the neurons; its phi is not used.
        phi: the energy of a network with this phi in every layer is the unit of the budget.
        phi_init: largest candidate.
        phi_min: smallest candidate.
        budget: share of that energy.
        form: see above.
        samples: number of calibration samples that the search uses, from the first.
        effect: how the divergence of a candidate is found, see `measure_sensitivity`.
    """

    thresholds: Thresholds
    phi: int = 4
    phi_init: int = 8
    phi_min: int = 1
    budget: float = 1.0
    form: Form = "released"
    samples: int = 128
    effect: Effect = "simulated"

    def __post_init__(self) -> None:
        if not 1 <= self.phi_min <= self.phi <= self.phi_init:
            raise InvalidInput(
                f"AdaFire searches phi from {self.phi_min} to {self.phi_init} for the energy of phi = {self.phi}; "
                "give 1 <= phi_min <= phi <= phi_init."
            )
        if not self.budget > 0:
            raise InvalidInput(f"AdaFire's budget is {self.budget} of the energy of uniform phi; give more than 0.")
        if self.samples < 1:
            raise InvalidInput(f"AdaFire searches on {self.samples} samples; give at least 1.")

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        return replace(self.thresholds, phi=self.search(network, calibration).phi)(network, calibration)

    def search(self, network: SpikingNetwork, calibration: Calibration) -> AdaFireResult:
        """Measures the tables and finds the allocation that the stage applies.

        Raises:
            InvalidInput: the budget is below what phi_min needs; the message names the smallest feasible one.
        """
        require_activations(network.graph, calibration)
        phis = range(self.phi_min, self.phi_init + 1)
        if self.form == "released":
            base = replace(self.thresholds, phi=self.phi_init)(network, calibration)
            candidates = {node: [_with_phi(neuron, phi) for phi in phis] for node, neuron in base.neurons.items()}
        else:
            base = BiasCorrection()(replace(self.thresholds, phi=self.phi)(network, calibration), calibration)
            candidates = self._recalibrated(base, phis, calibration)
        inputs = calibration.inputs[: self.samples]
        energy: Energy = "spikes" if self.form == "released" else "synops_unary"
        table = measure_sensitivity(base, inputs, candidates, energy, self.effect)
        uniform = sum(row[phis.index(self.phi)] for row in table.energy)
        smallest = smallest_budget(table.energy)
        if self.budget * uniform < smallest:
            needed = round_up(smallest / uniform)
            raise InvalidInput(
                f"AdaFire's budget is {self.budget:g} of the energy of phi = {self.phi}, and no allocation of phi "
                f"between {self.phi_min} and {self.phi_init} needs less than {needed:g} of it; give a larger budget or "
                "a smaller phi_min."
            )
        allocation = allocate(table.energy, table.divergence, self.budget * uniform)
        found = AdaFireResult(
            tuple(phis[index] for index in allocation.choice), table, self.budget * uniform, allocation
        )
        logger.info("phi %s, predicted energy %.4g of %.4g", found.phi, allocation.cost, found.budget)
        return found

    def _recalibrated(self, base: SpikingNetwork, phis: range, calibration: Calibration) -> dict[fx.Node, list[Neuron]]:
        """Candidates with thresholds for their own phi, and the biases of the base network."""
        calibrated = [replace(self.thresholds, phi=phi)(base, calibration).neurons for phi in phis]
        return {
            node: [
                neuron if phi == self.phi else replace(other[node], bias=neuron.bias)
                for phi, other in zip(phis, calibrated, strict=True)
            ]
            for node, neuron in base.neurons.items()
        }


def _with_phi(neuron: Neuron, phi: int) -> Neuron:
    return neuron if phi == neuron.phi else replace(neuron, phi=phi)
