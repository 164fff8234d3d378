"""Simulation of a spiking network: outputs and counts at every step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_map

from conversion.arguments import as_tensor, named, number_of_steps, whole_number
from conversion.counting.counts import Counts
from conversion.counting.fanout import Connectivity
from conversion.counting.spikes import count_spikes
from conversion.errors import InvalidInput, UnknownName
from conversion.simulation.coded import make_layer, waited
from conversion.simulation.exit_rules import is_power_of_two
from conversion.simulation.frames import Frames, running_means
from conversion.simulation.network import SpikingNetwork, require_spiking
from conversion.simulation.neuron import Layer
from conversion.simulation.pipeline import Pipeline
from conversion.simulation.readout import LastValue, RunningMean
from conversion.simulation.schedules import StepSchedule, TimeSeries, sweep
from conversion.simulation.timing import timing

# A constant input (N, ...), one for each step, or frames that are grouped to steps.
Inputs = Tensor | Sequence[Tensor] | Frames
SCHEDULES = ("step", "sweep")


@dataclass(frozen=True, eq=False)
class Readout:
    """Output of a simulation, at every step that was asked for.

    Attributes:
        outputs: by step t, the network's output in the ANN's own structure: from the mean of steps 1..t, or of those
            after the network's `readout_start` and up to its `readout_end`, or from the values held after step t. A
            sample that left early keeps the output with which it left.
        steps: number of steps of each sample, int64 of shape (N,).
        counts: None when nothing was counted.
    """

    outputs: dict[int, Any]
    steps: Tensor
    counts: Counts | None

    def mean(self, t: int) -> Any:
        """The network's output after t steps; for a classifier logits of shape (N, classes)."""
        if t not in self.outputs:
            raise InvalidInput(f"Step {t} was not read out; steps {sorted(self.outputs)} were.")
        return self.outputs[t]


@torch.no_grad()
def simulate(
    network: SpikingNetwork, inputs: Inputs, T: int | None = None, *, schedule: Literal["step", "sweep"] = "step",
    at: Collection[int] | None = None, count: bool = True, fast: bool = False,
    observe: Callable[[int, Any], None] | None = None,
) -> Readout:  # fmt: skip
    """Runs a spiking network. Samples that are done by its exit rule leave the batch.

    Args:
        network: the converted network.
        inputs: shape (N, ...), a tensor or a numpy array, the same at every step; a sequence of T tensors, one for each
            step; or frames in time. Frames of events are counted as the first layer of spikes, with their connections.
        T: number of steps; the network's own when left out.
        schedule: a schedule of `conversion.simulation.schedules`; both give the same result.
        at: the steps to read out, all of 1..T when left out.
        count: count spikes and synaptic operations.
        fast: compile the neurons. Worth it from about a billion neuron updates on; needs a C++ compiler on CPU.
        observe: called with t and the output after t steps, at every step: large outputs need not be kept.

    Raises:
        InvalidInput: T or a readout step below 1, an empty batch, values that are not finite; early exit together with
            the sweep schedule, which runs all steps of a node before the next node.
    """
    require_spiking(network)
    T = network.T if T is None else number_of_steps(T)
    if schedule not in SCHEDULES:
        raise UnknownName("schedule", str(schedule), SCHEDULES)
    read = sorted({whole_number("A readout step", t) for t in (range(1, T + 1) if at is None else at)})
    if not read or read[0] < 1 or read[-1] > T:
        raise InvalidInput(f"Readout at steps {read}, but the simulation has steps 1 to {T}.")
    if network.holds and T != network.T:
        raise InvalidInput(
            f"The network's codes are for T = {network.T} steps, and {T} are asked for; convert it for as many."
        )
    if network.trial > T or (network.trial and not isinstance(inputs, Tensor)):
        raise InvalidInput(
            f"Neurons try the input for {network.trial} steps before they run: it has to be the same at every step, "
            f"and the simulation to have as many. It has {T}{'' if isinstance(inputs, Tensor) else ' frames in time'}; "
            "choose a method that tries nothing, such as 'qcfs'."
        )
    if network.exit is not None and schedule == "sweep":
        raise InvalidInput("Samples that leave early need the step schedule; sweep runs all steps of every sample.")
    if observe is not None and (network.exit is not None or schedule == "sweep"):
        raise InvalidInput("Outputs are observed in the step schedule, while no sample leaves.")
    if isinstance(inputs, np.ndarray):
        inputs = as_tensor(inputs, "The input")
    frames = as_frames(network, inputs, T)
    # Without neurons it is an ANN, whose inputs are analog even where they are numbers of events.
    counts_events = isinstance(inputs, Frames) and inputs.event is not None and bool(network.neurons)
    connectivity = network.event_connectivity if counts_events else network.connectivity
    layers = LayerStates(network, connectivity, count, fast)
    if isinstance(inputs, Frames) and counts_events and count:
        layers.input_events = inputs.events(T)
    if schedule == "sweep":
        outputs, steps = _sweep(network, frames, T, layers), torch.full((len(frames[0]),), T, device=frames[0].device)
    else:
        outputs, steps = run_steps(network, frames, T, layers, read, observe)
    outputs = {t: outputs[t] for t in read}
    if not count:
        return Readout(outputs, steps, None)
    constant = isinstance(inputs, Tensor)
    times = timing(network, network.changing(constant_input=constant), T)
    counts = Counts.of(
        connectivity, layers.tallies, steps, T, constant_input=constant,
        ahead={node: times.ahead(node) for node in network.neurons},
        payload_bits={node: neuron.payload_bits(T) for node, neuron in network.neurons.items()},
        delay=times.latency,
        rehearsals={node: neuron.rehearsal for node, neuron in network.neurons.items()},
    )  # fmt: skip
    return Readout(outputs, steps, counts)


class LayerStates:
    """The state of all layers of neurons, and the tallies of their spikes at every step."""

    def __init__(self, network: SpikingNetwork, connectivity: Connectivity, count: bool, fast: bool) -> None:
        fan_out = connectivity.fan_out if count else {}
        self.layers = {
            node: make_layer(neuron, network.T, network.graph.channel_axis(node), fan_out.get(node), fast)
            for node, neuron in network.neurons.items()
        }
        # The input is a layer where it is made of events.
        inputs = [node for node in fan_out if node is network.graph.input]
        self.tallies: dict[fx.Node, list[Tensor]] = {node: [] for node in (*inputs, *self.layers)}
        self.input_events: list[Tensor] = []
        self._input = (inputs[0], fan_out[inputs[0]]) if inputs else None
        # Steps that a layer sends again, after the layers that read it have tried them.
        self.repeated = {node: _tried_after(network, node) for node in self.layers if network.trial}

    def count_input(self, t: int, samples: Tensor) -> None:
        """Counts the input events of step t, of the samples at the given indices."""
        if self.input_events and self._input is not None:
            node, fan_out = self._input
            events = self.input_events[t - 1][samples]
            tally = count_spikes(events, fan_out.to(events), single=False)
            assert tally is not None
            self.tallies[node].append(tally.sum(2, dtype=torch.float64))

    def spike(self, node: fx.Node, current: Tensor) -> Tensor:
        layer = self.layers[node]
        output, tally = layer.step(current)
        if tally is not None:
            times = 2 if layer.t <= self.repeated.get(node, 0) else 1
            self.tallies[node].append(times * tally.sum(2, dtype=torch.float64))
        return output

    def rehearse(self, node: fx.Node, currents: Sequence[Tensor]) -> None:
        layer = self.layers[node]
        assert isinstance(layer, Layer)  # Neurons in a code try nothing.
        layer.rehearse(currents)

    def keep(self, samples: Tensor) -> None:
        for layer in self.layers.values():
            layer.keep(samples)


def _sweep(network: SpikingNetwork, frames: list[Tensor], T: int, layers: LayerStates) -> dict[int, Any]:
    for t in range(1, T + 1):
        layers.count_input(t, torch.arange(len(frames[0]), device=frames[0].device))

    def spike(node: fx.Node, currents: TimeSeries) -> TimeSeries:
        neuron = network.neurons[node]
        if neuron.rehearsal:
            layers.rehearse(node, currents[0][: neuron.rehearsal])
        return [[layers.spike(node, known) for known in waited(currents[0], neuron.wait)]]

    series = sweep(network, [frames], T, spike)
    running = _readout(network)
    outputs: dict[int, Any] = {}
    for t in range(1, T + 1):
        running.add({node: series[node][0][t - 1] for node in network.readout})
        outputs[t] = network.decode(running.value(), frames[0])
    return outputs


class States(Protocol):
    """The state of all layers of neurons in the step schedule."""

    def count_input(self, t: int, samples: Tensor) -> None: ...

    def spike(self, node: fx.Node, current: Tensor) -> Tensor: ...

    def rehearse(self, node: fx.Node, currents: Sequence[Tensor]) -> None: ...

    def keep(self, samples: Tensor) -> None: ...


def run_steps(
    network: SpikingNetwork, frames: list[Tensor], T: int, layers: States, read: Collection[int],
    observe: Callable[[int, Any], None] | None = None,
) -> tuple[dict[int, Any], Tensor]:  # fmt: skip
    """The step schedule: outputs at the steps in `read`, and how many steps each sample took, int64 of shape (N,).

    Args:
        network: the converted network.
        frames: one input for all steps, or one for each, as `as_frames` makes them.
        layers: the state of its layers of neurons, which it changes.
        observe: called with t and the output after t steps.
    """
    schedule = (
        Pipeline(network, frames, layers.spike, layers.rehearse, T)
        if network.waits
        else StepSchedule(network, frames, layers.spike)
    )
    alive = torch.arange(len(frames[0]), device=frames[0].device)
    steps = torch.full_like(alive, T)
    running = _readout(network)
    outputs: dict[int, Any] = {}
    latest: Any = None
    earlier: Any = None
    rule = network.exit
    for t in range(1, T + 1):
        if len(alive):
            layers.count_input(t, alive)
            running.add(schedule.advance())
        needed = rule is not None and (rule.decides_at(t) or is_power_of_two(t))
        if len(alive) and (t in read or needed or observe is not None):
            output = network.decode(running.value(), frames[0][alive])
            if rule is None:
                latest = output
                if observe is not None:
                    observe(t, output)
            else:
                latest = output if latest is None else tree_map(partial(_put, alive), latest, output)
                done = torch.zeros_like(alive, dtype=torch.bool)
                if rule.decides_at(t):
                    done = rule.exits(output, t, earlier)
                steps[alive[done]] = t
                if is_power_of_two(t):
                    earlier = output
                if bool(done.any()) and t < T:
                    stay = (~done).nonzero().squeeze(1)
                    alive = alive[stay]
                    running.keep(stay)
                    earlier = tree_map(itemgetter(stay), earlier)
                    schedule.keep(stay)
                    layers.keep(stay)
        if t in read:
            outputs[t] = latest
    return outputs, steps


def _readout(network: SpikingNetwork) -> RunningMean | LastValue:
    return LastValue() if network.holds else RunningMean(network.readout_start, network.readout_end)


def _tried_after(network: SpikingNetwork, node: fx.Node) -> int:
    """The most steps that a layer behind this one tries before it runs."""
    behind = network.graph.downstream({node}) - {node}
    return max((neuron.rehearsal for other, neuron in network.neurons.items() if other in behind), default=0)


def _put(samples: Tensor, value: Tensor, fresh: Tensor) -> Tensor:
    return value.index_copy(0, samples, fresh)


def as_frames(network: SpikingNetwork, inputs: Inputs, T: int) -> list[Tensor]:
    """One input for all steps, or T of them, in the network's precision; of held values, their running means.

    Raises:
        InvalidInput: they are no tensors, not of the network's shape or not finite, or there are not T of them.
    """
    if isinstance(inputs, Frames):
        inputs = inputs.steps(T)
    if not isinstance(inputs, (Tensor, Sequence)):
        raise InvalidInput(f"The input is a {named(inputs)}; pass a tensor of shape (N, ...), T of them, or Frames.")
    frames = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if odd := [frame for frame in frames if not isinstance(frame, Tensor)]:
        raise InvalidInput(f"A frame of the input is a {named(odd[0])}; pass tensors of shape (N, ...).")
    if not isinstance(inputs, Tensor) and len(frames) != T:
        raise InvalidInput(f"The input has {len(frames)} frames for T = {T} steps; give one frame for each step.")
    frames = [network.graph.cast(frame) for frame in frames]
    for frame in frames:
        if frame.shape[1:] != network.graph.example.shape[1:] or not len(frame):
            expected = tuple(network.graph.example.shape[1:])
            raise InvalidInput(f"The input has shape {tuple(frame.shape)}; the network takes (N >= 1, *{expected}).")
        if len(frame) != len(frames[0]):
            raise InvalidInput(f"Frames have {len(frames[0])} and {len(frame)} samples; give all of them the same.")
        if not bool(torch.isfinite(frame).all()):
            raise InvalidInput("The input holds values that are not finite.")
    return running_means(frames) if network.holds else frames
