"""Weight calibration: the weights of each layer, tuned to the spikes that reach it (SNN Calibration, "advanced")."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor, fx

from conversion.calibration.statistics import Calibration
from conversion.capture.graph import ConversionGraph, Values, evaluate
from conversion.capture.layout import keep
from conversion.capture.roles import Role, Transport
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.schedules import TimeSeries, sweep
from conversion.simulation.transfer import mean_output
from conversion.stages.base import require_rates, require_same_graph, spike_train

BATCH = 32


@dataclass(frozen=True)
class WeightCalibration:
    """Tunes the weights before every layer of neurons, layer after layer (SNN Calibration, 'advanced').

    With x the mean input over T steps, from the spiking layers before, and a the ANN's activation, this minimises

        mean over samples and positions of the sum over channels of (V/T clip(floor(T/V (W x + b)), 0, T phi) - a)^2

    over W by Adam, whose rate falls to zero on a cosine and whose batches are drawn with the calibration's seed; half
    a threshold and other corrections are added to b, and the gradient passes the floor as if it were not there. A
    shortcut without weights is added as it is.

    A weight that several layers read is tuned for the first of them and kept; a layer without a weight of its own is
    left as it is. The graph keeps the ANN's weights.

    Attributes:
        iterations: for each layer.
        learning_rate: learning rate of the first iteration.
    """

    iterations: int = 5000
    learning_rate: float = 1e-5

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        require_rates(network, "Weight calibration")
        require_same_graph(network.graph, calibration)
        tuned: set[fx.Node] = set()
        for node in network.neurons:
            layer = LayerObjective(network, node, calibration)
            untuned = [weight for weight in layer.weights if weight not in tuned]
            if untuned:
                network = replace(
                    network,
                    weights=MappingProxyType(dict(network.weights) | self._tune(layer, untuned, calibration.seed)),
                )
                tuned.update(untuned)
        return network

    @torch.enable_grad()
    def _tune(self, layer: LayerObjective, nodes: list[fx.Node], seed: int) -> dict[fx.Node, Tensor]:
        start = layer.network.start(layer.network.graph.example)
        # Updates of 1e-5 vanish beside a weight in bfloat16.
        leaves = {node: start[node].detach().float().clone() if start[node].dtype == torch.bfloat16
                  else start[node].detach().clone() for node in nodes}  # fmt: skip
        optimiser = torch.optim.Adam([leaf.requires_grad_() for leaf in leaves.values()], lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.iterations)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(self.iterations):
            samples = torch.randperm(len(layer.target), generator=generator)[:BATCH].to(layer.target.device)
            optimiser.zero_grad()
            layer.error(leaves, samples).backward(inputs=list(leaves.values()))
            optimiser.step()
            schedule.step()
        return {node: leaf.detach().to(start[node].dtype) for node, leaf in leaves.items()}


class LayerObjective:
    """The squared error of one layer's mean output as a function of the weights that lead to it.

    Attributes:
        weights: the parameters with two axes or more that these operations multiply signals by.
        target: the ANN's activations on the calibration set, shape (N, ...).
    """

    def __init__(self, network: SpikingNetwork, node: fx.Node, calibration: Calibration) -> None:
        graph = network.graph
        self.network, self.node = network, node
        order = list(network.neurons)
        earlier = network.with_neurons({other: network.neurons[other] for other in order[: order.index(node)]})
        feeding = graph.upstream([node])
        self.operations = [other for other in earlier.head if other in feeding and other is not node]
        self.weights = [weight for operation in self.operations for weight in _weights(graph, operation)]
        self.means = _means(earlier, calibration)
        self.target = _activations(calibration, node)

    def error(self, weights: dict[fx.Node, Tensor], samples: Tensor) -> Tensor:
        """The error over the samples at the given indices."""
        graph = self.network.graph
        cast = {node: weight.to(graph.dtype) for node, weight in weights.items()}
        # Some constants have the size of the batch.
        batch = graph.example.expand(len(samples), *graph.example.shape[1:])
        values = graph.start(batch, dict(self.network.weights) | cast)
        values |= {node: keep(node, mean, samples) for node, mean in self.means.items()}
        for operation in self.operations:
            values[operation] = evaluate(operation, values)
        axis = graph.channel_axis(self.node)
        current = values[self.node.all_input_nodes[0]]
        output = mean_output(self.network.neurons[self.node], current, self.network.T, axis)
        return (output - self.target[samples]).square().sum(axis).mean()


def _weights(graph: ConversionGraph, node: fx.Node) -> list[fx.Node]:
    """The parameters by which an operation multiplies its signal."""
    if graph.rules[node].transport is not Transport.SYNAPSE:
        return []
    found: list[fx.Node] = []
    pending = [source for source in node.all_input_nodes if graph.rules[source].role is Role.CONSTANT]
    while pending:
        source = pending.pop()
        pending += source.all_input_nodes
        value = source.meta.get("val")
        if source.op == "get_attr" and isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 1:
            found.append(source)
    return found


@torch.no_grad()
def _means(earlier: SpikingNetwork, calibration: Calibration) -> Values:
    """Mean over T steps of the values that later nodes read, by node: mostly outputs of the layers simulated so far."""
    graph = earlier.graph

    def spike(node: fx.Node, currents: TimeSeries) -> TimeSeries:
        return [spike_train(earlier.neurons[node], earlier.T, graph.channel_axis(node), batch) for batch in currents]

    series = sweep(earlier, calibration.sweeps(earlier.T), earlier.T, spike)
    return {
        node: node.meta["layout"].join([torch.stack(list(batch)).mean(0) for batch in series[node]])
        for node in earlier.readout
    }


def _activations(calibration: Calibration, node: fx.Node) -> Tensor:
    """The ANN's activations of one layer on the calibration set."""
    seen: list[Tensor] = []

    def observe(other: fx.Node, value: Tensor) -> None:
        if other is node:
            seen.append(value)

    for batch in calibration.mean_inputs.split(calibration.pass_batch):
        calibration.graph.run(batch, observe, also=(node,))
    return torch.cat(seen)
