"""What the simulator counts; it knows no joules (benchmarks/prices.py does)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from conversion.fanout import Connectivity

KINDS = ("spikes", "digits", "events", "synops_unary", "synops_binary", "synops_graded")


@dataclass(frozen=True, eq=False)
class Counts:
    """Spikes and operations of one simulation.

    A burst of n spikes is n spikes, as many binary digits as n has ones, and one event. Each also times its fan-out
    gives the synaptic operations when it is sent as n spikes (unary), in binary, or as one graded event.

    Attributes:
        layers: names of the layers of neurons.
        tally: cumulated to step t = 1..T, shape (layers, T, N, 6), the last axis in the order of KINDS; float64.
        neurons: neurons per layer, each updated once a step.
        fan_out: connections per layer, all its neurons together.
        macs_once: multiplications by analog values per sample that are needed once.
        macs_step: those that are needed at every step.
    """

    layers: tuple[str, ...]
    tally: Tensor
    neurons: tuple[int, ...]
    fan_out: tuple[int, ...]
    macs_once: int
    macs_step: int

    def total(self, kind: str, t: int) -> Tensor:
        """Sum over layers and steps 1..t of one of KINDS, for each sample: shape (N,)."""
        return self.tally[:, t - 1, :, KINDS.index(kind)].sum(0)

    def macs(self, t: int) -> int:
        """Analog multiplications per sample in t steps."""
        return self.macs_once + t * self.macs_step

    @classmethod
    def of(
        cls, connectivity: Connectivity, tallies: Mapping[fx.Node, Sequence[Tensor]], T: int, samples: int, *,
        constant_input: bool,
    ) -> Counts:  # fmt: skip
        """Puts together the tallies of every step, each of shape (6, N), by layer; there may be no layer."""
        tally = torch.zeros(len(tallies), T, samples, len(KINDS), dtype=torch.float64)
        for layer, steps in zip(tally, tallies.values(), strict=True):
            layer.copy_(torch.stack(list(steps)).cumsum(0).transpose(1, 2))
        static, step = connectivity.macs_static, connectivity.macs_step
        return cls(
            layers=tuple(node.name for node in tallies),
            tally=tally,
            neurons=tuple(connectivity.fan_out[node].numel() for node in tallies),
            fan_out=tuple(round(float(connectivity.fan_out[node].sum())) for node in tallies),
            macs_once=static if constant_input else 0,
            macs_step=step if constant_input else step + static,
        )
