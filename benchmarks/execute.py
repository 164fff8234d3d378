"""Measures one cell: build, capture, convert, simulate, score."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
import torchvision
from torch import Tensor

from adapters import NETWORKS, Network, find_weights, load_weights, resolve_device
from benchmarks.cells import Cell
from benchmarks.prices import Totals
from benchmarks.records import LayerCounts, Measured, Record, Value
from conversion import Calibration, ConversionGraph, Counts, SpikingNetwork, capture, simulate
from conversion.counts import KINDS
from conversion.errors import InvalidInput
from conversion.methods import Method
from conversion.neuron import worth_compiling
from conversion.report import explain
from conversion.stages import Stage
from tasks import TASKS, Task

Precision = Literal["auto", "float32", "bfloat16"]
# Layers of 64 small images fit the caches and keep two cores busy; measured in docs/performance.md.
BATCH = 64
# Samples leave: a larger batch stays large enough.
EXIT_BATCH = 256
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Prepared:
    """A trained network, bound to its task and captured."""

    task: Task
    adapter: Network
    graph: ConversionGraph
    weights: str


class Workbench:
    """What cells share: data, captured networks and calibration statistics, each made once.

    Args:
        data_root: folder of the datasets.
        weights: folder of checkpoints, before those that ship with the benchmark.
        device: as torch names it.
        precision: of weights and activations; potentials keep float32. "auto" is bfloat16 on a GPU that has it.
    """

    def __init__(self, data_root: Path | None, weights: Path | None, device: str, precision: Precision) -> None:
        self.data_root, self.weights = data_root, weights
        self.device = resolve_device(device)
        if precision == "auto":
            precision = "bfloat16" if self.device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
        self.precision = precision
        # Convolutions on a GPU would otherwise round their inputs to 10 bits and still call it float32.
        torch.backends.cudnn.allow_tf32 = False
        # Read before work starts: a commit made meanwhile is not what runs.
        self.revision = {
            "git": _git("rev-parse", "HEAD") or "no git checkout",
            "dirty": str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower(),
        }
        self.task = cache(self._task)
        self.network = cache(self._network)
        self.calibration = cache(self._calibration)
        self.converted: dict[tuple[Calibration, int, tuple[Stage, ...]], tuple[SpikingNetwork, float]] = {}

    def _task(self, name: str) -> Task:
        task = TASKS[name](self.data_root)
        task.require()
        return task

    def _network(self, task_name: str, name: str) -> Prepared:
        task = self.task(task_name)
        adapter = NETWORKS[name](task)
        model = adapter.build()
        digest = load_weights(model, find_weights(name, task_name, self.weights))
        example = adapter.encode(torch.zeros(1, *task.input_shape, dtype=torch.uint8))
        graph = capture(model.eval(), example).to(self.device).to(getattr(torch, self.precision))
        return Prepared(task, adapter, graph, digest)

    def _calibration(self, task_name: str, name: str, count: int, seed: int) -> Calibration:
        prepared = self.network(task_name, name)
        samples = prepared.task.calibration(count, seed)
        held_out = prepared.task.held_out(count, seed)
        calibration = Calibration(
            prepared.graph, prepared.adapter.encode(samples).to(self.device),
            held_out=(prepared.adapter.encode(held_out.inputs).to(self.device), held_out.targets), seed=seed,
        )  # fmt: skip
        _ = calibration.histograms  # Every method needs them, so they are in no method's time.
        return calibration

    def fingerprint(self, cell: Cell) -> dict[str, str]:
        """What the cell's result depends on; a record with another fingerprint is stale."""
        prepared = self.network(cell.task, cell.network)
        return {
            "code": _source_digest(),
            "weights": prepared.weights,
            "data": prepared.task.digest(),
            "precision": self.precision,
            "device": self.device.type,
            "torch": str(torch.__version__),
        }

    def convert(self, recipe: Method, calibration: Calibration, T: int) -> tuple[SpikingNetwork, float]:
        """The network that a method makes, and the seconds it takes.

        Methods that begin with the same stages share them; each is charged for all of its own.
        """
        if any(other.graph is not calibration.graph for other, *_ in self.converted):
            self.converted.clear()  # Cells of one network follow each other.
        network, seconds = SpikingNetwork(calibration.graph, T), 0.0
        done: tuple[Stage, ...] = ()
        for stage in recipe.stages():
            done = (*done, stage)
            key = (calibration, T, done)
            known = self.converted.get(key) if _hashable(done) else None
            if known is None:
                started = self._now()
                result = stage(network, calibration)
                known = result, self._now() - started
                if _hashable(done):
                    self.converted[key] = known
            network, spent = known
            seconds += spent
        return network, seconds

    def measure(self, cell: Cell, advance: Callable[[int], None]) -> Measured:
        """Converts and evaluates one cell; `advance` is told of every batch of samples done.

        Raises:
            BenchmarkError: the method cannot be applied to the network, or the outputs are not finite.
        """
        prepared = self.network(cell.task, cell.network)
        calibration = self.calibration(cell.task, cell.network, cell.calibration, cell.seed)
        network, convert_s = self.convert(cell.recipe, calibration, cell.T or 1)
        started = self._now()
        metrics = {t: prepared.task.metric() for t in range(1, network.T + 1)}
        tallies: list[Tensor] = []
        steps: list[Tensor] = []
        counts: Counts | None = None
        batch_size = BATCH if network.exit is None else EXIT_BATCH
        fast = self._worth_compiling(network, prepared.task.test_size(cell.limit))
        for batch in prepared.task.test(batch_size, cell.limit):
            inputs = prepared.adapter.encode(batch.inputs.to(self.device))
            readout = simulate(network, inputs, fast=fast)
            for t, metric in metrics.items():
                metric.update(_finite(prepared.adapter.decode, readout.mean(t)), batch.targets)
            counts = readout.counts
            assert counts is not None  # Asked for by default.
            tallies.append(counts.tally[:, -1])
            steps.append(counts.steps)
            advance(len(batch.inputs))
        finished = self._now()
        assert counts is not None  # A test split has at least one sample.
        tally = torch.cat(tallies, dim=1)
        taken = torch.cat(steps)
        layers = _layers(network, counts, tally.mean(1))
        primary = prepared.task.primary_metric
        report = explain(network, calibration) if network.neurons else []
        record = Record(
            cell=cell,
            status="done",
            metrics={k: Value(**vars(v)) for k, v in metrics[network.T].compute().items()},
            primary_metric=primary,
            curve=[metric.compute()[primary].value for metric in metrics.values()],
            totals=_totals(taken, counts, layers),
            exits=_exits(network, taken),
            report=report,
            layers=layers,
            fingerprint=self.fingerprint(cell),
            provenance=self._provenance(fast),
            convert_s=round(convert_s, 3),
            evaluate_s=round(finished - started, 3),
        )
        return Measured(record=record, samples=_samples(metrics[network.T].outcomes(), taken, tally.sum(0)))

    def _worth_compiling(self, network: SpikingNetwork, samples: int) -> bool:
        updates = samples * network.T * sum(fan.numel() for fan in network.connectivity.fan_out.values())
        return worth_compiling(updates, self.device)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _provenance(self, compiled: bool) -> dict[str, str]:
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else platform.machine()
        return {
            **self.revision,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "torchvision": str(torchvision.__version__),
            "device": f"{self.device.type} ({device})",
            "threads": str(torch.get_num_threads()),
            "compiled_neurons": str(compiled).lower(),
        }


def _hashable(stages: tuple[Stage, ...]) -> bool:
    """Whether equal stages can be recognised; somebody's own may be any callable."""
    try:
        hash(stages)
    except TypeError:
        return False
    return True


def _finite(decode: Callable[[Tensor], Tensor], output: Tensor) -> Tensor:
    if not bool(torch.isfinite(output).all()):
        raise InvalidInput("The network's output is not finite.")
    return decode(output).cpu()


def _layers(network: SpikingNetwork, counts: Counts, mean: Tensor) -> list[LayerCounts]:
    """Per-layer counts of one mean sample; `mean` has shape (layers, 6)."""
    return [
        LayerCounts(
            name=node.name, neurons=counts.neurons[i], phi=neuron.phi, fan_out=counts.fan_out[i],
            **dict(zip(KINDS, mean[i].tolist(), strict=True)),
        )
        for i, (node, neuron) in enumerate(network.neurons.items())
    ]  # fmt: skip


def _totals(steps: Tensor, counts: Counts, layers: list[LayerCounts]) -> Totals:
    sums = {kind: sum(getattr(layer, kind) for layer in layers) for kind in KINDS}
    return Totals(
        steps=float(steps.mean()), neurons=sum(counts.neurons),
        macs_once=counts.macs_once, macs_step=counts.macs_step, macs_head=counts.macs_head,
        flops_once=counts.flops_once, flops_step=counts.flops_step, **sums,
    )  # fmt: skip


def _samples(outcomes: Tensor, steps: Tensor, counts: Tensor) -> pd.DataFrame:
    """One row for each sample; `counts` has shape (N, 6) and holds whole numbers."""
    columns = dict(zip(KINDS, counts.round().long().T.numpy(), strict=True))
    return pd.DataFrame({"outcome": outcomes.numpy(), "steps": steps.int().numpy(), **columns})


def _exits(network: SpikingNetwork, steps: Tensor) -> list[float]:
    """Share of the samples that left after each step; nothing where all take every step."""
    if network.exit is None:
        return []
    return [float((steps == t).double().mean()) for t in range(1, network.T + 1)]


@cache
def _source_digest() -> str:
    """Digest of the code that decides a result; training, tables and the command line are not among it."""
    digest = hashlib.sha256()
    training = {"training.py", "augment.py", "progress.py", "resume.py", "initialisation.py"}
    for folder in ("conversion", "tasks", "adapters"):
        for path in sorted((ROOT / folder).glob("**/*.py")):
            if path.name not in training:
                digest.update(path.read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()


@cache
def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()
