"""What a conversion did to every layer: how it fires, and which part of its error has which cause (docs/report.md).

Over T steps a layer of neurons takes up T x_bar, x_bar its mean input current with all that calibration adds. With f
the activation that it stands for and a what the ANN computes there, its mean output differs from a by

    inherited     f(x_bar) - a                            what earlier layers got wrong
    clipping      min(f(x_bar), phi V) - f(x_bar)         no more than phi spikes fit into a step
    quantisation  V/T clip(floor(T x_bar/V + 1/2), 0, T phi) - min(f(x_bar), phi V)
    unevenness    what it sent, less what it would have sent had the current been the same at every step

and these four sum to the whole.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, fx

from conversion.calibration.statistics import Calibration
from conversion.capture.channels import per_channel
from conversion.capture.graph import source_line
from conversion.capture.roles import Activation, Role, Transport
from conversion.errors import InvalidInput
from conversion.report.naming import layer_name, op_name
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Layer, Neuron, leaky_relu
from conversion.simulation.schedules import Trains, sweep
from conversion.simulation.transfer import mean_spike_output
from conversion.stages.base import require_same_graph

PARTS = ("inherited", "clipping", "quantisation", "unevenness")


class ErrorSize(BaseModel):
    """One error of a layer over all its neurons and samples, relative to the RMS of the ANN's activation."""

    model_config = ConfigDict(frozen=True)
    rms: float
    mean: float


class ErrorParts(BaseModel):
    """The error of a layer's mean output and its parts; the means of the four parts sum to that of the total.

    Attributes:
        own: clipping, quantisation and unevenness together: what this layer adds.
        total: own and inherited.
    """

    model_config = ConfigDict(frozen=True)
    inherited: ErrorSize
    clipping: ErrorSize
    quantisation: ErrorSize
    unevenness: ErrorSize
    own: ErrorSize
    total: ErrorSize


class LayerReport(BaseModel):
    """One activation of the ANN and the layer of neurons in its place.

    Attributes:
        name: the modules that it stands for, "layer1.0.conv1 -> relu1".
        source: the line of the user's code, with the name of its file.
        role: "signed" neurons may take spikes back; an "analog" activation has no neurons, and no figures.
        neurons: how many.
        threshold: the smallest and the largest.
        phi: most spikes per step.
        rho: factor by which thresholds were enlarged after calibration.
        rate: mean spikes per neuron and step; a burst of n is n.
        silent: share of the neurons that never fired.
        activation: RMS of the ANN's activation, which the errors are relative to; they are absolute where it is zero.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    source: str
    role: Literal["spiking", "signed", "analog"]
    neurons: int
    threshold: tuple[float, float] | None = None
    phi: int | None = None
    rho: float | None = None
    rate: float | None = None
    silent: float | None = None
    activation: float | None = None
    errors: ErrorParts | None = None


class RoleGroup(BaseModel):
    """The operations that do the same thing in time.

    Attributes:
        role: "constant" under a constant input, so computed once; "spiking"; "linear" in spikes or in their sums;
            "analog", multiplications of a current and activations without neurons, at every step; "nonlinear", the
            difference of the running mean; "readout", applied once to the mean output.
        ops: how many of each.
        names: of the modules, in execution order.
    """

    model_config = ConfigDict(frozen=True)
    role: Literal["constant", "spiking", "linear", "analog", "nonlinear", "readout"]
    ops: dict[str, int]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ErrorSplit:
    """The parts of one layer's error, tensors of shape (N, ...) in float64, and the spikes of each step."""

    inherited: Tensor
    clipping: Tensor
    quantisation: Tensor
    unevenness: Tensor
    spikes: list[Tensor]

    @property
    def own(self) -> Tensor:
        return self.clipping + self.quantisation + self.unevenness

    @property
    def total(self) -> Tensor:
        return self.inherited + self.own


@torch.no_grad()
def explain(network: SpikingNetwork, calibration: Calibration, samples: int = 128) -> list[LayerReport]:
    """A report of every activation, in execution order, measured on the first calibration samples over all T steps.

    Raises:
        InvalidInput: the calibration set was measured on another network, or `samples` is below 1.
    """
    graph = network.graph
    require_same_graph(graph, calibration)
    if samples < 1:
        raise InvalidInput(f"The report looks at {samples} samples; give at least 1.")
    sums = {node: _Sums() for node in network.neurons}
    batches = zip(
        calibration.mean_inputs[:samples].split(calibration.sweep_batch),
        calibration.sweeps(network.T, samples),
        strict=True,
    )
    for inputs, frames in batches:
        ann: dict[fx.Node, Tensor] = {}
        graph.run(inputs, observe=ann.__setitem__)

        def spike(node: fx.Node, currents: Trains, ann: dict[fx.Node, Tensor] = ann) -> Trains:
            neuron, activation = network.neurons[node], ann.pop(node)
            axis, function = graph.channel_axis(node), graph.activation(node)
            sent, split = split_error(neuron, network.T, axis, currents[0], function, activation)
            sums[node].add(split, activation)
            return [sent]

        sweep(network, [frames], network.T, spike)
    return [_layer_report(network, node, sums.get(node)) for node in graph.firing]


def split_error(
    neuron: Neuron, T: int, axis: int, currents: Sequence[Tensor], function: Activation, activation: Tensor
) -> tuple[list[Tensor], ErrorSplit]:
    """Runs one layer of neurons and splits the error of its mean output.

    Args:
        neuron: the parameters.
        T: number of steps.
        axis: of the channels.
        currents: the layer's input at each step, of shape (N, ...).
        function: that the layer stands for.
        activation: the ANN's, like a current.

    Returns:
        What the layer sent at each step, and the parts of its error.
    """
    layer = Layer(neuron, T, axis)
    sent = [layer.step(current)[0] for current in currents]
    potential = layer.state[0]
    # As the layer rounded it, so that levels compare exactly.
    threshold = per_channel(neuron.threshold.to(potential.dtype).double(), axis, potential.dim())
    spikes = [(value.double() / threshold).round() for value in sent]
    total = torch.stack(spikes).sum(0)
    # What was taken up is what was sent and what is left; half a threshold of it, however it enters, is rounding.
    # Biases and initial potentials of any form are in it, as the neurons had them.
    taken = total * threshold + potential.double()
    half = torch.zeros_like(threshold) if neuron.start == "none" else threshold / 2
    summed = taken - half

    slope = function.slope
    ideal = leaky_relu(summed, slope).clamp(max=T * function.ceiling) / T
    clipped = ideal.minimum(neuron.phi * threshold).maximum(neuron.lowest * threshold)
    # A leaky ReLU scales a shift, which comes with the current, but not an initial potential.
    due = leaky_relu(taken, slope) if neuron.start == "shift" else leaky_relu(summed, slope) + half
    quantised = mean_spike_output(due / threshold, neuron, threshold, T)
    split = ErrorSplit(
        inherited=ideal - activation.double(),
        clipping=clipped - ideal,
        quantisation=quantised - clipped,
        unevenness=total * threshold / T - quantised,
        spikes=spikes,
    )
    return sent, split


@dataclass
class _Sums:
    """Running sums of one layer over samples."""

    values: int = 0
    spikes: float = 0.0
    updates: int = 0
    activation: float = 0.0
    squares: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    fired: Tensor | None = None

    def add(self, split: ErrorSplit, activation: Tensor) -> None:
        self.values += activation.numel()
        self.activation += float(activation.double().square().sum())
        for part in ErrorParts.model_fields:
            error: Tensor = getattr(split, part)
            self.squares[part] += float(error.square().sum())
            self.sums[part] += float(error.sum())
        counts = torch.stack(split.spikes).abs()
        self.spikes += float(counts.sum())
        self.updates += counts.numel()
        fired = (counts > 0).flatten(0, 1).any(0)
        self.fired = fired if self.fired is None else self.fired | fired


def _layer_report(network: SpikingNetwork, node: fx.Node, sums: _Sums | None) -> LayerReport:
    # Without folders, so that a report is the same on every machine.
    name, source = layer_name(network, node), re.sub(r"^.*[/\\](?=[^/\\]+:\d+ in )", "", source_line(node))
    neurons = node.meta["val"].shape[1:].numel()
    if sums is None:
        return LayerReport(name=name, source=source, role="analog", neurons=neurons)
    assert sums.fired is not None
    neuron = network.neurons[node]
    rms = (sums.activation / sums.values) ** 0.5
    scale = rms or 1.0
    errors = {
        part: ErrorSize(
            rms=(sums.squares[part] / sums.values) ** 0.5 / scale, mean=sums.sums[part] / sums.values / scale
        )
        for part in ErrorParts.model_fields
    }
    return LayerReport(
        name=name,
        source=source,
        role="signed" if neuron.signed else "spiking",
        neurons=neurons,
        threshold=(float(neuron.threshold.min()), float(neuron.threshold.max())),
        phi=neuron.phi,
        rho=neuron.rho,
        rate=sums.spikes / sums.updates,
        silent=1 - float(sums.fired.double().mean()),
        activation=rms,
        errors=ErrorParts(**errors),
    )


def worst(report: Sequence[LayerReport]) -> str:
    """The layer that adds most error to what it inherits, and of which kind, in one sentence."""
    measured = [(layer, layer.errors) for layer in report if layer.errors is not None]
    if not measured:
        return "No layer spikes, so none adds an error."
    layer, errors = max(measured, key=lambda pair: pair[1].own.rms)
    if errors.own.rms == 0:
        return "No layer adds an error on these samples."
    own: dict[str, ErrorSize] = {part: getattr(errors, part) for part in PARTS[1:]}
    cause = max(own, key=lambda part: own[part].rms)
    return (
        f"{layer.name} adds most error: {errors.own.rms:.1%} of its activation's RMS, mainly {cause} "
        f"({own[cause].rms:.1%}); it inherits {errors.inherited.rms:.1%} from the layers before it."
    )


def roles(network: SpikingNetwork, *, constant_input: bool = True) -> list[RoleGroup]:
    """What every operation is in time, in groups; those without a member are left out. An input that is not constant
    is one of events."""
    groups: dict[str, list[fx.Node]] = {}
    for node, role in _roles_in_time(network, constant_input).items():
        groups.setdefault(role, []).append(node)
    return [
        RoleGroup.model_validate(
            {
                "role": role,
                "ops": Counter(op_name(node) for node in groups[role]),
                "names": tuple(layer_name(network, node) for node in groups[role]),
            }
        )
        for role in ("constant", "spiking", "linear", "analog", "nonlinear", "readout")
        if role in groups
    ]


def _roles_in_time(network: SpikingNetwork, constant_input: bool) -> dict[fx.Node, str]:
    rules, head = network.graph.rules, set(network.head)
    # Nodes whose value is no sum of spikes, which a synapse has to multiply.
    analog = {network.graph.input} if constant_input else set[fx.Node]()
    changing = network.changing(constant_input=constant_input)
    found: dict[fx.Node, str] = {}
    for node in network.graph.body:
        rule = rules[node]
        from_analog = not analog.isdisjoint(node.all_input_nodes)
        if node not in network.neurons and (from_analog or rule.transport in (None, Transport.SYNAPSE)):
            analog.add(node)
        if node in head:
            found[node] = "readout"
        elif node not in changing:
            found[node] = "constant"
        elif node in network.neurons:
            found[node] = "spiking"
        elif rule.role is Role.NONLINEAR:
            found[node] = "nonlinear"
        else:
            multiplies = rule.role is Role.FIRING or (from_analog and rule.transport is Transport.SYNAPSE)
            found[node] = "analog" if multiplies else "linear"
    return found
