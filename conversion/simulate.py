"""Simulation of a spiking network: outputs and counts at every step."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx

from conversion.counts import Counts
from conversion.errors import InvalidInput
from conversion.graph import Values
from conversion.network import SpikingNetwork
from conversion.neuron import Layer
from conversion.schedules import step_by_step, sweep

# A constant input (N, ...), or one for each step.
Inputs = Tensor | Sequence[Tensor]


@dataclass(frozen=True, eq=False)
class Readout:
    """Output of a simulation, at every step that was asked for.

    Attributes:
        outputs: by step t, the network's output from the mean of steps 1..t, in the ANN's own structure.
        counts: None when nothing was counted.
    """

    outputs: dict[int, Any]
    counts: Counts | None

    def mean(self, t: int) -> Any:
        """The network's output after t steps; for a classifier logits of shape (N, classes)."""
        if t not in self.outputs:
            raise InvalidInput(f"Step {t} was not read out; steps {sorted(self.outputs)} were.")
        return self.outputs[t]


@torch.no_grad()
def simulate(
    network: SpikingNetwork, inputs: Inputs, T: int | None = None, *, schedule: Literal["step", "sweep"] = "step",
    at: Collection[int] | None = None, count: bool = True, fast: bool = False,
) -> Readout:  # fmt: skip
    """Runs a spiking network.

    Args:
        network: the converted network.
        inputs: shape (N, ...), fed at every step; or a sequence of T such tensors, one for each step.
        T: number of steps; the network's own when left out.
        schedule: of `conversion.schedules`; both give the same result.
        at: the steps to read out, all of 1..T when left out.
        count: count spikes and synaptic operations.
        fast: compile the neurons. Worth it from about a billion neuron updates on; needs a C++ compiler on CPU.

    Raises:
        InvalidInput: T or a readout step below 1, an empty batch, values that are not finite.
    """
    T = network.T if T is None else T
    if T < 1:
        raise InvalidInput(f"T is {T}, but a simulation has at least 1 step; give T >= 1.")
    steps = sorted(set(range(1, T + 1) if at is None else at))
    if not steps or steps[0] < 1 or steps[-1] > T:
        raise InvalidInput(f"Readout at steps {steps}, but the simulation has steps 1 to {T}.")
    frames = _frames(network, inputs, T)
    fan_out = network.connectivity.fan_out if count else {}
    layers = {
        node: Layer(neuron, network.T, network.graph.channel_axis(node), fan_out.get(node), fast)
        for node, neuron in network.neurons.items()
    }
    tallies: dict[fx.Node, list[Tensor]] = {node: [] for node in layers}

    def spike(node: fx.Node, current: Tensor) -> Tensor:
        sent, tally = layers[node].step(current)
        if tally is not None:
            tallies[node].append(tally.sum(2, dtype=torch.float64))
        return sent

    def swept() -> Iterator[Values]:
        trains = sweep(network, [frames], T, lambda node, trains: [[spike(node, current) for current in trains[0]]])
        return ({node: trains[node][0][t] for node in network.readout} for t in range(T))

    outputs: dict[int, Any] = {}
    sums: Values = {}
    for t, values in enumerate(step_by_step(network, frames, T, spike) if schedule == "step" else swept(), 1):
        sums = {node: _add(sums.get(node), value) for node, value in values.items()}
        if t in steps:
            outputs[t] = network.decode({node: total / t for node, total in sums.items()}, frames[0])
    if not count:
        return Readout(outputs, None)
    constant = isinstance(inputs, Tensor)
    return Readout(outputs, Counts.of(network.connectivity, tallies, T, len(frames[0]), constant_input=constant))


def _frames(network: SpikingNetwork, inputs: Inputs, T: int) -> list[Tensor]:
    frames = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not isinstance(inputs, Tensor) and len(frames) != T:
        raise InvalidInput(f"The input has {len(frames)} frames for T = {T} steps; give one frame for each step.")
    frames = [network.graph.cast(frame) for frame in frames]
    for frame in frames:
        if frame.shape[1:] != network.graph.example.shape[1:] or not len(frame):
            expected = tuple(network.graph.example.shape[1:])
            raise InvalidInput(f"The input has shape {tuple(frame.shape)}; the network takes (N >= 1, *{expected}).")
        if not bool(torch.isfinite(frame).all()):
            raise InvalidInput("The input holds values that are not finite.")
    return frames


def _add(total: Tensor | None, value: Tensor) -> Tensor:
    # Sums of many bfloat16 values need more than bfloat16.
    value = value.to(torch.promote_types(value.dtype, torch.float32))
    return value if total is None else total + value
