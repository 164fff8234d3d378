"""The spiking network: a captured graph with neurons in the place of activations."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor, fx

from conversion.arguments import named, number_of_steps
from conversion.capture.graph import ConversionGraph, Values, evaluate
from conversion.counting.fanout import Connectivity, connect
from conversion.errors import InvalidInput
from conversion.simulation.exit_rules import ExitRule
from conversion.simulation.neuron import Neuron

Nonlinear = Literal["difference", "instantaneous"]


@dataclass(frozen=True, eq=False, repr=False)
class SpikingNetwork:
    """A converted network. Without neurons it is the ANN itself. It can be copied and pickled, with its graph.

    Attributes:
        graph: the captured ANN.
        T: number of timesteps that the network was converted for.
        neurons: parameters of every layer of neurons, by the activation that it stands for.
        weights: parameters that calibration tuned, by the node that holds each; the graph keeps the ANN's own.
        exit: rule by which samples exit before step T; None runs all T steps.
        nonlinear: output of nonlinear operations between neurons: the difference of f of the running mean, whose mean
            is exact ("difference", conversion/simulation/temporal.py), or f of each step's value ("instantaneous"), as
            the paper's code does, where a maximum of spikes overestimates (E max >= max E), and as is right for values
            that are held. Of a maximum the difference is lateral-inhibition pooling: the largest sum of spikes so far,
            less what was sent before.
        readout_start: number of steps that the readout leaves out: the output is the mean over later ones, when
            spikes have come through all layers. They are simulated and counted all the same.
        readout_end: last step that the readout takes; None is the last of all. Layers that try their input need the
            later ones. They are simulated and counted all the same.
    """

    graph: ConversionGraph
    T: int
    neurons: Mapping[fx.Node, Neuron] = field(default_factory=lambda: MappingProxyType({}))
    weights: Mapping[fx.Node, Tensor] = field(default_factory=lambda: MappingProxyType({}))
    exit: ExitRule | None = None
    nonlinear: Nonlinear = "difference"
    readout_start: int = 0
    readout_end: int | None = None

    def __post_init__(self) -> None:
        # Whole numbers of numpy, too; the class is frozen.
        object.__setattr__(self, "T", number_of_steps(self.T))
        if not 0 <= self.readout_start < self.T:
            raise InvalidInput(
                f"The readout leaves out {self.readout_start} steps of {self.T}; give 0 or more, and fewer than all."
            )
        if self.readout_end is not None and not self.readout_start < self.readout_end <= self.T:
            raise InvalidInput(
                f"The readout ends with step {self.readout_end} of {self.T}, after {self.readout_start} that it leaves "
                "out; give a step between them and the last."
            )
        if (self.readout_start or self.readout_end is not None) and self.exit is not None:
            raise InvalidInput(
                "An exit rule looks at the mean of all steps so far, and a delayed readout leaves the first ones out; "
                "use one of the two."
            )
        if self.trial > self.T:
            raise InvalidInput(
                f"Neurons try {self.trial} steps, and the simulation has {self.T}; give it as many at least, and a "
                "readout_end where fewer are to be read."
            )
        codes = {neuron.code is None for neuron in self.neurons.values()}
        if len(codes) > 1:
            raise InvalidInput("Some neurons have the rate code and some hold values; give all of them codes, or none.")
        if self.holds and (self.nonlinear != "instantaneous" or self.readout_start or self.readout_end is not None):
            raise InvalidInput(
                "Neurons whose receivers hold a value need nonlinear operations of that value, nonlinear="
                "'instantaneous', and a readout of its last state, readout_start=0."
            )

    def __reduce__(self) -> tuple[Any, ...]:
        neurons, weights = ({node.name: value for node, value in part.items()} for part in (self.neurons, self.weights))
        settings = (self.exit, self.nonlinear, self.readout_start, self.readout_end)
        return _rebuilt, (self.graph, self.T, neurons, weights, *settings)

    def __repr__(self) -> str:
        phi = sorted({neuron.phi for neuron in self.neurons.values()})
        kinds = sorted({neuron.coding for neuron in self.neurons.values()})
        spikes = f" ({', '.join(kinds)} code, up to {phi[-1]} spikes per step)" if self.neurons else ""
        leaving = "" if self.exit is None else f", samples leave by {type(self.exit).__name__}"
        layers = f"{len(self.neurons)} layers of neurons{spikes}{leaving}"
        return f"SpikingNetwork for T = {self.T}: {layers}\nof a {self.graph!r}"

    def with_neurons(self, neurons: Mapping[fx.Node, Neuron]) -> SpikingNetwork:
        return replace(self, neurons=MappingProxyType(dict(neurons)))

    def start(self, inputs: Tensor) -> Values:
        """Values of the input and of all nodes that do not depend on it."""
        return self.graph.start(inputs, self.weights)

    def changing(self, *, constant_input: bool) -> frozenset[fx.Node]:
        """Nodes whose value changes from step to step."""
        return self.spiking if constant_input else frozenset((self.graph.input, *self.graph.body))

    @property
    def holds(self) -> bool:
        """Whether signals are values that receivers hold, the last of which counts, and not parts of a mean."""
        return any(neuron.code is not None for neuron in self.neurons.values())

    @property
    def trial(self) -> int:
        """Steps that neurons try before they run; 0 where none does."""
        return max((neuron.trial.steps for neuron in self.neurons.values() if neuron.trial is not None), default=0)

    @property
    def waits(self) -> bool:
        """Whether some neurons wait for their input, or try it first."""
        return any(neuron.delay(self.T) for neuron in self.neurons.values())

    @cached_property
    def spiking(self) -> frozenset[fx.Node]:
        """Nodes whose value changes from step to step under a constant input: neurons and all nodes after them."""
        return self.graph.downstream(self.neurons)

    @cached_property
    def head(self) -> tuple[fx.Node, ...]:
        """Nodes that no neuron depends on, in execution order. They are applied once, to the mean of their inputs."""
        leading = set(self.graph.upstream(self.neurons))
        # Means are of tensors, so a split of which a neuron reads one part is computed at every step as a whole.
        leading.update(node for node in self.graph.body if node.target is operator.getitem and node.args[0] in leading)
        return tuple(node for node in self.graph.body if node not in leading)

    @cached_property
    def body(self) -> tuple[fx.Node, ...]:
        """Nodes up to the last neurons, in execution order, which are simulated step by step."""
        head = set(self.head)
        return tuple(node for node in self.graph.body if node not in head)

    @cached_property
    def readout(self) -> tuple[fx.Node, ...]:
        """The nodes that the head, or the output, reads: their mean over time, or the last value, counts."""
        after = {*self.head, self.graph.output}
        return tuple(node for node in (self.graph.input, *self.body) if after.intersection(node.users))

    @cached_property
    def connectivity(self) -> Connectivity:
        """The connections of the network, for counting operations."""
        return connect(self.graph, self.neurons.keys(), difference=self.nonlinear == "difference")

    @cached_property
    def event_connectivity(self) -> Connectivity:
        """The connections of the network where the input is made of events, which are counted as spikes are."""
        return connect(self.graph, self.neurons.keys(), difference=self.nonlinear == "difference", event_input=True)

    def decode(self, means: Values, inputs: Tensor) -> Any:
        """The network's output for a batch of inputs from the values of its readout nodes: means, or those held."""
        cast = {node: mean.to(self.graph.dtype) for node, mean in means.items()}
        values = self.start(inputs) | cast
        for node in self.head:
            values[node] = evaluate(node, values)
        return self.graph.finish(values)

    def to(self, target: torch.device | torch.dtype | str) -> SpikingNetwork:
        """Moves the network to a device or its weights to a precision; the graph is changed in place."""
        self.graph.to(target)
        device = self.graph.example.device
        weights = {node: weight.to(target) for node, weight in self.weights.items()}
        moved = self.with_neurons({node: neuron.to(device) for node, neuron in self.neurons.items()})
        return replace(moved, weights=MappingProxyType(weights))


def _rebuilt(
    graph: ConversionGraph, T: int, neurons: Mapping[str, Neuron], weights: Mapping[str, Tensor], exit: ExitRule | None,
    nonlinear: Nonlinear, readout_start: int, readout_end: int | None,
) -> SpikingNetwork:  # fmt: skip
    """A network from its parts by the names of their nodes."""
    nodes = {node.name: node for node in graph.rules}
    return SpikingNetwork(
        graph, T, MappingProxyType({nodes[name]: neuron for name, neuron in neurons.items()}),
        MappingProxyType({nodes[name]: weight for name, weight in weights.items()}), exit, nonlinear, readout_start,
        readout_end,
    )  # fmt: skip


def require_spiking(network: object) -> None:
    """Checks that a network is a converted one, where a user may hand over what it was made from, or what wraps it.

    Raises:
        InvalidInput: it is none; the message says what makes one of it.
    """
    if isinstance(network, SpikingNetwork):
        return
    if isinstance(network, ConversionGraph):
        remedy = (
            "convert it first, convert(graph, calibration_batches, ...), or pass SpikingNetwork(graph, T=1), the ANN"
        )
    elif isinstance(getattr(network, "network", None), SpikingNetwork):
        remedy = "pass its attribute `network`"
    else:
        remedy = "capture and convert a network first: convert(capture(ann, example), calibration_batches, ...)"
    raise InvalidInput(f"A converted network is needed, a SpikingNetwork, and this is a {named(network)}; {remedy}.")
