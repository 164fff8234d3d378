"""The energy of a converted network beside that of its ANN, measured on some inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from conversion.calibration.inputs import input_batches
from conversion.counting import prices
from conversion.counting.counts import Counts
from conversion.counting.prices import Coding, PriceList
from conversion.errors import InvalidInput
from conversion.simulation.frames import NetworkInput, mean_input, split_batches
from conversion.simulation.network import SpikingNetwork, require_spiking
from conversion.simulation.simulate import simulate

BATCH = 64
CODINGS: tuple[Coding, ...] = ("unary", "smallest", "binary", "graded")


@dataclass(frozen=True)
class MeanOperations:
    """Mean operations of a network for one sample, from the counts of some batches.

    Attributes:
        batches: the counts of each batch.
        T: number of steps.
    """

    batches: Sequence[Counts]
    T: int

    @property
    def steps(self) -> float:
        return self._mean([counts.steps for counts in self.batches])

    @property
    def macs(self) -> float:
        """Analog multiplications."""
        return self._mean([counts.macs(self.T) for counts in self.batches])

    @property
    def macs_once(self) -> float:
        """Those that are needed once since the input is constant."""
        return self.batches[0].analog.macs_once

    @property
    def flops(self) -> float:
        """Floating-point operations of nonlinear nodes."""
        return self._mean([counts.flops(self.T) for counts in self.batches])

    @property
    def neuron_updates(self) -> float:
        return self._mean([counts.updates(self.T) for counts in self.batches])

    def synops(self, coding: Coding) -> float:
        return self._mean([counts.total(f"synops_{coding}", self.T) for counts in self.batches])

    @staticmethod
    def _mean(parts: list[Tensor]) -> float:
        return float(torch.cat(parts).mean())


def energy(network: SpikingNetwork, inputs: Any, price_list: str = "horowitz45") -> pd.DataFrame:
    """Simulates a converted network and its ANN, and prices what they compute.

    Args:
        network: the converted network.
        inputs: a batch of shape (N, ...), several, or a loader of inputs with or without labels.
        price_list: its name (`conversion.counting.prices.PRICES`).

    Returns:
        One row for the ANN and one for each way to send a spike: "unary", a burst of n as n spikes, is the convention
        of the field; "smallest" as spikes of the layer's smallest amplitude; "binary" as the digits of n; "graded" as
        one event. The columns: accumulations, MACs and neuron updates of one sample, steps, its energy in mJ, and its
        share of the ANN's.

    Raises:
        UnknownName: there is no such price list.
        InvalidInput: there is no sample.
    """
    require_spiking(network)
    by = prices.price_list(price_list)
    batches = [part for batch in input_batches(inputs) for part in split_batches(batch, BATCH)]
    if not batches:
        raise InvalidInput("There is no sample to measure energy on; give at least one batch of inputs.")
    ann = _measure(SpikingNetwork(network.graph, 1), [mean_input(batch) for batch in batches])
    spiking = _measure(network, batches)
    whole = by.millijoules(ann, "unary")
    rows = {"ANN": _row(ann, by, "unary", whole)}
    rows |= {f"SNN, {coding}": _row(spiking, by, coding, whole) for coding in CODINGS}
    return pd.DataFrame.from_dict(rows, orient="index")


def _measure(network: SpikingNetwork, batches: Sequence[NetworkInput]) -> MeanOperations:
    counts = [simulate(network, batch, at=[network.T]).counts for batch in batches]
    return MeanOperations([part for part in counts if part is not None], network.T)


def _row(found: MeanOperations, by: PriceList, coding: Coding, whole: float) -> dict[str, float]:
    millijoules = by.millijoules(found, coding)
    return {
        "accumulations": found.synops(coding),
        "MACs": found.macs,
        "updates": found.neuron_updates,
        "steps": found.steps,
        "mJ": millijoules,
        "share": millijoules / whole,
    }
