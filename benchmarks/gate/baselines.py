"""Baselines: committed results of a suite, which the gate compares later runs with.

`NAME.json` holds the figures, one a line, readable in a diff. `NAME.parquet` beside it holds the outcome of every
sample, for paired comparison; the first file holds the digest of the second.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmarks.records.reading import Results
from benchmarks.records.record import INPUTS, Record
from benchmarks.suites.cell import Cell
from conversion.errors import BenchmarkError, InvalidInput
from conversion.files import write_atomically

SCHEMA = 1
Operation = Literal["synops_unary", "synops_smallest", "synops_binary", "synops_graded", "macs", "flops"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)


class Incomparable(BenchmarkError):
    """A record that cannot be compared."""


class Row(BaseModel):
    """The fields of a measured cell that the gate compares.

    Attributes:
        id: id of the cell.
        method: label of the method, with options.
        n: number of samples measured.
        weights, data: digests.
        operations: mean counts of a sample, by kind.
        steps: mean number of steps of a sample.
        latency_first, latency_final: steps until the first and the final answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    task: str
    network: str
    method: str
    T: int | None
    seed: int
    profile: str
    calibration: int
    n: int
    metric: str
    value: float
    weights: str
    data: str
    precision: str
    operations: dict[Operation, float] = Field(min_length=len(OPERATIONS))
    steps: float
    latency_first: float
    latency_final: float

    @model_validator(mode="before")
    @classmethod
    def _of_rates(cls, content: Any) -> Any:
        """Baselines from before there were codes are of rates: spikes of one amplitude, without waiting.

        Where the final answer is not named, no step before the first or after the last was simulated but not read.
        """
        if not isinstance(content, dict):
            return content
        operations = content.get("operations")
        if "latency_first" not in content:
            if isinstance(operations, dict) and "synops_unary" in operations:
                operations = {"synops_smallest": operations["synops_unary"]} | operations
            content = content | {"operations": operations, "latency_first": 1}
        first, steps = content["latency_first"], content.get("steps")
        if isinstance(first, int | float) and isinstance(steps, int | float):
            content = {"latency_final": first - 1 + steps} | content
        return content

    def compared(self) -> dict[str, float]:
        """The figures of which less is better, by name."""
        times = {"mean T": self.steps, "latency_first": self.latency_first}
        return {name: self.operations[name] for name in OPERATIONS} | times

    @property
    def label(self) -> str:
        """The cell in a few words."""
        parts = [self.task, self.network, self.method, *([] if self.T is None else [f"T={self.T}"])]
        return " ".join([*parts, self.profile, *([f"seed={self.seed}"] if self.seed else [])])


class BaselineFile(BaseModel):
    """The content of the JSON file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: int = SCHEMA
    suite: str
    samples_sha256: str
    cells: list[Row] = Field(min_length=1)


@dataclass(frozen=True)
class Baseline:
    """Rows of a suite, and the outcome of every sample by the id of its cell."""

    suite: str
    rows: Sequence[Row]
    outcomes: dict[str, NDArray[Any]]


def measured(record: Record, store: Results) -> tuple[Row, NDArray[Any]]:
    """The row of a cell that was measured, and the outcome of every sample, shape (n,).

    Raises:
        Incomparable: the record does not say what it was measured with, or its outcomes are not there or not finite.
    """
    row, samples = row_of(record), store.samples(record)
    if samples is None or "outcome" not in samples or len(samples) != row.n:
        raise Incomparable("the outcomes of its samples are not beside its record; measure it again")
    outcomes = samples["outcome"].to_numpy()
    if not np.isfinite(outcomes).all():
        raise Incomparable("outcomes of its samples are not finite")
    return row, outcomes


def row_of(record: Record) -> Row:
    """The row of a cell that was measured.

    Raises:
        Incomparable: the record does not say what it was measured with.
    """
    cell, totals, value = record.cell, record.totals, record.metrics.get(record.primary_metric)
    unsaid = [name for name in INPUTS if not record.fingerprint.get(name)]
    if unsaid or totals is None or value is None:
        raise Incomparable(f"its record does not say its {' and '.join(unsaid or ['figures'])}; measure it again")
    return Row(
        id=cell.id, task=cell.task, network=cell.network, method=cell.recipe.label, T=cell.T, seed=cell.seed,
        profile=cell.profile, calibration=cell.calibration, n=value.n, metric=record.primary_metric, value=value.value,
        operations={name: getattr(totals, name) for name in OPERATIONS}, steps=totals.steps,
        latency_first=totals.latency_first, latency_final=totals.latency_final,
        **{name: record.fingerprint[name] for name in INPUTS},
    )  # fmt: skip


def take_baseline(suite: str, cells: Sequence[Cell], store: Results) -> Baseline:
    """The baseline of a suite as it was measured last.

    Raises:
        BenchmarkError: a cell is missing, failed, or could not be compared later; names each.
    """
    rows, outcomes, defects = [], {}, []
    for cell in cells:
        record = store.load(cell)
        if record is None:
            defects.append(f"{cell.label} is missing")
        elif record.status == "failed":
            defects.append(f"{cell.label} failed ({record.reason})")
        else:
            try:
                row, outcomes[cell.id] = measured(record, store)
                rows.append(row)
            except Incomparable as error:
                defects.append(f"{cell.label}: {error}")
    if defects:
        raise BenchmarkError(
            f"{store.folder} makes no baseline: {len(defects)} of {len(cells)} cells are not as they should be. "
            f"{'; '.join(defects)}. Run the suite first, then take the baseline again."
        )
    return Baseline(suite, rows, outcomes)


def write_baseline(baseline: Baseline, path: Path) -> Path:
    """Writes or replaces both files; returns the one of the samples.

    Raises:
        InvalidInput: the path does not end in .json, or its folder is not there.
    """
    samples_path = _samples_path(path)
    if not path.parent.is_dir():
        raise InvalidInput(f"There is no folder {path.parent} for the baseline; make it first.")
    lengths = [len(baseline.outcomes[row.id]) for row in baseline.rows]
    names = pd.Categorical(np.repeat([row.id for row in baseline.rows], lengths))
    scores = np.concatenate([baseline.outcomes[row.id] for row in baseline.rows])
    content = pd.DataFrame({"cell": names, "outcome": scores}).to_parquet(index=False, compression="zstd")
    stored = BaselineFile(
        suite=baseline.suite, samples_sha256=hashlib.sha256(content).hexdigest(), cells=list(baseline.rows)
    )
    write_atomically(samples_path, content)
    write_atomically(path, (stored.model_dump_json(indent=1) + "\n").encode())
    return samples_path


def read_baseline(path: Path) -> Baseline:
    """Reads both files.

    Raises:
        InvalidInput: one is missing, damaged or of a newer version, or the two do not belong together; says which.
    """
    samples_path = _samples_path(path)
    for file in (path, samples_path):
        if not file.is_file():
            raise InvalidInput(
                f"There is no {file}. Write a baseline with: run_all.py gate --suite NAME --baseline {path} --update"
            )
    stored = _read_json(path)
    content = samples_path.read_bytes()
    if hashlib.sha256(content).hexdigest() != stored.samples_sha256:
        raise InvalidInput(
            f"{samples_path.name} is not the file that {path} was written with; take both of {path.parent} from one "
            "revision, or write the baseline again."
        )
    samples = pd.read_parquet(io.BytesIO(content))
    outcomes = {str(id): group.to_numpy() for id, group in samples.groupby("cell", observed=True)["outcome"]}
    for row in stored.cells:
        if len(outcomes.get(row.id, ())) != row.n:
            raise InvalidInput(
                f"{samples_path} does not hold the {row.n} samples of {row.id}; write the baseline again."
            )
    return Baseline(stored.suite, stored.cells, outcomes)


def _samples_path(path: Path) -> Path:
    if path.suffix != ".json":
        raise InvalidInput(f"A baseline is named by its JSON file, as in smoke.json; {path.name} does not end so.")
    return path.with_suffix(".parquet")


def _read_json(path: Path) -> BaselineFile:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InvalidInput(f"The baseline {path} is no valid JSON: {error}.") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"The baseline {path} is no text; write it again.") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise InvalidInput(f"The baseline {path} was written by a newer version of this benchmark; update it.")
    try:
        stored = BaselineFile.model_validate(content)
    except ValidationError as error:
        raise InvalidInput(f"The baseline {path}: {_describe(error)}") from None
    ids = [row.id for row in stored.cells]
    if twice := next((id for id in ids if ids.count(id) > 1), None):
        raise InvalidInput(f"The baseline {path} holds {twice} twice; write it again.")
    return stored


def _describe(error: ValidationError) -> str:
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"]) or "it"
    if first["type"] != "extra_forbidden":
        return f"'{where}' is wrong: {first['msg']}."
    (near,) = get_close_matches(str(first["loc"][-1]), {*BaselineFile.model_fields, *Row.model_fields}, n=1, cutoff=0)
    return f"there is no key '{where}'; did you mean '{near}'?"
