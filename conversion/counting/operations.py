"""What the simulator counts; it knows no joules (benchmarks/references/prices.py does)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from conversion.counting.fanout import Connectivity

KINDS = ("spikes", "digits", "events", "synops_unary", "synops_binary", "synops_graded")


@dataclass(frozen=True, eq=False)
class Counts:
    """Spikes and operations of one simulation.

    A burst of n spikes is n spikes, as many binary digits as n has ones, and one event. Each also times its fan-out
    gives the synaptic operations when it is sent as n spikes (unary), in binary, or as one graded event.

    Attributes:
        layers: names of the layers of neurons; before them "input", where it is made of events.
        tally: cumulated to step t = 1..T, shape (layers, T, N, 6), the last axis in the order of KINDS; float64.
        neurons: neurons per layer, each updated once a step; none in the input.
        fan_out: connections per layer, all its neurons together.
        macs_once: multiplications by analog values per sample that are needed once since the input is constant.
        macs_step: those that are needed at every step.
        macs_head: those behind the last neurons, needed once in any case.
        flops_once, flops_step: floating-point operations of nonlinear nodes, told apart the same way.
        steps: how many steps each sample took, shape (N,), float64; fewer than T where it left early.
    """

    layers: tuple[str, ...]
    tally: Tensor
    neurons: tuple[int, ...]
    fan_out: tuple[int, ...]
    macs_once: int
    macs_step: int
    macs_head: int
    flops_once: int
    flops_step: int
    steps: Tensor

    def total(self, kind: str, t: int) -> Tensor:
        """Sum over layers and steps 1..t of one of KINDS, for each sample: shape (N,)."""
        return self.tally[:, t - 1, :, KINDS.index(kind)].sum(0)

    def macs(self, t: int) -> Tensor:
        """Analog multiplications in steps 1..t, for each sample: shape (N,), float64."""
        return self.macs_once + self.macs_head + self.steps.clamp(max=t) * self.macs_step

    def flops(self, t: int) -> Tensor:
        """Floating-point operations of nonlinear nodes in steps 1..t, for each sample: shape (N,), float64."""
        return self.flops_once + self.steps.clamp(max=t) * self.flops_step

    @classmethod
    def of(
        cls, connectivity: Connectivity, tallies: Mapping[fx.Node, Sequence[Tensor]], steps: Tensor, T: int, *,
        constant_input: bool,
    ) -> Counts:  # fmt: skip
        """Puts together the tallies of every step, by layer; there may be no layer.

        A tally has shape (6, n), for the n samples that took its step: samples leave for good.
        """
        tally = torch.zeros(len(tallies), T, len(steps), len(KINDS), dtype=torch.float64)
        for layer, taken in zip(tally, tallies.values(), strict=True):
            for t, fired in enumerate(taken):
                layer[t, steps.cpu() > t] = fired.T.cpu()
        tally = tally.cumsum(1)
        # What is computed before the first neurons is the same at every step, if the input is.
        every = 0 if constant_input else 1
        once = 1 - every
        return cls(
            layers=tuple("input" if node.op == "placeholder" else node.name for node in tallies),
            tally=tally,
            neurons=tuple(0 if node.op == "placeholder" else connectivity.fan_out[node].numel() for node in tallies),
            fan_out=tuple(round(float(connectivity.fan_out[node].sum())) for node in tallies),
            macs_once=once * connectivity.macs_static,
            macs_step=connectivity.macs_step + every * connectivity.macs_static,
            macs_head=connectivity.macs_head,
            flops_once=connectivity.flops_head + once * connectivity.flops_static,
            flops_step=connectivity.flops_step + every * connectivity.flops_static,
            steps=steps.cpu().double(),
        )
