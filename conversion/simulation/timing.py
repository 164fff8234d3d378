"""The time of every node in a network whose neurons wait: how far it lags, and which of its steps anybody reads.

A neuron that waits d steps answers d steps later than its input. Steps of a node are its own: step t of a node that
lags l steps takes place at time t + l, where additions of early and late signals keep the early one until then. So a
network of depth L, all of whose neurons but the first wait d steps, gives its first answer after 1 + d (L - 1) steps
and its last after T + d (L - 1); the input of the first is known from the start. Where every layer tries n steps before
it runs, the first one too, these are 1 + n L and T + n L.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import fx

from conversion.simulation.network import SpikingNetwork


@dataclass(frozen=True, eq=False)
class Timing:
    """Lags and steps of a network's nodes that change in time.

    Attributes:
        lag: steps by which a node answers later than its own number of the step.
        read: the steps of a node that later nodes read.
        latency: the lag of the output: its step t takes place at time t + latency.
    """

    lag: Mapping[fx.Node, int]
    read: Mapping[fx.Node, Collection[int]]
    latency: int

    def ahead(self, node: fx.Node) -> int:
        """Steps that a node is ahead of the output."""
        return self.latency - self.lag[node]


def timing(
    network: SpikingNetwork, changing: Collection[fx.Node], T: int, also: Collection[fx.Node] = ()
) -> Timing:  # fmt: skip
    """The times of all nodes that change from step to step; of those in `also` every step is read."""
    nodes = [node for node in network.body if node in changing]
    if network.graph.input in changing:
        nodes = [network.graph.input, *nodes]
    lag: dict[fx.Node, int] = {}
    waits: dict[fx.Node, int] = {}
    for node in nodes:
        sources = [source for source in node.all_input_nodes if source in lag]
        # The input of a layer that does not change is known from the start.
        waits[node] = min(network.neurons[node].wait, T) if node in network.neurons and sources else 0
        tries = network.neurons[node].rehearsal if node in network.neurons else 0
        lag[node] = max((lag[source] for source in sources), default=0) + waits[node] + tries
    every = range(1, T + 1)
    read: dict[fx.Node, set[int]] = {
        node: set(every) if node in network.readout or node in also else set() for node in nodes
    }
    for node in reversed(nodes):
        # Neurons take all steps up to the last that is read.
        taken = range(1, max(read[node], default=0) + 1) if node in network.neurons else read[node]
        for source in node.all_input_nodes:
            if source in read:
                read[source].update(min(t + waits[node], T) for t in taken)
    return Timing(lag, read, max((lag[node] for node in network.readout if node in lag), default=0))
