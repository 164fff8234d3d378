"""The report of a conversion: how every layer fires, and how much error it adds (docs/report.md)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, fx

from conversion.calibration.statistics import Calibration
from conversion.capture.graph import source_line
from conversion.codes import RATE
from conversion.errors import InvalidInput
from conversion.report.coded import split_coded_error
from conversion.report.errors import PARTS, ErrorSplit, split_error
from conversion.report.naming import layer_name
from conversion.simulation.frames import running_means
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.schedules import TimeSeries, sweep
from conversion.stages.base import require_same_graph


class ErrorSize(BaseModel):
    """One error of a layer over all its neurons and samples, relative to the RMS of the ANN's activation."""

    model_config = ConfigDict(frozen=True)
    rms: float
    mean: float


class ErrorParts(BaseModel):
    """The error of a layer's mean output and its parts; the means of the four parts sum to that of the total.

    In codes whose receivers hold a value, it is the error of the last one.

    Attributes:
        own: the error that this layer adds: the sum of clipping, quantisation and unevenness.
        total: the sum of own and inherited.
    """

    model_config = ConfigDict(frozen=True)
    inherited: ErrorSize
    clipping: ErrorSize
    quantisation: ErrorSize
    unevenness: ErrorSize
    own: ErrorSize
    total: ErrorSize


class LayerReport(BaseModel):
    """One activation of the ANN, or its output, and the layer of neurons in its place.

    Attributes:
        name: the modules that it replaces, "layer1.0.conv1 -> relu1".
        source: the line of the user's code, with the name of its file.
        role: "signed" neurons may take spikes back; an "analog" activation has no neurons, and no figures.
        neurons: number of neurons.
        code: the code that its spikes are in.
        wait: steps that it waits for its input, or "window" for all of it.
        threshold: the smallest and the largest threshold, of all steps where they have their own.
        phi: most spikes per step.
        rho: threshold ratio of SSC, by which thresholds were enlarged after calibration.
        rate: mean spikes per neuron and step; a burst of n is n.
        silent: share of the neurons that never fired.
        activation: RMS of the ANN's activation; errors are relative to it, and absolute where it is zero.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    source: str
    role: Literal["spiking", "signed", "analog"]
    neurons: int
    # Reports from before there were codes are of rates.
    code: str = RATE
    wait: str = "0"
    threshold: tuple[float, float] | None = None
    phi: int | None = None
    rho: float | None = None
    rate: float | None = None
    silent: float | None = None
    activation: float | None = None
    errors: ErrorParts | None = None


@torch.no_grad()
def explain(network: SpikingNetwork, calibration: Calibration, samples: int = 128) -> list[LayerReport]:
    """A report of every activation, in execution order, measured on the first calibration samples over all T steps.

    Neurons at the output come last. What they cannot send, the negative part of the output, is clipping.

    Raises:
        InvalidInput: the calibration set was measured on another network, or `samples` is below 1.
    """
    graph = network.graph
    calibration = calibration.on(graph)
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
        graph.run(inputs, observe=ann.__setitem__, also=network.neurons)

        def spike(node: fx.Node, currents: TimeSeries, ann: dict[fx.Node, Tensor] = ann) -> TimeSeries:
            neuron, activation = network.neurons[node], ann.pop(node)
            axis, function = graph.channel_axis(node), graph.activation(node)
            split_by_cause = split_error if neuron.code is None else split_coded_error
            outputs, split = split_by_cause(neuron, network.T, axis, currents[0], function, activation)
            sums[node].add(split, activation)
            return [outputs]

        sweep(network, [running_means(frames) if network.holds else frames], network.T, spike)
    sites = (*graph.firing, *(node for node in graph.output_encoders if node in network.neurons))
    return [_layer_report(network, node, sums.get(node)) for node in sites]


def worst(report: Sequence[LayerReport]) -> str:
    """One sentence on the layer that adds most error, and on the kind of that error."""
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


# What helps against each kind of error that layers add.
REMEDIES = {
    "clipping": "A larger phi, or thresholds by another rule, let them send more.",
    "quantisation": "More steps, or a larger phi with smaller thresholds, make it finer.",
    "unevenness": "Signed neurons (`signed=True`) take back the spikes that came too early.",
}


def advice(report: Sequence[LayerReport]) -> str:
    """The kind of error that layers add most of, from which layer on, and what removes it."""
    measured = [(layer, layer.errors) for layer in report if layer.errors is not None]
    squares = {part: sum(getattr(errors, part).rms ** 2 for _, errors in measured) for part in PARTS[1:]}
    kind = max(squares, key=lambda part: squares[part])
    if not squares[kind]:
        return "No layer adds an error."
    largest = [max(PARTS[1:], key=lambda part: getattr(errors, part).rms) == kind for _, errors in measured]
    first = largest.index(True)
    remedy = REMEDIES[kind]
    if kind == "unevenness" and all(layer.role == "signed" for layer, _ in measured):
        remedy = "The neurons are signed already; more steps are left, or a code whose layers wait."
    return (
        f"What layers add is mainly {kind}: it is the largest part in {sum(largest)} of {len(largest)}, from "
        f"{measured[first][0].name} (layer {first + 1}) on. {remedy}"
    )


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
    signed = neuron.signed if neuron.code is None else neuron.code.signed
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
        role="signed" if signed else "spiking",
        neurons=neurons,
        code=neuron.coding,
        wait=neuron.waits(network.T),
        threshold=(float(neuron.threshold.min()), float(neuron.threshold.max())),
        phi=neuron.phi,
        rho=neuron.rho,
        rate=sums.spikes / sums.updates,
        silent=1 - float(sums.fired.double().mean()),
        activation=rms,
        errors=ErrorParts(**errors),
    )
