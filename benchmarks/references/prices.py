"""Price lists: from counts of operations to joules (docs/energy.md).

The simulator counts; a price list says what one operation costs. The list decides who wins as much as the method
does, so every table names its list, and shows a burst priced as n spikes (unary) beside one event (graded). Where
spikes have several amplitudes, unary prices each as one, smallest as so many of the layer's smallest amplitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import model_validator

from conversion.counting.operations import AnalogOperations, SpikeOperations

Coding = Literal["unary", "smallest", "binary", "graded"]


class Firing(SpikeOperations):
    """Mean counts for one sample, of one layer or of a network.

    Attributes:
        neurons: number of neurons.
    """

    neurons: int


class Totals(AnalogOperations, Firing):
    """Mean operations of a network for one sample.

    Attributes:
        steps: timesteps of the output; 1 for an ANN.
        neuron_updates: updates of neurons, each once in every step that it takes. Where neurons wait for their input,
            those before them are ahead of the output.
        payload_bits: bits that events carry besides their addresses; None in records from before they were counted.
        latency_first, latency_final: steps until the first and until the final answer. They are 1 and `steps` where
            no neuron waits.
    """

    steps: float
    neuron_updates: float
    payload_bits: float | None = None
    latency_first: float
    latency_final: float

    @model_validator(mode="before")
    @classmethod
    def _without_waiting(cls, content: Any) -> Any:
        """Records from before neurons could wait are of networks whose neurons do not."""
        if not isinstance(content, dict) or "neuron_updates" in content:
            return content
        steps, neurons = content.get("steps"), content.get("neurons")
        if not isinstance(steps, int | float) or not isinstance(neurons, int | float):
            return content  # Which is an error of its own.
        return content | {"neuron_updates": steps * neurons, "latency_first": 1, "latency_final": steps}

    @property
    def macs(self) -> float:
        """Analog multiplications in all."""
        return self.macs_in(self.steps)

    @property
    def flops(self) -> float:
        """Floating-point operations of nonlinear nodes in all."""
        return self.flops_in(self.steps)

    def synops(self, coding: Coding) -> float:
        return float(getattr(self, f"synops_{coding}"))


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

    def millijoules(self, totals: Totals, coding: Coding) -> float:
        """Energy of one sample in mJ."""
        macs = totals.macs
        if self.analog_every_step:
            macs += (totals.steps - 1) * totals.macs_once
        spiking = self.synop * totals.synops(coding) + self.update * totals.neuron_updates
        return 1e-9 * (self.mac * macs + spiking + self.flop * totals.flops)


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
