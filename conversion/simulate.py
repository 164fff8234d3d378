"""Simulation of a spiking network, by two schedules with one meaning.

`sweep` runs node after node, all T steps of a node before the next node: when a layer of neurons is reached, all its
input is at hand, which is what calibration needs. `step` runs all nodes for t = 1, then for t = 2 ...: it holds one
step's activations and is what evaluation uses. Both apply the same operations to tensors of the same shape, so they
give the same spikes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx

from conversion.errors import InvalidInput
from conversion.graph import Values, evaluate, last_uses
from conversion.network import SpikingNetwork
from conversion.neuron import Layer

# A constant input (N, ...), or one for each step.
Inputs = Tensor | Sequence[Tensor]
KINDS = ("spikes", "digits", "events", "synops_unary", "synops_binary", "synops_graded")


@dataclass(frozen=True, eq=False)
class Counts:
    """What the simulator counted; it knows no joules (benchmarks/prices.py does).

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
        schedule: see the module's text.
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
    layers = make_layers(network, count=count, fast=fast)
    run = _run_steps if schedule == "step" else _run_sweep
    sums, tallies = run(network, frames, T, layers, steps)
    outputs = {t: network.decode({n: total / t for n, total in sums[t].items()}, frames[0]) for t in steps}
    counts = _counts(network, tallies, isinstance(inputs, Tensor), T, len(frames[0])) if count else None
    return Readout(outputs, counts)


def make_layers(network: SpikingNetwork, *, count: bool, fast: bool) -> dict[fx.Node, Layer]:
    """Fresh neurons, at their initial potential."""
    fan_out = network.connectivity.fan_out if count else {}
    return {
        node: Layer(neuron, network.T, network.graph.channel_axis(node), fan_out.get(node), fast)
        for node, neuron in network.neurons.items()
    }


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


Sums = dict[int, Values]
Tallies = dict[fx.Node, list[Tensor]]


def _run_steps(
    network: SpikingNetwork, frames: list[Tensor], T: int, layers: dict[fx.Node, Layer], steps: list[int]
) -> tuple[Sums, Tallies]:
    constant = len(frames) == 1
    changing = network.spiking if constant else set(network.graph.body)
    body = network.body
    once = [node for node in body if node not in changing]
    every = [node for node in body if node in changing]
    fixed = network.graph.start(frames[0])
    for node in once:
        fixed[node] = evaluate(node, fixed)
    freed = last_uses(every, keep=network.readout)
    sums: Sums = {}
    running: Values = {}
    tallies: Tallies = {node: [] for node in layers}
    for t in range(1, T + 1):
        values = dict(fixed)
        if not constant:
            values[network.graph.input] = frames[t - 1]
        for node in every:
            if node in layers:
                values[node], tally = layers[node].step(values[node.args[0]])  # type: ignore[index]
                if tally is not None:
                    tallies[node].append(tally.sum(2, dtype=torch.float64))
            else:
                values[node] = evaluate(node, values)
            for done in freed.get(node, ()):
                del values[done]
        running = {node: _add(running.get(node), values[node]) for node in network.readout}
        if t in steps:
            sums[t] = running
    return sums, tallies


def _run_sweep(
    network: SpikingNetwork, frames: list[Tensor], T: int, layers: dict[fx.Node, Layer], steps: list[int]
) -> tuple[Sums, Tallies]:
    tallies: Tallies = {node: [] for node in layers}

    def spike(node: fx.Node, currents: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
        sent = []
        for current in currents[0]:
            value, tally = layers[node].step(current)
            sent.append(value)
            if tally is not None:
                tallies[node].append(tally.sum(2, dtype=torch.float64))
        return [sent]

    trains = sweep(network, [frames], T, spike)
    sums: Sums = {}
    running: Values = {}
    for t in range(1, T + 1):
        running = {node: _add(running.get(node), trains[node][0][t - 1]) for node in network.readout}
        if t in steps:
            sums[t] = running
    return sums, tallies


# Values of a node by batch and step.
Trains = Sequence[Sequence[Any]]


def sweep(
    network: SpikingNetwork, batches: Sequence[Sequence[Tensor]], T: int,
    spike: Callable[[fx.Node, Trains], Trains],
) -> dict[fx.Node, Trains]:  # fmt: skip
    """Runs node after node, all steps of all batches of each.

    Args:
        network: says which nodes are layers of neurons.
        batches: for each batch one input for all steps, or T of them.
        T: number of steps.
        spike: given a layer of neurons and its input currents, returns what it transmits.

    Returns:
        The values of every readout node. A value that is constant in time is one tensor, repeated.
    """
    graph = network.graph
    constant = all(len(frames) == 1 for frames in batches)
    changing = network.spiking if constant else set(graph.body)
    starts = [graph.start(frames[0]) for frames in batches]
    trains: dict[fx.Node, Trains] = {node: [[start[node]] * T for start in starts] for node in starts[0]}
    trains[graph.input] = [frames if len(frames) == T else [frames[0]] * T for frames in batches]
    freed = last_uses(network.body, keep=network.readout)
    for node in network.body:
        sources = node.all_input_nodes
        if node in network.neurons:
            trains[node] = spike(node, trains[sources[0]])
        else:
            trains[node] = [_train(node, trains, batch, T, node in changing) for batch in range(len(batches))]
        for done in freed.get(node, ()):
            del trains[done]
    return trains


def _train(node: fx.Node, trains: dict[fx.Node, Trains], batch: int, T: int, changing: bool) -> list[Any]:
    """A node's values for one batch: one for each step, or one that stands for all."""
    values = [
        evaluate(node, {source: trains[source][batch][t] for source in node.all_input_nodes})
        for t in range(T if changing else 1)
    ]
    return values if changing else values * T


def _add(total: Tensor | None, value: Tensor) -> Tensor:
    # Sums of many bfloat16 values need more than bfloat16.
    value = value.to(torch.promote_types(value.dtype, torch.float32))
    return value if total is None else total + value


def _counts(network: SpikingNetwork, tallies: Tallies, constant: bool, T: int, samples: int) -> Counts:
    connectivity = network.connectivity
    layers = [torch.stack(steps).cumsum(0).transpose(1, 2) for steps in tallies.values()]
    static, step = connectivity.macs_static, connectivity.macs_step
    return Counts(
        layers=tuple(node.name for node in tallies),
        tally=torch.stack(layers) if layers else torch.zeros(0, T, samples, len(KINDS), dtype=torch.float64),
        neurons=tuple(connectivity.fan_out[node].numel() for node in tallies),
        fan_out=tuple(round(float(connectivity.fan_out[node].sum())) for node in tallies),
        macs_once=static if constant else 0,
        macs_step=step if constant else step + static,
    )
