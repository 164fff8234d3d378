"""The interface of a stage, and functions that stages which simulate layers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, fx

from conversion.calibration.statistics import Calibration
from conversion.capture.graph import ConversionGraph
from conversion.errors import InvalidInput
from conversion.simulation.coded import make_layer
from conversion.simulation.compiling import worth_compiling
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Layer, Neuron, Start, TakesBack
from conversion.simulation.schedules import TimeSeries, sweep

# Corrects the parameters of a layer of neurons, given its currents.
Correction = Callable[[fx.Node, Neuron, TimeSeries], Neuron]


class Stage(Protocol):
    """One step of a conversion."""

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork: ...


def correct(network: SpikingNetwork, calibration: Calibration, correction: Correction) -> SpikingNetwork:
    """Corrects layer after layer in one sweep; the currents of a layer come from the corrected layers before it.

    Neurons at the output are left as they are: what they cannot send, negative outputs, is no error of theirs.

    Raises:
        InvalidInput: the network has no neurons, or neurons whose receivers hold a value.
    """
    require_rates(network, "A correction")
    require_same_graph(network.graph, calibration)
    corrected = dict(network.neurons)
    fast = compiles(network, calibration)

    def spike(node: fx.Node, currents: TimeSeries) -> TimeSeries:
        if node not in network.graph.output_encoders:
            corrected[node] = correction(node, corrected[node], currents)
        axis = network.graph.channel_axis(node)
        return [spike_train(corrected[node], network.T, axis, batch, fast) for batch in currents]

    with torch.no_grad():
        sweep(network, calibration.sweeps(network.T), network.T, spike)
    return network.with_neurons(corrected)


def put_neurons(
    network: SpikingNetwork, thresholds: Mapping[fx.Node, Tensor], start: Start, takes_back: TakesBack | None = None
) -> SpikingNetwork:
    """Puts neurons of one spike per step in the place of activations, with given thresholds.

    They are signed, and take spikes back as `takes_back` says, where it is given; those of leaky ReLUs are signed and
    take them back eagerly in any case.
    """
    graph = network.graph
    neurons = {}
    for node, threshold in thresholds.items():
        activation, threshold = graph.activation(node), threshold.to(graph.example.device)
        neurons[node] = Neuron(
            threshold, 1, torch.zeros(1, dtype=threshold.dtype, device=threshold.device), start,
            signed=takes_back is not None or activation.leaky, slope=activation.slope,
            takes_back="eagerly" if takes_back is None or activation.leaky else takes_back,
        )  # fmt: skip
    return network.with_neurons(neurons)


def require_same_graph(graph: ConversionGraph, calibration: Calibration) -> None:
    """Raises InvalidInput if the calibration set was measured on another network."""
    if calibration.graph is not graph:
        raise InvalidInput("The calibration set was measured on another network; make one from this graph.")


def require_neurons(network: SpikingNetwork, stage: str) -> None:
    """Raises InvalidInput if no stage has set thresholds yet."""
    if not network.neurons:
        raise InvalidInput(f"{stage} needs neurons; put a stage that sets thresholds before it.")


def require_rates(network: SpikingNetwork, stage: str) -> None:
    """Raises InvalidInput, as `require_neurons`, or if neurons have another code than the rate code."""
    require_neurons(network, stage)
    if network.holds:
        raise InvalidInput(
            f"{stage} is for the mean of spikes over time, and these neurons change a value that receivers hold; the "
            "stage that puts them has corrected them."
        )


def require_activations(graph: ConversionGraph, calibration: Calibration) -> None:
    """Raises InvalidInput if there is nothing that neurons could take the place of, or as `require_same_graph`."""
    require_same_graph(graph, calibration)
    if not graph.firing:
        raise InvalidInput(
            "The network has no activation that neurons could take the place of; only method 'ann' applies."
        )


def compiles(network: SpikingNetwork, calibration: Calibration) -> bool:
    """Whether it pays to compile neurons that fire on the whole calibration set twice: before and after a correction.

    Compiled neurons send the same on a CPU; it takes less time, and more until the first of them has been compiled.
    """
    samples = len(calibration.mean_inputs)
    return worth_compiling(2 * samples * network.T * neurons_of(network.graph), network.graph.example.device)


def neurons_of(graph: ConversionGraph) -> int:
    """Number of neurons that one sample has."""
    return sum(int(node.meta["val"].shape[1:].numel()) for node in graph.firing)


def spike_train(
    neuron: Neuron, T: int, axis: int, currents: Sequence[Tensor], fast: bool = False
) -> list[Tensor]:  # fmt: skip
    """The output of a layer of neurons at every step, given its currents, for one batch; `fast` compiles neurons."""
    layer = make_layer(neuron, T, axis, fast=fast)
    if isinstance(layer, Layer) and neuron.rehearsal:
        layer.rehearse(currents[: neuron.rehearsal])
    return [layer.step(current)[0] for current in currents]


def channel_mean(series: TimeSeries, axis: int) -> Tensor:
    """Mean over samples, positions and steps, per channel, float64."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for batch in series:
        for output in batch:
            rows = output.movedim(axis, -1).flatten(0, -2)
            total = total.to(output.device) + rows.sum(0, dtype=torch.float64)
            count += len(rows)
    return total / count


def sample_mean(series: TimeSeries) -> Tensor:
    """Mean over samples and steps, in the shape of one sample, float64."""
    sums = [output.sum(0, dtype=torch.float64) for batch in series for output in batch]
    return torch.stack(sums).sum(0) / sum(len(output) for batch in series for output in batch)
