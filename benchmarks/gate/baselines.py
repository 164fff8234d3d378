"""Baselines: committed results of a suite, which the gate compares later runs with.

`NAME.json` holds the figures, one a line, readable in a diff. `NAME.parquet` beside it holds the outcome of every
sample, for paired comparison; the first file holds the digest of the second, and one of its own content. Both are
taken from a run (`gate --update`) and never edited.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictInt, ValidationError, model_validator

from benchmarks.gate.figures import incoherences
from benchmarks.records.reading import Results
from benchmarks.records.record import INPUTS, ROUNDING, Record
from benchmarks.records.sealed import Damaged, opened, seal
from benchmarks.suites.cell import STEPS, Cell
from conversion.errors import BenchmarkError, InvalidInput
from conversion.files import write_atomically
from tasks import TASKS

SCHEMA = 2
SEALED = 2
"""The first version whose files carry a digest of their content."""
Operation = Literal["synops_unary", "synops_smallest", "synops_binary", "synops_graded", "macs", "flops"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
HIGHEST = 100 + ROUNDING


Count = Annotated[FiniteFloat, Field(ge=0)]


class Incomparable(BenchmarkError):
    """A record that cannot be compared."""


class DamagedBaseline(InvalidInput):
    """A baseline that is not as it was written, or says what no measurement gives: nothing can be compared with it."""


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
        order: digest of the samples' targets in their order; "" where targets were not kept, or in older baselines.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    task: str
    network: str
    method: str
    T: Annotated[StrictInt, Field(ge=1, le=STEPS)] | None
    seed: int
    profile: str
    calibration: int
    n: Annotated[StrictInt, Field(ge=1)]
    metric: str
    value: FiniteFloat
    weights: str
    data: str
    precision: str
    operations: dict[Operation, Count] = Field(min_length=len(OPERATIONS))
    steps: Count
    latency_first: Count
    latency_final: Count
    order: str = ""

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

    @model_validator(mode="after")
    def _possible(self) -> Self:
        """Raises ValueError for a percentage that is none; the unit of a plug-in's task may not be known here."""
        percentage = self.task in TASKS and TASKS[self.task].perfect == 100
        if percentage and self.metric == TASKS[self.task].primary_metric and not -ROUNDING <= self.value <= HIGHEST:
            raise ValueError(f"{self.metric} is {self.value:g}, and it is a percentage")
        return self

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
    row, outcomes, _ = _with_samples(record, store)
    return row, outcomes


def believed(record: Record, store: Results) -> tuple[Row, NDArray[Any]]:
    """The same, of a record whose figures follow from its outcomes.

    Raises:
        Incomparable: as of `measured`, or they do not.
    """
    row, outcomes, samples = _with_samples(record, store)
    if said := incoherences(record, samples):
        raise Incomparable(f"its figures contradict each other ({said[0]}); measure it again")
    return row, outcomes


def _with_samples(record: Record, store: Results) -> tuple[Row, NDArray[Any], pd.DataFrame]:
    row, samples = row_of(record), store.samples(record)
    if samples is None or "outcome" not in samples or len(samples) != row.n:
        raise Incomparable("the outcomes of its samples are not beside its record; measure it again")
    outcomes = samples["outcome"].to_numpy()
    if outcomes.dtype.kind not in "fiub" or not np.isfinite(outcomes).all():
        raise Incomparable("outcomes of its samples are not finite")
    return row.model_copy(update={"order": _order(samples)}), outcomes, samples


def _order(samples: pd.DataFrame) -> str:
    """The field `order` of a row."""
    targets = samples["target"].to_numpy() if "target" in samples else np.empty(0)
    if targets.dtype.kind not in "iu":
        return ""
    return hashlib.sha256(np.ascontiguousarray(targets, "<i8").tobytes()).hexdigest()[:16]


def row_of(record: Record) -> Row:
    """The row of a cell that was measured.

    Raises:
        Incomparable: the record does not say what it was measured with.
    """
    cell, totals, value = record.cell, record.totals, record.metrics.get(record.primary_metric)
    unsaid = [name for name in INPUTS if not record.fingerprint.get(name)]
    if unsaid or totals is None or value is None:
        raise Incomparable(f"its record does not say its {' and '.join(unsaid or ['figures'])}; measure it again")
    try:
        return Row(
            id=cell.id, task=cell.task, network=cell.network, method=cell.recipe.label, T=cell.T, seed=cell.seed,
            profile=cell.profile, calibration=cell.calibration, n=value.n, metric=record.primary_metric,
            value=value.value, operations={name: getattr(totals, name) for name in OPERATIONS}, steps=totals.steps,
            latency_first=totals.latency_first,
            latency_final=totals.latency_final, **{name: record.fingerprint[name] for name in INPUTS},
        )  # fmt: skip
    except ValidationError as error:
        raise Incomparable(f"its record says what cannot be ({_describe(error)}); measure it again") from None


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
                row, outcomes[cell.id] = believed(record, store)
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
    write_atomically(path, seal((stored.model_dump_json(indent=1) + "\n").encode()))
    return samples_path


def read_baseline(path: Path) -> Baseline:
    """Reads both files.

    Raises:
        InvalidInput: one is missing or of a newer version.
        DamagedBaseline: one is damaged, the two do not belong together, or a value does not follow from its outcomes.
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
        raise DamagedBaseline(
            f"{samples_path.name} is not the file that {path} was written with; take both of {path.parent} from one "
            "revision, or write the baseline again."
        )
    outcomes = _outcomes(content, samples_path)
    for row in stored.cells:
        if len(outcomes.get(row.id, ())) != row.n:
            raise DamagedBaseline(
                f"{samples_path} does not hold the {row.n} samples of {row.id}; write the baseline again."
            )
        if row.task in TASKS:
            found = TASKS[row.task].target.recomputed({"outcome": outcomes[row.id]}).get(row.metric)
            if found is not None and not np.isclose(found, row.value, rtol=1e-5):
                raise DamagedBaseline(
                    f"The baseline {path} says {row.metric} {row.value:.6g} of {row.id}, and its samples "
                    f"{found:.6g}; write the baseline again."
                )
    return Baseline(stored.suite, stored.cells, outcomes)


def _outcomes(content: bytes, path: Path) -> dict[str, NDArray[Any]]:
    """The outcomes of every cell's samples in a file."""
    try:
        samples = pd.read_parquet(io.BytesIO(content))
        outcomes = {str(id): group.to_numpy() for id, group in samples.groupby("cell", observed=True)["outcome"]}
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DamagedBaseline(f"{path} is no table of samples ({reason}); write the baseline again.") from None
    for id, found in outcomes.items():
        if found.dtype.kind not in "fiub" or not np.isfinite(found).all():
            raise DamagedBaseline(f"{path} holds outcomes of {id} that are not finite; write the baseline again.")
    return outcomes


def _samples_path(path: Path) -> Path:
    if path.suffix != ".json":
        raise InvalidInput(f"A baseline is named by its JSON file, as in smoke.json; {path.name} does not end so.")
    return path.with_suffix(".parquet")


def _read_json(path: Path) -> BaselineFile:
    try:
        content = opened(path.read_bytes(), "schema_version", SEALED)
    except Damaged as error:
        raise DamagedBaseline(
            f"The baseline {path} is damaged ({error}). Take it from its revision, or write it again with --update."
        ) from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise InvalidInput(f"The baseline {path} was written by a newer version of this benchmark; update it.")
    try:
        stored = BaselineFile.model_validate(content)
    except ValidationError as error:
        raise DamagedBaseline(f"The baseline {path}: {_describe(error)}") from None
    ids = [row.id for row in stored.cells]
    if twice := next((id for id, count in Counter(ids).items() if count > 1), None):
        raise DamagedBaseline(f"The baseline {path} holds {twice} twice; write it again.")
    return stored


def _describe(error: ValidationError) -> str:
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"]) or "it"
    if first["type"] != "extra_forbidden":
        return f"'{where}' is wrong: {first['msg']}."
    (near,) = get_close_matches(str(first["loc"][-1]), {*BaselineFile.model_fields, *Row.model_fields}, n=1, cutoff=0)
    return f"there is no key '{where}'; did you mean '{near}'?"
