"""In which order nodes and steps are computed: two schedules with one meaning.

`sweep` runs node after node, all T steps of a node before the next node: when a layer of neurons is reached, all its
input is at hand, which is what calibration needs. `step_by_step` runs all nodes for t = 1, then for t = 2 ...: it
holds one step's activations and is what evaluation uses. Both apply the same operations to tensors of the same shape,
so they give the same spikes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, fx

from conversion.graph import Values, evaluate, last_uses
from conversion.network import SpikingNetwork

# Values of a node by batch and step.
Trains = Sequence[Sequence[Any]]


def step_by_step(
    network: SpikingNetwork, frames: Sequence[Tensor], T: int, spike: Callable[[fx.Node, Tensor], Tensor]
) -> Iterator[Values]:
    """Runs all nodes for one step after another.

    Args:
        network: says which nodes are layers of neurons.
        frames: one input for all steps, or T of them.
        T: number of steps.
        spike: given a layer of neurons and its input current, returns what it transmits.

    Yields:
        The values of the readout nodes at t = 1..T.
    """
    constant = len(frames) == 1
    changing = network.spiking if constant else frozenset(network.graph.body)
    fixed = network.graph.start(frames[0])
    for node in network.body:
        if node not in changing:
            fixed[node] = evaluate(node, fixed)
    every = [node for node in network.body if node in changing]
    freed = last_uses(every, keep=network.readout)
    for t in range(T):
        values = dict(fixed) if constant else fixed | {network.graph.input: frames[t]}
        for node in every:
            spiking = node in network.neurons
            values[node] = spike(node, values[node.all_input_nodes[0]]) if spiking else evaluate(node, values)
            for done in freed.get(node, ()):
                del values[done]
        yield {node: values[node] for node in network.readout}


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
