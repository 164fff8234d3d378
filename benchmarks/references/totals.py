"""Mean operations of a network for one sample, as records hold them and price lists read them."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from conversion.counting.operations import AnalogOperations, SpikeOperations
from conversion.counting.prices import Coding


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
