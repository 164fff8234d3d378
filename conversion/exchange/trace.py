"""Golden traces: the spikes of every neuron at every step, beside a NIR graph, for other simulators to replay."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from conversion.capture.channels import per_neuron
from conversion.capture.graph import evaluate
from conversion.exchange.libraries import library
from conversion.exchange.parts import INPUT, OUTPUT
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Layer
from conversion.simulation.schedules import StepSchedule

if TYPE_CHECKING:
    import nir


@dataclass(frozen=True, eq=False)
class Run:
    """A simulation in float64, step by step.

    Attributes:
        spikes: by the name of each layer of neurons, whether each fired: boolean, of shape (N, T, neurons).
        output: the network's output at each step, of shape (N, T, outputs).
        margin: how near a potential came to a threshold before it was compared, in thresholds. A simulator whose
            rounding errors are larger may give other spikes; at 0 there is a tie, which NIR and we decide differently.
    """

    spikes: Mapping[str, Tensor]
    output: Tensor
    margin: float

    @property
    def T(self) -> int:
        return int(self.output.shape[1])


@torch.no_grad()
def run_in_double(network: SpikingNetwork, inputs: Tensor, names: Mapping[fx.Node, str] | None = None) -> Run:
    """Simulates a copy of a network in float64 and keeps every spike.

    Args:
        network: neurons of one spike per step, as `export_nir` takes them.
        inputs: shape (N, ...), the same at every step.
        names: what layers are called in the result; as their nodes are where this is left out.
    """
    called = {node.name: (names or {}).get(node, node.name) for node in network.neurons}
    double = copy.deepcopy(network).to(torch.float64)
    layers = {node: Layer(neuron, double.T, double.graph.channel_axis(node)) for node, neuron in double.neurons.items()}
    spikes: dict[str, list[Tensor]] = {called[node.name]: [] for node in layers}
    margins = []

    def spike(node: fx.Node, current: Tensor) -> Tensor:
        layer = layers[node]
        threshold = per_neuron(layer.neuron.threshold.double(), layer.axis, current.dim())
        output, _ = layer.step(current)
        fired = output != 0
        # A step subtracts what was fired; it stands before the comparison again.
        before = (layer.state[0] + output) / threshold
        margins.append(float((before - 1).abs().min()))
        spikes[called[node.name]].append(fired.flatten(1).cpu())
        return output

    inputs = double.graph.cast(inputs)
    schedule = StepSchedule(double, [inputs], spike)
    outputs = []
    for _ in range(double.T):
        values = double.start(inputs) | schedule.advance()
        for node in double.head:
            values[node] = evaluate(node, values)
        outputs.append(double.graph.finish(values).flatten(1).cpu())
    trains = {name: torch.stack(found, 1) for name, found in spikes.items()}
    return Run(trains, torch.stack(outputs, 1), min(margins))


def golden_trace(network: SpikingNetwork, inputs: Tensor) -> nir.NIRGraphData:
    """The input, all spikes and the output of a network, by the names of its nodes in `export_nir`.

    Observables are "input", "spikes" and "output", each of shape (samples, steps, neurons), a sample's neurons in the
    order of memory (C). A step takes time 1.
    """
    return as_data(run_in_double(network, inputs), inputs)


def as_data(run: Run, inputs: Tensor) -> nir.NIRGraphData:
    """A simulation and its inputs, of shape (N, ...), in NIR's form."""
    nir = library("nir", "nir")
    constant = inputs.double().cpu().flatten(1)[:, None].expand(-1, run.T, -1)

    def gridded(name: str, values: Tensor) -> Any:
        return nir.NIRNodeData({name: nir.TimeGriddedData(values.contiguous().numpy(), 1.0)})

    nodes = {INPUT: gridded("input", constant), OUTPUT: gridded("output", run.output)}
    return nir.NIRGraphData(nodes | {name: gridded("spikes", fired) for name, fired in run.spikes.items()})
