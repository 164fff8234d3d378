"""In which order nodes and steps are computed: two schedules with one meaning.

`sweep` runs node after node, all T steps of a node before the next node: when a layer of neurons is reached, all its
input is at hand, which is what calibration needs. `Steps` runs all nodes for t = 1, then for t = 2 ...: it
holds one step's activations, samples can leave it, and it is what evaluation uses. Both apply the same operations to
tensors of the same shape, so they give the same spikes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from conversion.capture.graph import Values, evaluate, last_uses
from conversion.capture.layout import keep
from conversion.capture.roles import Role
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.temporal import RunningDifference

# Values of a node by batch and step.
Trains = Sequence[Sequence[Any]]


class Steps:
    """All nodes for one step after another.

    Args:
        network: says which nodes are layers of neurons.
        frames: one input for all steps, or one for each of them.
        spike: given a layer of neurons and its input current, returns what it transmits.
        replay: nodes whose values are known, one for each step. What only they read is not computed.
    """

    def __init__(
        self, network: SpikingNetwork, frames: Sequence[Tensor], spike: Callable[[fx.Node, Tensor], Tensor],
        replay: Mapping[fx.Node, Sequence[Any]] | None = None,
    ) -> None:  # fmt: skip
        self.network, self.frames, self.spike, self.replay = network, list(frames), spike, replay or {}
        changing = network.changing(constant_input=len(frames) == 1)
        self.fixed = network.start(frames[0])
        needed = _needed(network, self.replay)
        for node in needed:
            if node not in changing:
                self.fixed[node] = evaluate(node, self.fixed)
        self.every = [node for node in needed if node in changing]
        self.freed = last_uses(self.every, keep=network.readout)
        self.differences = _differences(network, changing)
        self.t = 0

    def advance(self) -> Values:
        """The values of the readout nodes at the next step."""
        values = self.fixed | {node: train[self.t] for node, train in self.replay.items()}
        if len(self.frames) > 1:
            values[self.network.graph.input] = self.frames[self.t]
        self.t += 1
        for node in self.every:
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
        """Goes on with the samples of these indices alone."""
        self.frames = [frame[samples] for frame in self.frames]
        kept = {node: keep(node, self.fixed[node], samples) for node in self.network.body if node in self.fixed}
        # Constants are made again: some have the size of the batch.
        self.fixed = self.network.start(self.frames[0]) | kept
        for difference in self.differences.values():
            difference.keep(samples)


def sweep(
    network: SpikingNetwork, batches: Sequence[Sequence[Tensor]], T: int,
    spike: Callable[[fx.Node, Trains], Trains], also: Collection[fx.Node] = (),
) -> dict[fx.Node, Trains]:  # fmt: skip
    """Runs node after node, all steps of all batches of each.

    Args:
        network: says which nodes are layers of neurons.
        batches: for each batch one input for all steps, or T of them.
        T: number of steps.
        spike: given a layer of neurons and its input currents, returns what it transmits.
        also: nodes whose values are wanted, too.

    Returns:
        The values of every readout node and of `also`. A value that is constant in time is one tensor, repeated.
    """
    graph = network.graph
    changing = network.changing(constant_input=all(len(frames) == 1 for frames in batches))
    starts = [network.start(frames[0]) for frames in batches]
    trains: dict[fx.Node, Trains] = {node: [[start[node]] * T for start in starts] for node in starts[0]}
    trains[graph.input] = [frames if len(frames) == T else [frames[0]] * T for frames in batches]
    freed = last_uses(network.body, keep={*network.readout, *also})
    for node in network.body:
        if node in network.neurons:
            trains[node] = spike(node, trains[node.all_input_nodes[0]])
        else:
            # A node's state in time belongs to one batch.
            steps = [_differences(network, changing, [node]).get(node) for _ in batches]
            trains[node] = [
                _train(node, trains, batch, T, node in changing, difference) for batch, difference in enumerate(steps)
            ]
        for done in freed.get(node, ()):
            del trains[done]
    return trains


def _train(
    node: fx.Node, trains: dict[fx.Node, Trains], batch: int, T: int, changing: bool,
    difference: RunningDifference | None,
) -> list[Any]:  # fmt: skip
    """A node's values for one batch: one for each step, or one that stands for all."""
    inputs = (
        {source: trains[source][batch][t] for source in node.all_input_nodes} for t in range(T if changing else 1)
    )
    values = [difference.step(values) if difference else evaluate(node, values) for values in inputs]
    return values if changing else values * T


def _differences(
    network: SpikingNetwork, changing: Collection[fx.Node], nodes: Sequence[fx.Node] | None = None
) -> dict[fx.Node, RunningDifference]:
    """A fresh state for each nonlinear node whose input changes in time, unless each step is taken by itself."""
    if network.nonlinear == "instantaneous":
        return {}
    return {
        node: RunningDifference(node, [source for source in node.all_input_nodes if source in changing])
        for node in (network.body if nodes is None else nodes)
        if network.graph.rules[node].role is Role.NONLINEAR and node in changing
    }


def _needed(network: SpikingNetwork, known: Collection[fx.Node]) -> list[fx.Node]:
    """What has to be computed for the readout when some values are known, in execution order."""
    found: set[fx.Node] = set()
    for node in reversed(network.body):
        if node not in known and (node in network.readout or not found.isdisjoint(node.users)):
            found.add(node)
    return [node for node in network.body if node in found]


def add(total: Tensor | None, value: Tensor) -> Tensor:
    """A sum over steps and one more value; sums of many bfloat16 values need more than bfloat16."""
    value = value.to(torch.promote_types(value.dtype, torch.float32))
    return value if total is None else total + value
