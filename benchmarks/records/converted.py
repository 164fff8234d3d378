"""Networks as the stages of a method left them, kept apart from what was measured with them.

Every stage's result is kept under a digest of all that it depends on, so that methods which begin with the same stages
share them, across suites, processes and runs, and more test samples never recalibrate. Beside a network's file stands a
sealed JSON file with its key and digest; what does not verify is made again.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from benchmarks.freshness.sources import Sources, combined
from benchmarks.records.sealed import Damaged, opened, seal
from benchmarks.records.searches import Search, run_stage
from conversion import Calibration, SpikingNetwork, load, save
from conversion.capture.graph import ConversionGraph
from conversion.errors import CheckpointError
from conversion.files import bound, sweep, used, write_atomically
from conversion.report.layers import LayerReport, explain
from conversion.stages import Stage

# Of the network's file, and of the sidecar file beside it.
SUFFIXES = (".safetensors", ".json")
LIMIT = 20 << 30
"""Bytes that the folder of converted networks may have; those used longest ago go first."""
BOUNDED = 64
"""After how many networks a process looks at the size of the folder again."""


@dataclass(frozen=True)
class Converted:
    """A converted network.

    Attributes:
        seconds: time of all its stages, in this run or an earlier one.
        report: the conversion report of its layers; None before the last stage.
        searches: what its stages chose from, in their order.
    """

    network: SpikingNetwork
    seconds: float
    report: list[LayerReport] | None = None
    searches: tuple[Search, ...] = ()


class _Sidecar(BaseModel):
    """The JSON file beside a network's file.

    Attributes:
        version: of this format; the first, which had none, had no digests either.
        key: the name of both files.
        network: SHA-256 of the network's file.
        explained: the digest of the code that made the report.
    """

    model_config = ConfigDict(extra="forbid")
    version: Literal[2] = 2
    key: str
    network: str
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    report: list[LayerReport] | None = None
    explained: str = ""
    searches: tuple[Search, ...] = ()


class ConversionCache:
    """Converts, and keeps the network after every stage.

    Stages are recognised by the code of their class and their fields. A stage that is no frozen dataclass of plain
    values, or that replaces the network's graph by another, is run every time, as are all stages after it.

    Args:
        folder: folder of the stored networks; None keeps those of one ANN in memory only.
        sources: digests the code of stages.
        now: a clock in seconds that waits for the device.
    """

    def __init__(self, folder: Path | None, sources: Sources, now: Callable[[], float]) -> None:
        self.folder, self.sources, self.now = folder, sources, now
        self._memory: dict[str, Converted] = {}
        self._saved = 0

    @cached_property
    def _explained(self) -> str:
        """The digest of the code that makes reports."""
        return combined(self.sources.of(explain))

    def convert(
        self, stages: Sequence[Stage], graph: ConversionGraph, T: int, basis: dict[str, str | int],
        calibration: Callable[[], Calibration], say: Callable[[str], None] = lambda _: None,
    ) -> Converted:  # fmt: skip
        """Runs the stages that are not stored yet; returns the network with its report.

        Args:
            stages: the stages of the method.
            graph: the captured ANN.
            T: number of timesteps.
            basis: all that a conversion of this graph depends on besides T and the stages.
            calibration: makes the calibration set; not called where everything is stored already.
            say: called with what is being done, in a few words.
        """
        keys = self._keys(stages, basis | {"T": T})
        done, found = 0, Converted(SpikingNetwork(graph, T), 0.0)
        for known in range(len(keys), 0, -1):
            kept = self._load(keys[known - 1], graph)
            if kept is not None:
                done, found = known, kept
                break
        for position in range(done, len(stages)):
            say(f"converts: stage {position + 1} of {len(stages)}, {type(stages[position]).__name__}")
            samples = calibration()
            started = self.now()
            network, search = run_stage(stages[position], found.network, samples)
            searches = found.searches if search is None else (*found.searches, search)
            found = Converted(network, found.seconds + self.now() - started, searches=searches)
            if network.graph.origin is not graph:
                keys = keys[:position]
            if position < len(keys) and position < len(stages) - 1:
                self._save(keys[position], found)
        if found.report is None and stages:
            say("converts: error of each layer")
            found = replace(found, report=explain(found.network, calibration()) if found.network.neurons else [])
            if len(keys) == len(stages):
                self._save(keys[-1], found)
        return found

    def forget(self, stages: Sequence[Stage], T: int, basis: dict[str, str | int]) -> None:
        """Removes the stored networks of these stages, after each of them."""
        for key in self._keys(stages, basis | {"T": T}):
            self._memory.pop(key, None)
            if self.folder is not None:
                for suffix in SUFFIXES:
                    (self.folder / f"{key}{suffix}").unlink(missing_ok=True)

    def _keys(self, stages: Sequence[Stage], basis: dict[str, str | int]) -> list[str]:
        """The key of the network after each stage, up to the first stage that cannot be recognised."""
        keys: list[str] = []
        done: list[Any] = []
        for stage in stages:
            try:
                done.append([spec(stage), combined(self.sources.of(*stage_parts(stage)))])
            except TypeError:
                break
            digest = hashlib.sha256(json.dumps([basis, done], sort_keys=True).encode()).hexdigest()
            network = str(basis["network"]).replace("/", "-")  # "ultralytics/yolov8n" is one name of a file.
            keys.append(f"{basis['task']}-{network}-T{basis['T']}-{digest[:24]}")
        return keys

    def _load(self, key: str, graph: ConversionGraph) -> Converted | None:
        kept = self._memory.get(key)
        if kept is not None and kept.network.graph.origin is graph:
            return kept
        if self.folder is None:
            return None
        network, sidecar = (self.folder / f"{key}{suffix}" for suffix in SUFFIXES)
        try:
            found = _Sidecar.model_validate(opened(sidecar.read_bytes(), "version", 2))
            if found.key != key or found.network != _digest(network):
                return None  # Another network under this name.
            report = found.report if found.explained == self._explained else None
            kept = Converted(load(graph, network), found.seconds, report, found.searches)
        except (OSError, Damaged, ValidationError, CheckpointError):
            return None  # Not there yet, or damaged: it is made again.
        for path in (network, sidecar):
            used(path)
        self._remember(key, kept)
        return kept

    def _save(self, key: str, found: Converted) -> None:
        self._remember(key, found)
        if self.folder is None:
            return
        network, sidecar = (self.folder / f"{key}{suffix}" for suffix in SUFFIXES)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save(found.network, network)
            about = _Sidecar(
                key=key, network=_digest(network), seconds=found.seconds, report=found.report,
                explained=self._explained, searches=found.searches,
            )  # fmt: skip
            write_atomically(sidecar, seal(about.model_dump_json().encode()))
            if self._saved % BOUNDED == 0:
                sweep(self.folder, "*.tmp")
                bound((path for suffix in SUFFIXES for path in self.folder.glob(f"*{suffix}")), LIMIT)
            self._saved += 1
        except OSError as error:
            print(
                f"Converted networks are not kept from here on: {self.folder} cannot be written ({error.strerror}).",
                file=sys.stderr,
            )
            self.folder = None

    def _remember(self, key: str, found: Converted) -> None:
        graph = found.network.graph.origin
        if any(other.network.graph.origin is not graph for other in self._memory.values()):
            self._memory.clear()  # Cells of one network follow each other.
        self._memory[key] = found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stage_parts(value: object) -> Iterator[Any]:
    """A stage, and the stages and other objects in its fields, whose code it runs."""
    if isinstance(value, tuple):
        for part in value:
            yield from stage_parts(part)
    elif callable(value) or is_dataclass(value):
        yield value
        for field in fields(value) if is_dataclass(value) else ():
            yield from stage_parts(getattr(value, field.name))


def spec(value: object) -> object:
    """A stage as JSON, the same in every process.

    Raises:
        TypeError: it is no frozen dataclass of plain values.
    """
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, tuple):
        return [spec(part) for part in value]
    if is_dataclass(value) and not isinstance(value, type) and value.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        return [name, {field.name: spec(getattr(value, field.name)) for field in fields(value)}]
    raise TypeError(f"{value!r} is no plain value")
