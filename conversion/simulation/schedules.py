"""Two schedules of a simulation: the order in which nodes and timesteps are computed.

`sweep` runs node after node, all T steps of a node before the next node: when a layer of neurons is reached, all its
input is at hand, which is what calibration needs. `StepSchedule` runs all nodes for t = 1, then for t = 2 ...: it
holds the values of one step, samples can leave it, and it is what evaluation uses. Both apply the same operations to
tensors of the same shape, so they give the same spikes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import Tensor, fx

from conversion.capture.graph import Values, evaluate, last_uses
from conversion.capture.layout import keep
from conversion.capture.roles import Role
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.temporal import RunningDifference
from conversion.simulation.timing import timing

# Values of one node over time: for each batch one value for each step.
TimeSeries = Sequence[Sequence[Any]]


class StepSchedule:
    """The step schedule: computes all nodes for one timestep after another.

    Args:
        network: says which nodes are layers of neurons.
        frames: one input for all steps, or one for each of them.
        spike: given a layer of neurons and its current, returns its output. No neuron waits (`Pipeline`).
        replay: known values of some nodes, one for each step. Nodes that only these depend on are not computed.
    """

    def __init__(
        self, network: SpikingNetwork, frames: Sequence[Tensor], spike: Callable[[fx.Node, Tensor], Tensor],
        replay: Mapping[fx.Node, Sequence[Any]] | None = None,
    ) -> None:  # fmt: skip
        self.network, self.frames, self.spike, self.replay = network, list(frames), spike, replay or {}
        changing = network.changing(constant_input=len(frames) == 1)
        self.constants = network.start(frames[0])
        needed = _needed(network, self.replay)
        for node in needed:
            if node not in changing:
                self.constants[node] = evaluate(node, self.constants)
        self.per_step = [node for node in needed if node in changing]
        self.freed = last_uses(self.per_step, keep=network.readout)
        self.differences = differences(network, changing)
        self.t = 0

    def advance(self) -> Values:
        """The values of the readout nodes at the next step."""
        values = self.constants | {node: known[self.t] for node, known in self.replay.items()}
        if len(self.frames) > 1:
            values[self.network.graph.input] = self.frames[self.t]
        self.t += 1
        for node in self.per_step:
            if node in self.network.neurons:
                values[node] = self.spike(node, values[node.all_input_nodes[0]])
            elif node in self.differences:
                values[node] = self.differences[node].step(values)
            else:
                values[node] = evaluate(node, values)
            for done in self.freed.get(node, ()):
                del values[done]
        return {node: values[node] for node in self.network.readout}

    def keep(self, samples: Tensor) -> None:
        """Continues with the samples at the given indices alone."""
        self.frames = [frame[samples] for frame in self.frames]
        kept = {node: keep(node, self.constants[node], samples) for node in self.network.body if node in self.constants}
        # Constants are made again: some have the size of the batch.
        self.constants = self.network.start(self.frames[0]) | kept
        for difference in self.differences.values():
            difference.keep(samples)


def sweep(
    network: SpikingNetwork, batches: Sequence[Sequence[Tensor]], T: int,
    spike: Callable[[fx.Node, TimeSeries], TimeSeries], also: Collection[fx.Node] = (),
) -> dict[fx.Node, TimeSeries]:  # fmt: skip
    """The sweep schedule: computes node after node, all steps of all batches of each.

    Args:
        network: says which nodes are layers of neurons.
        batches: for each batch one input for all steps, or T of them.
        T: number of steps.
        spike: given a layer of neurons and its currents, returns its spike trains.
        also: further nodes whose values are returned.

    Returns:
        The values of every readout node and of `also`. A value that is constant in time is one tensor, repeated; where
        later layers wait for their input, a step that none of them reads is None.
    """
    graph = network.graph
    changing = network.changing(constant_input=all(len(frames) == 1 for frames in batches))
    read = timing(network, changing, T, also).read
    starts = [network.start(frames[0]) for frames in batches]
    series: dict[fx.Node, TimeSeries] = {node: [[start[node]] * T for start in starts] for node in starts[0]}
    series[graph.input] = [frames if len(frames) == T else [frames[0]] * T for frames in batches]
    freed = last_uses(network.body, keep={*network.readout, *also})
    for node in network.body:
        if node in network.neurons:
            series[node] = spike(node, series[node.all_input_nodes[0]])
        else:
            # Each batch has its own state of a node.
            steps = [differences(network, changing, [node]).get(node) for _ in batches]
            series[node] = [
                _values_over_time(node, series, batch, T, read.get(node), difference)
                for batch, difference in enumerate(steps)
            ]
        for done in freed.get(node, ()):
            del series[done]
    return series


def _values_over_time(
    node: fx.Node, series: dict[fx.Node, TimeSeries], batch: int, T: int, read: Collection[int] | None,
    difference: RunningDifference | None,
) -> list[Any]:  # fmt: skip
    """A node's values for one batch at the steps that are read; one tensor, repeated, where they do not change."""

    def inputs(t: int) -> Values:
        return {source: series[source][batch][t - 1] for source in node.all_input_nodes}

    if read is None:
        return [evaluate(node, inputs(1))] * T
    if difference is not None:
        return [difference.step(inputs(t)) for t in range(1, T + 1)]
    return [evaluate(node, inputs(t)) if t in read else None for t in range(1, T + 1)]


def differences(
    network: SpikingNetwork, changing: Collection[fx.Node], nodes: Sequence[fx.Node] | None = None
) -> dict[fx.Node, RunningDifference]:
    """A new state for each nonlinear node whose input changes in time; none where each step is taken by itself."""
    if network.nonlinear == "instantaneous":
        return {}
    return {
        node: RunningDifference(node, [source for source in node.all_input_nodes if source in changing])
        for node in (network.body if nodes is None else nodes)
        if network.graph.rules[node].role is Role.NONLINEAR and node in changing
    }


def _needed(network: SpikingNetwork, known: Collection[fx.Node]) -> list[fx.Node]:
    """The nodes to compute for the readout when the values of some are known, in execution order."""
    found: set[fx.Node] = set()
    for node in reversed(network.body):
        if node not in known and (node in network.readout or not found.isdisjoint(node.users)):
            found.add(node)
    return [node for node in network.body if node in found]
