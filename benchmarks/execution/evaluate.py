"""The computation of a cell's figures besides its method: the captured network, its evaluation on the test split.

A change of any code that these functions reach makes every record stale (`benchmarks.freshness`); a change elsewhere
in the workbench does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from adapters import Network, load_weights
from benchmarks.records.predictions import Predictions
from benchmarks.records.record import LayerCounts, Value
from benchmarks.references.totals import Totals
from conversion import Calibration, ConversionGraph, Counts, SpikingNetwork, capture, simulate
from conversion.codes import RATE
from conversion.counting.operations import KINDS
from conversion.errors import InvalidInput
from conversion.simulation.exit_rules import is_power_of_two
from tasks import Task

# With early exit batches are larger by this factor, since samples leave them.
EXIT_BATCHES = 4
SPIKES = KINDS.index("spikes")
# What the counts in units of the smallest amplitude equal where spikes have one amplitude.
UNITS = {"units": "spikes", "synops_smallest": "synops_unary"}


class Prepared:
    """A trained network, bound to its task.

    Args:
        task: the task, read as the network needs it.
        adapter: the network's own class.
        weights: digest of its weights.
        captured: captures it; called once, when the graph is asked for, which what is measured already is not.
    """

    def __init__(self, task: Task, adapter: Network, weights: str, captured: Callable[[], ConversionGraph]) -> None:
        self.task, self.adapter, self.weights = task, adapter, weights
        self._captured = captured

    @cached_property
    def graph(self) -> ConversionGraph:
        """The captured network.

        Raises:
            UnsupportedOp: it holds an operation that cannot be applied step by step.
        """
        graph = self._captured()
        del self._captured  # With the network itself.
        return graph


@dataclass(frozen=True)
class Evaluation:
    """The figures measured on the test split; see the fields of `Record` and `Measurement`."""

    metrics: dict[str, Value]
    curve: dict[int, float]
    totals: Totals
    layers: list[LayerCounts]
    exits: list[float]
    activity: list[float]
    samples: pd.DataFrame
    code: str
    wait: str


def prepare(adapter: Network, weights: Path, device: torch.device, dtype: torch.dtype) -> Prepared:
    """Builds a network with trained weights. Its task is read as the network needs it.

    Raises:
        CheckpointError: the weights do not fit.
    """
    model = adapter.build()
    digest = load_weights(model, weights, adapter)
    task = adapter.task
    example = adapter.encode(torch.zeros(1, *task.input_shape, dtype=torch.uint8))
    return Prepared(task, adapter, digest, lambda: capture(model.eval(), example).to(device).to(dtype))


def calibration_set(prepared: Prepared, count: int, seed: int) -> Calibration:
    """Draws the training samples that conversions may look at, and measures the ANN's statistics on them."""
    samples, held_out = prepared.task.calibration(count, seed), prepared.task.held_out(count, seed)
    device = prepared.graph.example.device
    labelled = None
    if isinstance(held_out.targets, Tensor):  # Early exit learns from labels.
        labelled = prepared.adapter.spiking_input(held_out.inputs.to(device)), held_out.targets
    inputs = prepared.adapter.spiking_input(samples.to(device))
    calibration = Calibration(prepared.graph, inputs, held_out=labelled, seed=seed)
    _ = calibration.histograms  # Every method needs them, so they are in no method's time.
    return calibration


def evaluate(
    prepared: Prepared, network: SpikingNetwork, limit: int | None, fast: bool, advance: Callable[[int], None]
) -> Evaluation:
    """Simulates the test split, or its first `limit` samples; calls `advance` with the size of each finished batch.

    Raises:
        InvalidInput: the outputs are not finite, or the ANN's score shows that something is wrong with the data.
    """
    task, adapter = prepared.task, prepared.adapter
    metrics = {t: task.metric() for t in readout_steps(network.T, sparse=task.dense)}
    tallies: list[Tensor] = []
    fired: Tensor | float = 0.0
    steps: list[Tensor] = []
    updates: list[Tensor] = []
    payload: list[Tensor] = []
    counts: Counts | None = None
    kept = Predictions(task.target)
    predictions: Any = None
    for batch in task.test(task.batch * (1 if network.exit is None else EXIT_BATCHES), limit):
        inputs = adapter.spiking_input(batch.inputs.to(prepared.graph.example.device))
        readout = simulate(network, inputs, at=list(metrics), fast=fast)
        for t, metric in metrics.items():
            predictions = adapter.decode(_finite(readout.mean(t)))
            metric.update(predictions, batch.targets)
        kept.add(predictions, batch.targets)  # Of the last step, which comes last.
        counts = readout.counts
        assert counts is not None  # Asked for by default.
        tallies.append(counts.tally[:, -1])
        fired = fired + counts.tally[_neurons(network, counts), ..., SPIKES].sum((0, 2))
        steps.append(counts.steps)
        updates.append(counts.updates(network.T))
        payload.append(counts.payload(network.T))
        advance(len(batch.inputs))
    assert counts is not None  # A test split has at least one sample.
    tally, taken = torch.cat(tallies, dim=1), torch.cat(steps)
    layers = _layers(network, counts, tally.mean(1))
    last = metrics[network.T]
    measured = last.compute()
    doubt = task.doubt(measured) if not network.neurons else None  # Without neurons it is the ANN itself.
    if doubt is not None:
        raise InvalidInput(doubt)
    return Evaluation(
        metrics={k: Value(**vars(v)) for k, v in measured.items()},
        curve={t: metric.compute()[task.primary_metric].value for t, metric in metrics.items()},
        totals=_totals(network, taken, torch.cat(updates), torch.cat(payload), counts, layers),
        layers=layers,
        exits=_exits(network, taken),
        activity=_activity(fired, len(taken)),
        samples=_samples(last.outcomes(), taken, tally.sum(0), kept),
        code=_code(network),
        wait=_wait(network),
    )


def readout_steps(T: int, *, sparse: bool) -> list[int]:
    """The steps at which a simulation is scored: all, or powers of two and the last."""
    return [t for t in range(1, T + 1) if not sparse or t == T or is_power_of_two(t)]


def _finite(output: Any) -> Any:
    """Moves an output, one tensor or several, to the CPU. Raises InvalidInput unless it is finite."""
    if not all(bool(torch.isfinite(part).all()) for part in tree_leaves(output) if isinstance(part, Tensor)):
        raise InvalidInput("The network's output is not finite.")
    return tree_map(lambda part: part.cpu() if isinstance(part, Tensor) else part, output)


def _layers(network: SpikingNetwork, counts: Counts, mean: Tensor) -> list[LayerCounts]:
    """Per-layer counts of one mean sample; `mean` has shape (layers, 8). An input of events has no phi."""
    phi = {node.name: neuron.phi for node, neuron in network.neurons.items()}
    return [
        LayerCounts(
            name=name, neurons=counts.neurons[i], phi=phi.get(name, 0), fan_out=counts.fan_out[i],
            **dict(zip(KINDS, mean[i].tolist(), strict=True)),
        )
        for i, name in enumerate(counts.layers)
    ]  # fmt: skip


def _totals(
    network: SpikingNetwork, steps: Tensor, updates: Tensor, payload: Tensor, counts: Counts, layers: list[LayerCounts]
) -> Totals:  # fmt: skip
    sums = {kind: sum(getattr(layer, kind) for layer in layers) for kind in KINDS}
    answered = steps if network.readout_end is None else steps.clamp(max=network.readout_end)
    return Totals(
        steps=float(steps.mean()),
        neurons=sum(counts.neurons),
        neuron_updates=float(updates.mean()),
        payload_bits=float(payload.mean()),
        latency_first=1 + network.readout_start + counts.delay,
        latency_final=float(answered.mean()) + counts.delay,
        **counts.analog.model_dump(),
        **sums,
    )


def _samples(outcomes: Tensor, steps: Tensor, counts: Tensor, kept: Predictions) -> pd.DataFrame:
    """One row for each sample; `counts` has shape (N, 8), and all of them but units are whole numbers."""
    by_kind = dict(zip(KINDS, counts.T, strict=True))
    columns = {kind: by_kind[kind].round().long().numpy() for kind in KINDS if kind not in UNITS}
    if not all(torch.equal(by_kind[kind], by_kind[spikes]) for kind, spikes in UNITS.items()):
        columns |= {kind: by_kind[kind].numpy() for kind in UNITS}
    table = {"outcome": outcomes.numpy(), "steps": steps.int().numpy(), **columns, **kept.columns()}
    return pd.DataFrame(table)


def _code(network: SpikingNetwork) -> str:
    """The names of its neurons' codes, in the order of its layers."""
    return "+".join(dict.fromkeys(neuron.coding for neuron in network.neurons.values())) or RATE


def _wait(network: SpikingNetwork) -> str:
    """The waits of its layers, each once, from the shortest to the longest."""
    ordered = sorted(network.neurons.values(), key=lambda neuron: neuron.wait)
    return "+".join(dict.fromkeys(neuron.waits(network.T) for neuron in ordered)) or "0"


def _neurons(network: SpikingNetwork, counts: Counts) -> list[int]:
    """The indices of the layers that have neurons; an input of events is a layer without."""
    neurons = {node.name for node in network.neurons}
    return [index for index, name in enumerate(counts.layers) if name in neurons]


def _activity(fired: Tensor | float, samples: int) -> list[float]:
    """Mean spikes of a sample in each step, from the cumulated spikes of all samples, shape (T,)."""
    steps: list[float] = torch.as_tensor(fired).diff(prepend=torch.zeros(1, dtype=torch.float64)).div(samples).tolist()
    return steps if any(steps) else []


def _exits(network: SpikingNetwork, steps: Tensor) -> list[float]:
    """The share of samples that left after each step; empty without early exit."""
    if network.exit is None:
        return []
    return [float((steps == t).double().mean()) for t in range(1, network.T + 1)]
