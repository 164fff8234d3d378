"""Spikes and operations of one simulation, for every sample, layer and step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from conversion.arguments import whole_number
from conversion.counting.fanout import Connectivity
from conversion.counting.operations import KINDS, AnalogOperations
from conversion.errors import InvalidInput, UnknownName


@dataclass(frozen=True, eq=False)
class Counts:
    """Spikes and operations of one simulation.

    Attributes:
        layers: names of the layers of neurons; before them "input", where it is made of events.
        tally: cumulated to step t = 1..T of the output, shape (layers, T, N, 8), the last axis in the order of KINDS;
            float64. Layers whose readers wait are ahead of the output, and what they have sent by then is counted.
        neurons: neurons per layer, each updated once a step; none in the input.
        fan_out: connections per layer, all its neurons together.
        analog: operations on analog values, for one sample.
        steps: number of steps of each sample, shape (N,), float64; fewer than T where it left early.
        ahead: by layer, the number of steps that it is ahead of the output.
        payload_bits: by layer, bits of an event besides its address.
        delay: steps by which the output lags the input: its step t is at hand after t + delay steps.
        rehearsals: by layer, the number of steps that it tries before its first.
    """

    layers: tuple[str, ...]
    tally: Tensor
    neurons: tuple[int, ...]
    fan_out: tuple[int, ...]
    analog: AnalogOperations
    steps: Tensor
    ahead: tuple[int, ...]
    payload_bits: tuple[int, ...]
    delay: int
    rehearsals: tuple[int, ...]

    def updates(self, t: int) -> Tensor:
        """Updates of neurons in steps 1..t, for each sample: shape (N,), float64."""
        steps, T = self.steps.clamp(max=t), self.tally.shape[1]
        layers = zip(self.neurons, self.ahead, self.rehearsals, strict=True)
        taken = [n * ((steps + ahead).clamp(max=T) + tried) for n, ahead, tried in layers]
        return torch.stack(taken).sum(0) if taken else torch.zeros_like(steps)

    def payload(self, t: int) -> Tensor:
        """Bits that events carry besides their addresses in steps 1..t, for each sample: shape (N,), float64."""
        events = self.tally[:, t - 1, :, KINDS.index("events")]
        return (events * torch.tensor(self.payload_bits, dtype=events.dtype)[:, None]).sum(0)

    def total(self, kind: str, t: int) -> Tensor:
        """Sum over layers and steps 1..t of one of KINDS, for each sample: shape (N,).

        Raises:
            UnknownName: there is no such kind.
            InvalidInput: the simulation had no such step.
        """
        if kind not in KINDS:
            raise UnknownName("kind of operation", str(kind), KINDS)
        t = whole_number("The step", t)
        if not 1 <= t <= self.tally.shape[1]:
            raise InvalidInput(f"Step {t} was not simulated; the steps are 1 to {self.tally.shape[1]}.")
        return self.tally[:, t - 1, :, KINDS.index(kind)].sum(0)

    def macs(self, t: int) -> Tensor:
        """Analog multiplications in steps 1..t, for each sample: shape (N,), float64."""
        return self.analog.macs_in(self.steps.clamp(max=t))

    def flops(self, t: int) -> Tensor:
        """Floating-point operations of nonlinear nodes in steps 1..t, for each sample: shape (N,), float64."""
        return self.analog.flops_in(self.steps.clamp(max=t))

    @classmethod
    def of(
        cls, connectivity: Connectivity, tallies: Mapping[fx.Node, Sequence[Tensor]], steps: Tensor, T: int, *,
        constant_input: bool, ahead: Mapping[fx.Node, int], payload_bits: Mapping[fx.Node, int],
        delay: int, rehearsals: Mapping[fx.Node, int],
    ) -> Counts:  # fmt: skip
        """Joins the tallies of every step, by layer; there may be no layer.

        A tally has shape (8, n), for the n samples that took its step: samples leave for good. Step t of a layer that
        is d steps ahead comes together with step t - d of the output, and its first d steps before step 1 ends.
        """
        tally = torch.zeros(len(tallies), T, len(steps), len(KINDS), dtype=torch.float64)
        for layer, (node, by_step) in zip(tally, tallies.items(), strict=True):
            for t, counted in enumerate(by_step):
                output = max(t - ahead.get(node, 0), 0)
                layer[output, steps.cpu() > output] += counted.T.cpu()
        return cls(
            layers=tuple("input" if node.op == "placeholder" else node.name for node in tallies),
            tally=tally.cumsum(1),
            neurons=tuple(0 if node.op == "placeholder" else connectivity.fan_out[node].numel() for node in tallies),
            fan_out=tuple(round(float(connectivity.fan_out[node].sum())) for node in tallies),
            analog=connectivity.analog_operations(constant_input=constant_input),
            steps=steps.cpu().double(),
            ahead=tuple(ahead.get(node, 0) for node in tallies),
            payload_bits=tuple(payload_bits.get(node, 0) for node in tallies),
            delay=delay,
            rehearsals=tuple(rehearsals.get(node, 0) for node in tallies),
        )
