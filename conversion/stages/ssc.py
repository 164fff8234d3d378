"""SSC, sensitivity spike compression: larger thresholds where they cost little (section 3.2 of the paper)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Literal

from conversion.calibration.frontier import Allocation, allocate, round_up, smallest_budget
from conversion.calibration.interpolation import interpolated
from conversion.calibration.sensitivity import Energy, Sensitivity, measure_sensitivity
from conversion.calibration.statistics import Calibration
from conversion.errors import InvalidInput
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron
from conversion.stages.base import require_rates, require_same_graph

RATIOS = tuple(1 + 0.5 * index for index in range(19))
# About evenly spaced by their logarithm: most layers end at a ratio below 4, where the curves bend.
FEW_RATIOS = (1.0, 2.0, 3.5, 6.0, 10.0)

Grid = Literal["every", "few"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SSCResult:
    """The result of SSC's search.

    Attributes:
        rho: threshold ratio of every layer, in execution order.
        table: divergence and energy of the candidates RATIOS of every layer, measured or interpolated.
        budget: upper bound of the sum of increases of the divergence.
        allocation: the chosen point, with the sums of S - S_0 (cost) and E (loss) over layers.
    """

    rho: tuple[float, ...]
    table: Sensitivity
    budget: float
    allocation: Allocation


@dataclass(frozen=True)
class SSC:
    """Multiplies every layer's threshold by a ratio rho from 1 to 10, chosen on the Pareto frontier.

        minimise  sum_i E_i(rho_i)   subject to  sum_i [S_i(rho_i) - S_0] <= (budget - 1) L S_0

    S_0 is the divergence of the network as it is and L its number of layers: a budget of 1 keeps the predicted
    divergence, and less than 1 demands that it falls. Amplitude of a spike, initial potential and shift follow the
    threshold; a larger one is coarser, saturates later and fires about 1 / rho as often.

    Attributes:
        budget: see above.
        energy: the count of a layer's spikes, one of `conversion.counting.operations.KINDS`.
        samples: number of calibration samples that the search uses, from the first.
        grid: whether every ratio is measured, or the few of FEW_RATIOS, between which the tables are interpolated.
    """

    budget: float = 1.0
    energy: Energy = "spikes"
    samples: int = 128
    grid: Grid = "every"

    def __post_init__(self) -> None:
        if not self.budget >= 0:
            raise InvalidInput(f"SSC's budget is {self.budget}; give a ratio of divergences, 0 or more (1 keeps it).")
        if self.samples < 1:
            raise InvalidInput(f"SSC searches on {self.samples} samples; give at least 1.")

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        found = self.search(network, calibration)
        layers = zip(network.neurons.items(), found.rho, strict=True)
        return network.with_neurons({node: scaled(neuron, rho) for (node, neuron), rho in layers})

    def search(self, network: SpikingNetwork, calibration: Calibration) -> SSCResult:
        """Measures the tables and finds the allocation that the stage applies.

        Raises:
            InvalidInput: the network has no neurons; or no thresholds are within the budget, and the message names
                the smallest feasible one.
        """
        require_rates(network, "SSC")
        require_same_graph(network.graph, calibration)
        measured = RATIOS if self.grid == "every" else FEW_RATIOS
        candidates = {node: [scaled(neuron, rho) for rho in measured] for node, neuron in network.neurons.items()}
        table = measure_sensitivity(network, calibration.inputs[: self.samples], candidates, self.energy)
        if self.grid == "few":
            table = interpolated(table, measured, RATIOS)
        increase = [[entry - table.base for entry in row] for row in table.divergence]
        unit = len(increase) * table.base
        budget = (self.budget - 1) * unit
        smallest = smallest_budget(increase)
        if smallest > budget:
            raise InvalidInput(
                f"SSC's budget is {self.budget:g} of the divergence, and no thresholds reach less than "
                f"{round_up(1 + smallest / unit):g} of it; give at least that."
            )
        allocation = allocate(increase, table.energy, budget)
        found = SSCResult(tuple(RATIOS[index] for index in allocation.choice), table, budget, allocation)
        logger.info("rho %s, predicted energy %.4g", found.rho, allocation.loss)
        return found


def scaled(neuron: Neuron, rho: float) -> Neuron:
    """A neuron with its threshold times rho; the same object when rho is 1."""
    return neuron if rho == 1 else replace(neuron, threshold=neuron.threshold * rho, rho=neuron.rho * rho)
