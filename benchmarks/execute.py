"""Measures one cell: build, capture, convert, simulate, score."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
import torchvision
from torch import Tensor

from adapters import NETWORKS, Network, find_weights, load_weights
from benchmarks.cells import Cell
from benchmarks.prices import Totals
from benchmarks.store import LayerCounts, Record, Value
from conversion import Calibration, ConversionGraph, Counts, SpikingNetwork, capture, simulate
from conversion.counts import KINDS
from conversion.errors import InvalidInput
from tasks import TASKS, Task

Precision = Literal["auto", "float32", "bfloat16"]
# Layers of 64 small images fit the caches and keep two cores busy; measured in docs/performance.md.
BATCH = 64
# Compiling the neurons takes some ten seconds once; it saves about 3 ns for each update of a neuron.
WORTH_COMPILING = 1_000_000_000
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
        try:
            self.device = torch.device(device)
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidInput(f"The device '{device}' cannot be used here: {reason}") from None
        if precision == "auto":
            precision = "bfloat16" if self.device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
        self.precision = precision
        self.task = cache(self._task)
        self.network = cache(self._network)
        self.calibration = cache(self._calibration)

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
        return Calibration(prepared.graph, prepared.adapter.encode(samples).to(self.device))

    def fingerprint(self, cell: Cell) -> dict[str, str]:
        """What the cell's result depends on; a record with another fingerprint is stale."""
        prepared = self.network(cell.task, cell.network)
        return {
            "code": _source_digest(),
            "weights": prepared.weights,
            "data": prepared.task.digest(),
            "precision": self.precision,
        }

    def measure(self, cell: Cell, advance: Callable[[int], None]) -> Record:
        """Converts and evaluates one cell; `advance` is told of every batch of samples done.

        Raises:
            BenchmarkError: the method cannot be applied to the network, or the outputs are not finite.
        """
        prepared = self.network(cell.task, cell.network)
        calibration = self.calibration(cell.task, cell.network, cell.calibration, cell.seed)
        started = time.perf_counter()
        network = cell.recipe.convert(prepared.graph, calibration, cell.T or 1)
        converted = time.perf_counter()
        metrics = {t: prepared.task.metric() for t in range(1, network.T + 1)}
        counted: list[Counts] = []
        fast = self._worth_compiling(network, prepared.task.test_size(cell.limit))
        for batch in prepared.task.test(BATCH, cell.limit):
            inputs = prepared.adapter.encode(batch.inputs.to(self.device))
            readout = simulate(network, inputs, fast=fast)
            for t, metric in metrics.items():
                metric.update(_finite(prepared.adapter.decode, readout.mean(t)), batch.targets)
            assert readout.counts is not None
            counted.append(readout.counts)
            advance(len(batch.inputs))
        finished = time.perf_counter()
        primary = prepared.task.primary_metric
        return Record(
            cell=cell,
            status="done",
            metrics={k: Value(**vars(v)) for k, v in metrics[network.T].compute().items()},
            primary_metric=primary,
            curve=[metric.compute()[primary].value for metric in metrics.values()],
            totals=_totals(network, counted),
            layers=_layers(network, counted),
            fingerprint=self.fingerprint(cell),
            provenance=self._provenance(),
            convert_s=round(converted - started, 3),
            evaluate_s=round(finished - converted, 3),
        )

    def _worth_compiling(self, network: SpikingNetwork, samples: int) -> bool:
        updates = samples * network.T * sum(fan.numel() for fan in network.connectivity.fan_out.values())
        compiler = self.device.type != "cpu" or any(shutil.which(name) for name in ("c++", "g++", "clang++"))
        return compiler and updates >= WORTH_COMPILING

    def _provenance(self) -> dict[str, str]:
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else platform.machine()
        return {
            "git": _git("rev-parse", "HEAD") or "no git checkout",
            "dirty": str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower(),
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "torchvision": str(torchvision.__version__),
            "device": f"{self.device.type} ({device})",
            "threads": str(torch.get_num_threads()),
        }


def _finite(decode: Callable[[Tensor], Tensor], output: Tensor) -> Tensor:
    if not bool(torch.isfinite(output).all()):
        raise InvalidInput("The network's output is not finite.")
    return decode(output).cpu()


def _totals(network: SpikingNetwork, counted: list[Counts]) -> Totals:
    T, first = network.T, counted[0]
    per_sample = {kind: torch.cat([counts.total(kind, T) for counts in counted]) for kind in KINDS}
    means = {kind: float(values.mean()) for kind, values in per_sample.items()}
    return Totals(
        steps=T, neurons=sum(first.neurons), macs_once=first.macs_once, macs_step=first.macs_step, **means
    )  # fmt: skip


def _layers(network: SpikingNetwork, counted: list[Counts]) -> list[LayerCounts]:
    first = counted[0]
    mean = torch.cat([counts.tally[:, -1] for counts in counted], dim=1).mean(1)
    return [
        LayerCounts(
            name=node.name, neurons=first.neurons[i], phi=neuron.phi, fan_out=first.fan_out[i],
            **dict(zip(KINDS, mean[i].tolist(), strict=True)),
        )
        for i, (node, neuron) in enumerate(network.neurons.items())
    ]  # fmt: skip


@cache
def _source_digest() -> str:
    """Digest of the code that decides a result; tables and command line are not among it."""
    digest = hashlib.sha256()
    for folder in ("conversion", "tasks", "adapters"):
        for path in sorted((ROOT / folder).glob("**/*.py")):
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
