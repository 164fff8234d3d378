"""Measures one cell: build, capture, convert, simulate, score."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from adapters import NETWORKS, find_weights, resolve_device
from benchmarks.choices import Precision
from benchmarks.execution.evaluate import Prepared, calibration_set, evaluate, prepare
from benchmarks.execution.listening import listening
from benchmarks.freshness.sources import Sources
from benchmarks.records.converted import ConversionCache, Converted, spec, stage_parts
from benchmarks.records.machine import this_machine
from benchmarks.records.record import Measurement, Record
from benchmarks.suites.cell import Cell
from conversion import Calibration, SpikingNetwork
from conversion.simulation.compiling import worth_compiling
from conversion.simulation.exit_rules import ConfidenceRule, EntropyRule
from tasks import TASKS, Task

ROOT = Path(__file__).parents[2]


class Workbench:
    """Measures cells, and holds what they share: data, captured networks and calibration statistics, each made once.

    Args:
        data_root: folder of the datasets.
        weights: folder of checkpoints, before those that ship with the benchmark.
        device: torch's name of the device.
        precision: type of weights and activations; potentials are float32. "auto" is bfloat16 on a GPU that has it.
        converted: folder of converted networks, see `ConversionCache`; None keeps none on disk.
    """

    def __init__(
        self, data_root: Path | None, weights: Path | None, device: str, precision: Precision,
        converted: Path | None = None,
    ) -> None:  # fmt: skip
        self.data_root, self.weights = data_root, weights
        self.device = resolve_device(device)
        if precision == "auto":
            precision = "bfloat16" if self.device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
        self.precision = precision
        # With TF32, convolutions on a GPU would round their float32 inputs to 10 bits of mantissa.
        torch.backends.cudnn.allow_tf32 = False
        # Read before work starts, since a later commit is not the code that runs.
        self.revision = {
            "git": _git("rev-parse", "HEAD") or "no git checkout",
            "dirty": str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower(),
        }
        # Cells of one network follow each other, so that only the last objects are kept.
        self.task = lru_cache(maxsize=1)(self._task)
        self.network = lru_cache(maxsize=1)(self._network)
        self.calibration = lru_cache(maxsize=2)(self._calibration)
        self.source = Sources()
        self._methods: dict[tuple[Sources, type, str], str] = {}
        self.conversions = ConversionCache(converted, self.source, self._now)

    def _task(self, name: str) -> Task:
        task = TASKS[name](self.data_root)
        task.require()
        return task

    def _network(self, task_name: str, name: str) -> Prepared:
        self.calibration.cache_clear()  # Statistics belong to one captured graph.
        task = self.task(task_name)
        adapter = NETWORKS[name](task)
        weights = find_weights(name, task_name, self.weights)
        return prepare(adapter, weights, self.device, getattr(torch, self.precision))

    def _calibration(self, task_name: str, name: str, count: int, seed: int) -> Calibration:
        return calibration_set(self.network(task_name, name), count, seed)

    def fingerprint(self, cell: Cell) -> dict[str, str]:
        """Digests of all that the cell's result depends on; a record with another fingerprint is stale.

        `method` is the code of the method and its stages, `evaluation` that of everything else that decides a figure.
        """
        return {
            "method": self._method(cell),
            "evaluation": self.source.combined(*self._roots(cell, prepare, calibration_set, evaluate)),
            **self._inputs(cell),
        }

    def sources(self, cell: Cell) -> dict[str, str]:
        """The code that the cell's result depends on: a digest for each module."""
        return self.source.of(*self._roots(cell, prepare, calibration_set, evaluate), *_recipe(cell))

    def _method(self, cell: Cell) -> str:
        """The entry `method` of a fingerprint, which cells of one method with the same options share."""
        recipe = self.source, type(cell.recipe), cell.recipe.model_dump_json()
        if recipe not in self._methods:
            self._methods[recipe] = self.source.combined(*_recipe(cell)) + _settings(cell)
        return self._methods[recipe]

    def _roots(self, cell: Cell, *others: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
        """The classes of the cell's task and network, and others."""
        prepared = self.network(cell.task, cell.network)
        return type(prepared.task), type(prepared.adapter), *others

    def _inputs(self, cell: Cell) -> dict[str, str]:
        prepared = self.network(cell.task, cell.network)
        return {
            "weights": prepared.weights,
            "data": prepared.task.digest(),
            "precision": self.precision,
            "device": self.device.type,
            "torch": str(torch.__version__),
            "torchvision": str(torchvision.__version__),
        }

    def convert(self, cell: Cell, say: Callable[[str], None] = lambda _: None) -> Converted:
        """The converted network of a cell. Stages that were run before are not run again; see `ConversionCache`.

        Calls `say` with what is being done, in a few words.
        """
        graph = self.network(cell.task, cell.network).graph
        key = (cell.task, cell.network, cell.calibration, cell.seed)
        with listening(lambda message: say(f"converts: {message}")):
            return self.conversions.convert(
                cell.recipe.stages(), graph, cell.T or 1, self._basis(cell), lambda: self.calibration(*key), say
            )

    def forget(self, cell: Cell) -> None:
        """Removes the stored conversions of the cell: the next one begins from the ANN."""
        self.conversions.forget(cell.recipe.stages(), cell.T or 1, self._basis(cell))

    def _basis(self, cell: Cell) -> dict[str, str | int]:
        """All that a conversion depends on besides T and the stages."""
        return {
            "task": cell.task, "network": cell.network, "calibration": cell.calibration, "seed": cell.seed,
            "code": self.source.combined(*self._roots(cell, prepare, calibration_set)), **self._inputs(cell),
        }  # fmt: skip

    def measure(
        self, cell: Cell, advance: Callable[[int], None], say: Callable[[str], None] = lambda _: None
    ) -> Measurement:
        """Converts and evaluates one cell.

        Args:
            advance: called with the size of each finished batch of test samples.
            say: called with what is being done before that, in a few words, and with "" when it is over.

        Raises:
            BenchmarkError: the method cannot be applied to the network, or the outputs are not finite.
        """
        prepared = self.network(cell.task, cell.network)
        converted = self.convert(cell, say)
        network = converted.network
        say("")
        started = self._now()
        fast = self._worth_compiling(network, prepared.task.test_size(cell.limit))
        found = evaluate(prepared, network, cell.limit, fast, advance)
        finished = self._now()
        record = Record(
            cell=cell,
            status="done",
            code=found.code,
            wait=found.wait,
            metrics=found.metrics,
            primary_metric=prepared.task.primary_metric,
            curve=found.curve,
            totals=found.totals,
            exits=found.exits,
            exit_thresholds=exit_thresholds(network),
            activity=found.activity,
            report=converted.report or [],
            searches=list(converted.searches),
            layers=found.layers,
            fingerprint=self.fingerprint(cell),
            sources=self.sources(cell),
            provenance=self._provenance(fast) | prepared.task.provenance(),
            departures={reason: count for reason, count in prepared.task.departures().items() if count},
            convert_s=round(converted.seconds, 3),
            evaluate_s=round(finished - started, 3),
        )
        return Measurement(record=record, samples=found.samples)

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
            "numpy": np.__version__,
            **this_machine().model_dump(),
            "device": f"{self.device.type} ({device})",
            "threads": str(torch.get_num_threads()),
            "compiled_neurons": str(compiled).lower(),
        }


def exit_thresholds(network: SpikingNetwork) -> list[float]:
    """The confidence at which a sample exits after step t = 1..T; empty where no confidence decides."""
    rule = network.exit
    if isinstance(rule, EntropyRule):
        return [rule.alpha[min(t, len(rule.alpha)) - 1] for t in range(1, network.T + 1)]
    return [rule.probability] * network.T if isinstance(rule, ConfidenceRule) else []


def _recipe(cell: Cell) -> tuple[Callable[..., Any], ...]:
    """The objects whose code belongs to a cell's method: the method, its stages and their fields."""
    recipe = cell.recipe
    try:
        return type(recipe), *stage_parts(recipe.stages())
    except Exception:  # Measuring the cell fails with it, and says so.
        return (type(recipe),)


def _settings(cell: Cell) -> str:
    """A short digest of the fields of a method's stages, which code outside of the method may have set."""
    try:
        return "-" + hashlib.sha256(json.dumps(spec(cell.recipe.stages())).encode()).hexdigest()[:8]
    except Exception:  # Stages that are no plain values have their code alone; one that fails is said when measured.
        return ""


@cache
def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()
