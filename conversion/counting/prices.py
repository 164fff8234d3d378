"""Price lists: from counts of operations to joules (docs/energy.md).

A simulation counts; a price list says what one operation costs. The list decides who wins as much as the method
does, so every table names its list, and shows a burst priced as n spikes (unary) beside one event (graded). Where
spikes have several amplitudes, unary prices each as one, smallest as so many of the layer's smallest amplitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from conversion.errors import UnknownName

Coding = Literal["unary", "smallest", "binary", "graded"]


class Operations(Protocol):
    """Mean operations of a network for one sample, over all its steps."""

    @property
    def steps(self) -> float: ...

    @property
    def macs(self) -> float: ...

    @property
    def macs_once(self) -> float: ...

    @property
    def flops(self) -> float: ...

    @property
    def neuron_updates(self) -> float: ...

    def synops(self, coding: Coding) -> float: ...


@dataclass(frozen=True)
class PriceList:
    """Picojoules per operation.

    Attributes:
        mac: price of an analog multiplication and addition.
        synop: price of adding one weight to one potential.
        update: price of updating one neuron in one step.
        analog_every_step: whether multiplications of a constant input are charged at every step instead of once.
        source: source of the figures.
    """

    mac: float
    synop: float
    update: float
    analog_every_step: bool
    source: str

    @property
    def flop(self) -> float:
        """The price of a floating-point operation of a nonlinear node: half of a MAC's, which is two operations."""
        return self.mac / 2

    def millijoules(self, operations: Operations, coding: Coding) -> float:
        """Energy of one sample in mJ."""
        macs = operations.macs
        if self.analog_every_step:
            macs += (operations.steps - 1) * operations.macs_once
        spiking = self.synop * operations.synops(coding) + self.update * operations.neuron_updates
        return 1e-9 * (self.mac * macs + spiking + self.flop * operations.flops)


# Lemaire et al., "An Analytical Estimation of Spiking Neural Networks Energy Efficiency" (ICONIP 2022): 20 pJ to reach
# a 64-bit word in 32 kB of SRAM, so 10 pJ for one of 32 bits.
_WORD = 10.0

PRICES: dict[str, PriceList] = {
    "horowitz45": PriceList(
        4.6, 0.9, 0.0, False,
        "45 nm, 32-bit floating point: 4.6 pJ per MAC, 0.9 pJ per addition (Horowitz, ISSCC 2014); memory is free",
    ),
    "released": PriceList(
        4.6, 0.9, 0.0, True,
        "the estimator released with the Adaptive Calibration paper: the same, but the first layer is multiplied again "
        "at every step. It counts one addition per non-zero value: read its graded column. It leaves shortcuts and "
        "the final layer out, which are counted here",
    ),
    "lemaire32k": PriceList(
        4.6 + 2 * _WORD, 0.9 + 3 * _WORD, 0.9 + 2 * _WORD, False,
        "horowitz45 with every operand in 32 kB of SRAM (Lemaire et al., ICONIP 2022): a MAC reads an input and a "
        "weight, a synaptic operation reads a weight and reads and writes a potential, an update reads and writes one",
    ),
}  # fmt: skip


def price_list(name: str) -> PriceList:
    """The price list of a name; raises UnknownName where there is none."""
    if name not in PRICES:
        raise UnknownName("price list", name, PRICES)
    return PRICES[name]
