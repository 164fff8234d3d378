"""The record of a measured cell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, ValidationError, model_validator

from benchmarks.records.searches import Search
from benchmarks.references.totals import Firing, Totals
from benchmarks.suites.cell import STEPS, Cell
from conversion.codes import RATE
from conversion.errors import BenchmarkError
from conversion.report.layers import LayerReport
from tasks import TASKS

SCHEMA = 4
SEALED = 3
"""The first version whose records carry a digest of their content (`benchmarks.records.sealed`)."""
# Two records can be compared only if they agree in these inputs.
INPUTS = ("weights", "data", "precision")
ROUNDING = 1e-6
"""By how much a value may lie outside its interval or a percentage outside 0 to 100: sums are rounded."""


class DamagedRecord(BenchmarkError):
    """A record that cannot be read; measuring its cell again replaces it."""


Seconds = Annotated[FiniteFloat, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^([^./\\][^/\\]*)?$")]
"""The name of a file or of rows, or none: no path, so that nothing outside is read or removed."""
MOST = 2.0**63
"""More than any count: tables hold whole numbers of 64 bits."""


class Value(BaseModel):
    """A metric with its 95 % interval, over n samples."""

    value: FiniteFloat
    ci_low: FiniteFloat
    ci_high: FiniteFloat
    n: PositiveInt

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.ci_low - ROUNDING <= self.value <= self.ci_high + ROUNDING:
            raise ValueError(f"{self.value:g} is not within its interval, {self.ci_low:g} to {self.ci_high:g}")
        return self


class LayerCounts(Firing):
    """Mean counts of one layer for one sample, after the last step; fan_out is that of all its neurons together."""

    name: str
    phi: int
    fan_out: int


# Causes of failure: the cell cannot be measured here; its process was lost, memory, disk or another resource ran out;
# or the method refused or raised an error.
Cause = Literal["impossible", "killed", "time limit", "resources", "refused", "error"]
UNMEASURED = frozenset[Cause]({"impossible", "killed", "time limit", "resources"})
"""Causes that say nothing of the code: no data, no memory, no time."""


# States of a cell that tables and `status` name.
State = Literal["done", "failed", "impossible", "missing"]


class Record(BaseModel):
    """All figures of one cell, and the conditions of their measurement.

    Attributes:
        reason, cause: the reason of a failure in words, and its kind.
        code: the code of the network's neurons, or several joined by "+".
        wait: steps that they wait for their input, "window" for all of it, or several of these joined by "+".
        metrics: values after the last step, by name.
        exits: with early exit, the share of samples that left after step t = 1..T.
        exit_thresholds: the confidence at which a sample exits after step t = 1..T; empty where no confidence decides,
            and in records from before it was kept.
        report: the error that every layer adds, measured on calibration samples.
        searches: what the method chose from, and its choice; empty where it searches nothing, and in records from
            before it was kept.
        curve: the primary metric after step t of this conversion, where it was scored; it says nothing of a conversion
            for t steps.
        activity: spikes of one sample in step t = 1..T, all layers of neurons together.
        fingerprint: digests of the inputs that the result depends on.
        sources: by module, the digest of the code that the result depends on, see `benchmarks.freshness.sources`.
        provenance: versions, device and the like, for people.
        departures: differences of the data from the dataset as published, counted by kind (`Task.departures`).
        samples: location of the table of samples: in a working store the file beside the record, in a published suite
            the value of the column `cell`; "" where it was not kept.
    """

    model_config = ConfigDict(extra="forbid")
    schema_version: int = SCHEMA
    cell: Cell
    status: Literal["done", "failed"]
    reason: str = ""
    cause: Cause | None = None
    # Records from before there were codes are of rates.
    code: str = RATE
    wait: str = "0"
    metrics: dict[str, Value] = {}
    primary_metric: str = ""
    curve: dict[PositiveInt, FiniteFloat] = {}
    totals: Totals | None = None
    layers: list[LayerCounts] = []
    exits: list[FiniteFloat] = []
    exit_thresholds: list[FiniteFloat] = []
    activity: list[FiniteFloat] = []
    report: list[LayerReport] = []
    searches: list[Search] = []
    fingerprint: dict[str, str] = {}
    sources: dict[str, str] = {}
    provenance: dict[str, str] = {}
    departures: dict[str, int] = {}
    convert_s: Seconds = 0.0
    evaluate_s: Seconds = 0.0
    samples: Name = ""

    @property
    def state(self) -> State:
        """The state of the cell: that of the record, or "impossible" where it could not be measured at all."""
        return "impossible" if self.cause == "impossible" else self.status

    @model_validator(mode="after")
    def _countable(self) -> Self:
        """Counts are numbers of something: finite, and none below zero."""
        counted = [] if self.totals is None else [("totals", vars(self.totals))]
        counted += [(layer.name, vars(layer)) for layer in self.layers]
        counted += [(name, {"n": value.n}) for name, value in self.metrics.items()]
        counted += [("departures", self.departures)]
        for place, counts in counted:
            for name, count in counts.items():
                if count is not None and name != "name" and not 0 <= count < MOST:
                    raise ValueError(f"{name} of {place} is {count!r:.40}")
        if any(spikes < 0 for spikes in self.activity):
            raise ValueError("activity of a step is below zero")
        return self

    @model_validator(mode="after")
    def _stepwise(self) -> Self:
        """Exits are shares of the samples, and they and their thresholds are those of steps 1 to T."""
        steps = self.cell.T or 0
        for name, values in (("exits", self.exits), ("exit_thresholds", self.exit_thresholds)):
            if values and len(values) != steps:
                raise ValueError(f"{name} has {len(values)} entries for {steps} steps")
        if any(share < 0 for share in self.exits) or sum(self.exits) > 1 + 1e-3:
            raise ValueError("exits are no shares of the samples")
        return self


class Measurement(BaseModel):
    """A record and, of a cell that was measured, one row for each test sample.

    Attributes:
        samples: columns `outcome` (the metric's score after the last step), `steps`, those of
            `conversion.counting.operations.KINDS` and those of the task's target (`tasks.target.Target.columns`), in
            the order of the test split. Where all spikes of a layer have one amplitude, units are spikes, and they and
            their operations are left out.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)
    record: Record
    samples: pd.DataFrame


def parse_record(content: Any, path: Path, advice: str = "measure it again.") -> Record:
    """A record from the content of its JSON.

    Args:
        path: its file, for error messages.
        advice: what to do about a damaged record.

    Raises:
        DamagedRecord: it is no record, or one of a plug-in that is not installed.
        BenchmarkError: it was written by a newer version.
    """
    version = content.get("schema_version", 0) if isinstance(content, dict) else 0
    if isinstance(version, int) and version > SCHEMA:
        raise BenchmarkError(f"The record {path} was written by a newer version of this benchmark; update it.")
    try:
        record = Record.model_validate(content)
    except ValidationError as error:
        raise DamagedRecord(f"The record {path} is damaged ({first_error(error)}); {advice}") from None
    except BenchmarkError as error:  # Of a plug-in that is not installed, or an option that is no more.
        raise DamagedRecord(f"The record {path} cannot be used here: {error}") from None
    if reason := _out_of_range(record):
        raise DamagedRecord(f"The record {path} is damaged ({record.cell.id}: {reason}); {advice}")
    return record


def parse_whole(text: bytes) -> Record | None:
    """The record in a JSON text, if nothing is wrong with it and it is of this version: a third of the time that
    `parse_record` takes, which says what is wrong with all others."""
    try:
        record = Record.model_validate_json(text)
    except (ValidationError, BenchmarkError):
        return None
    return record if record.schema_version <= SCHEMA and not _out_of_range(record) else None


def first_error(error: ValidationError) -> str:
    """The place and the reason of the first of the errors, as in "metrics.accuracy.n: it should be above 0"."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'all of it'}: {first['msg']}"


def unsaid(record: Record) -> list[str]:
    """What the record of a cell that was measured does not say, though tables and comparisons need it."""
    needed: dict[str, object] = {
        "totals": record.totals,
        "primary metric": record.metrics.get(record.primary_metric),
        "precision": record.fingerprint.get("precision"),
        "device": record.provenance.get("device"),
    }
    return [name for name, said in needed.items() if not said]


def _out_of_range(record: Record) -> str:
    """What no cell can have, in words: no number of steps, or a percentage that is none; "" if all can be."""
    if record.cell.T is not None and not 1 <= record.cell.T <= STEPS:
        return f"T is {record.cell.T!r:.40}"
    if record.cell.task in TASKS and TASKS[record.cell.task].perfect == 100 and record.primary_metric in record.metrics:
        value = record.metrics[record.primary_metric].value
        if not -ROUNDING <= value <= 100 + ROUNDING:
            return f"{record.primary_metric} is {value:g}, and it is a percentage"
    return ""
