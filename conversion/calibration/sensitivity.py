"""Sensitivity of the output to one layer's neurons: the tables that AdaFire and SSC choose from (docs/adaptive.md).

For every layer i and candidate k, with all other layers as they are,

    S_i(k) = 1/2 [KL(Q || P) + KL(P || Q)],   P = softmax(ANN output), Q = softmax(mean spiking output),
    E_i(k) = spikes that layer i fires, or the synaptic operations they cause.

Layers before i do not depend on the change: the network runs once, and then for each layer only the nodes that follow,
with the candidates of the layer side by side in one batch. Their other inputs are replayed from the first run. Either
the layers that follow are simulated again, or what the change does is estimated without: the ANN's layers take the mean
output of the candidate and that of the layer itself, and the difference of their answers is added to the output of the
first run. One pass then takes the place of T steps.
E_i leaves out what the change does to the spikes of later layers. That keeps the sum over layers separable, which the
dynamic programme needs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from conversion.calibration.progress import Progress
from conversion.capture.graph import ConversionGraph, evaluate
from conversion.counting.operations import KINDS
from conversion.errors import InvalidInput
from conversion.simulation.compiling import worth_compiling
from conversion.simulation.frames import NetworkInput, input_steps, mean_input, split_batches
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Layer, Neuron
from conversion.simulation.readout import RunningMean
from conversion.simulation.schedules import StepSchedule, TimeSeries, sweep

Energy = Literal["spikes", "synops_unary"]
Effect = Literal["simulated", "propagated"]
# Samples whose values are kept for all steps, and copies of samples that run side by side. A GPU takes more of both, as
# does the estimate, where the copies run for one step.
SAMPLES, STACK = 8, 64
SAMPLES_MORE, STACK_MORE = 32, 256
# Largest number of values that all layers may have in all steps for these samples; two numbers are kept of each.
VALUES = 2**30

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sensitivity:
    """Tables of divergence and energy, with a row for each layer and an entry for each of its candidates.

    Attributes:
        divergence: S_i(k), mean over samples and positions, in nats.
        energy: E_i(k), mean over samples.
        base: divergence of the network as it is.
    """

    divergence: tuple[tuple[float, ...], ...]
    energy: tuple[tuple[float, ...], ...]
    base: float


@torch.no_grad()
def measure_sensitivity(
    network: SpikingNetwork, inputs: NetworkInput, candidates: Mapping[fx.Node, Sequence[Neuron]], energy: Energy,
    effect: Effect = "simulated",
) -> Sensitivity:  # fmt: skip
    """Measures the candidates of every layer, one layer changed at a time.

    Args:
        network: the base state.
        inputs: constant inputs, shape (N, ...), or frames in time.
        candidates: by layer, neurons to replace its own. Its own are not simulated again.
        energy: the count of a layer's spikes, one of `conversion.counting.operations.KINDS`.
        effect: whether the layers that follow are simulated, or means are propagated through those of the ANN.

    Raises:
        InvalidInput: an output of the network is no distribution over classes.
    """
    graph = network.graph
    _require_classes(graph)
    few = graph.example.device.type == "cpu" and effect == "simulated"
    samples, stack = (SAMPLES, STACK) if few else (SAMPLES_MORE, STACK_MORE)
    # Of few candidates more samples fill the stack.
    most = max(sum(neuron is not network.neurons[node] for neuron in row) for node, row in candidates.items())
    samples *= max(1, stack // (samples * max(1, most)))
    side_inputs = {node: _side_inputs(network, node) for node in network.neurons}
    # Divergence and energy, summed over samples.
    sums = {node: torch.zeros(2, len(row), dtype=torch.float64) for node, row in candidates.items()}
    # A candidate runs half of the network, or its own layer alone.
    simulations = sum(map(len, candidates.values())) / (2 if effect == "simulated" else len(candidates))
    values = network.T * sum(map(torch.Tensor.numel, network.connectivity.fan_out.values()))
    samples = max(1, min(samples, VALUES // values))
    fast = worth_compiling(simulations * len(inputs) * values, graph.example.device)
    base, batches = 0.0, split_batches(inputs, samples)
    progress = Progress(logger, "sensitivity", len(batches) * len(candidates))
    for number, batch in enumerate(batches, start=1):
        run = _BaseRun(network, batch, side_inputs, energy, effect, fast)
        base += run.divergence
        for layer, (node, row) in enumerate(candidates.items(), start=1):
            for column, neuron in enumerate(row):
                if neuron is network.neurons[node]:
                    sums[node][:, column] += torch.tensor([run.divergence, run.energy[node]], dtype=torch.float64)
            changed = [column for column, neuron in enumerate(row) if neuron is not network.neurons[node]]
            for columns in _chunks(changed, max(1, stack // len(batch))):
                sums[node][:, columns] += run.change(node, [row[column] for column in columns])
            where = f"layer {layer} of {len(candidates)}, {len(changed)} candidates"
            progress.finish(f"{where}, batch {number} of {len(batches)}")
    means = [(total / len(inputs)).tolist() for total in sums.values()]
    return Sensitivity(
        tuple(tuple(divergence) for divergence, _ in means), tuple(tuple(energies) for _, energies in means),
        base / len(inputs),
    )  # fmt: skip


def symmetric_kl(first: Any, second: Any) -> Tensor:
    """1/2 [KL(P || Q) + KL(Q || P)] of the softmax of two outputs, for each sample: float64 of shape (N,).

    Classes lie on the second axis; it is averaged over further axes and summed over several output tensors. Since
    KL(P || Q) + KL(Q || P) = sum (p - q) (log p - log q), probabilities that vanish cannot give 0 log 0.
    """
    total: Any = 0
    for one, other in zip(pytree.tree_leaves(first), pytree.tree_leaves(second), strict=True):
        log_p, log_q = one.double().log_softmax(1), other.double().log_softmax(1)
        divergence = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1) / 2
        total = total + divergence.reshape(len(divergence), -1).mean(1)
    result: Tensor = total
    return result


class _BaseRun:
    """A run of the unchanged network on one batch: currents, outputs and energy of its layers at every step."""

    def __init__(
        self, network: SpikingNetwork, batch: NetworkInput, side_inputs: Mapping[fx.Node, Sequence[fx.Node]],
        energy: Energy, effect: Effect, fast: bool,
    ) -> None:  # fmt: skip
        self.network, self.side_inputs, self.kind = network, side_inputs, KINDS.index(energy)
        self.effect = effect
        self.frames = [network.graph.cast(step) for step in input_steps(batch, network.T)]
        self.fast = fast
        self.energy: dict[fx.Node, float] = {}
        self.sent: dict[fx.Node, Tensor] = {}
        currents = {node.all_input_nodes[0] for node in network.neurons}
        self.series = sweep(network, [self.frames], network.T, self._spike, also=currents.union(*side_inputs.values()))
        self.reference = network.graph.run(mean_input(batch))
        replay = {node: self.series[node][0] for node in network.readout}
        self.output = self._output(self.frames, replay)
        self.divergence = float(symmetric_kl(self.output, self.reference).sum())

    def change(self, node: fx.Node, neurons: Sequence[Neuron]) -> Tensor:
        """Divergence and energy with each of some candidates as a layer's neurons: shape (2, candidates)."""
        copies = len(neurons)
        energies: list[float] = []

        def trains() -> Iterator[list[Tensor]]:
            for neuron in neurons:
                train, energy = self._fire(node, neuron, self.series[node.all_input_nodes[0]][0])
                energies.append(energy)
                yield train

        output_with = self._simulated if self.effect == "simulated" else self._propagated
        output = output_with(node, trains(), copies)
        divergence = symmetric_kl(output, repeated(self.reference, copies)).view(copies, -1).sum(1).cpu()
        return torch.stack([divergence, torch.tensor(energies, dtype=torch.float64)])

    def _simulated(self, node: fx.Node, trains: Iterable[Sequence[Tensor]], copies: int) -> Any:
        """The outputs with some spike trains of a layer, one after the other in one batch."""
        replay = {
            source: [source.meta["layout"].join([value] * copies) for value in self.series[source][0]]
            for source in self.side_inputs[node]
        }
        replay[node] = [torch.cat(outputs) for outputs in zip(*trains, strict=True)]
        return self._output([repeated(frame, copies) for frame in self.frames], replay)

    def _propagated(self, node: fx.Node, trains: Iterable[Sequence[Tensor]], copies: int) -> Any:
        """The same, estimated from the means of the trains, beside that of the layer as it is."""
        network, copies = self.network, 1 + copies
        # What later layers read of the input itself; one frame is that of all steps.
        inputs = repeated(self._mean(self.frames) if len(self.frames) > 1 else self.frames[0], copies)
        values = network.start(inputs)
        for source in self.side_inputs[node]:
            values[source] = source.meta["layout"].join([self._mean(self.series[source][0])] * copies)
        values[node] = torch.cat([self.sent[node], *map(self._mean, trains)])
        after = network.graph.downstream({node}) - {node}
        for later in network.body:
            if later in after:
                values[later] = evaluate(later, values)
        outputs = network.decode({source: values[source] for source in network.readout}, inputs)

        def moved(found: Tensor, measured: Tensor) -> Tensor:
            without, *changed = found.split(len(measured))
            return torch.cat([measured + (part - without) for part in changed])

        return pytree.tree_map(moved, outputs, self.output)

    def _mean(self, steps: Sequence[Tensor]) -> Tensor:
        """The mean over the steps that the readout takes."""
        read = steps[self.network.readout_start : self.network.readout_end]
        return sum(read[1:], read[0]) / len(read)

    def _spike(self, node: fx.Node, currents: TimeSeries) -> TimeSeries:
        outputs, self.energy[node] = self._fire(node, self.network.neurons[node], currents[0])
        if self.effect == "propagated":
            self.sent[node] = self._mean(outputs)
        return [outputs]

    def _fire(self, node: fx.Node, neuron: Neuron, currents: Sequence[Tensor]) -> tuple[list[Tensor], float]:
        """A layer's output at every step, and its energy."""
        network = self.network
        fan_out = network.connectivity.fan_out[node]
        layer = Layer(neuron, network.T, network.graph.channel_axis(node), fan_out, self.fast)
        outputs, energy = [], 0.0
        for current in currents:
            output, tally = layer.step(current)
            assert tally is not None
            outputs.append(output)
            energy += float(tally[self.kind].sum(dtype=torch.float64))
        return outputs, energy

    def _output(self, frames: Sequence[Tensor], replay: Mapping[fx.Node, Sequence[Any]]) -> Any:
        """The network's output after T steps, with known values of some nodes at every step."""
        network = self.network
        layers = {
            node: Layer(neuron, network.T, network.graph.channel_axis(node), fast=self.fast)
            for node, neuron in network.neurons.items()
        }
        schedule = StepSchedule(network, frames, lambda node, current: layers[node].step(current)[0], replay)
        running = RunningMean(network.readout_start, network.readout_end)
        for _ in range(network.T):
            running.add(schedule.advance())
        return network.decode(running.value(), frames[0])


def repeated(values: Any, copies: int) -> Any:
    """Tensors of a batch with the batch several times, one after the other."""
    return pytree.tree_map(lambda part: torch.cat([part] * copies), values)


def _side_inputs(network: SpikingNetwork, node: fx.Node) -> list[fx.Node]:
    """Nodes that do not depend on a layer but are inputs of nodes that do, or of the readout."""
    after = network.graph.downstream({node})
    read = {source for later in after - {node} for source in later.all_input_nodes}.union(network.readout)
    return [source for source in network.body if source in read and source not in after]


def _chunks(columns: Sequence[int], most: int) -> Iterator[list[int]]:
    """Splits columns into as few parts as possible of at most `most` entries, of nearly the same size."""
    count = -(-len(columns) // most)
    for part in range(count):
        yield list(columns[part * len(columns) // count : (part + 1) * len(columns) // count])


def _require_classes(graph: ConversionGraph) -> None:
    for output in pytree.tree_leaves(graph.run(graph.example)):
        if not isinstance(output, Tensor) or output.dim() < 2 or output.shape[1] < 2 or not output.is_floating_point():
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InvalidInput(
                f"The search compares probabilities of classes, and an output of the network is {shape} for one "
                "sample; it needs outputs of shape (N, classes, ...) with at least two classes."
            )
