"""The record of a measured cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.references.prices import Firing, Totals
from benchmarks.suites.cell import Cell
from conversion.errors import BenchmarkError
from conversion.report.layers import LayerReport

SCHEMA = 2
# Two records can be compared only if they agree in these inputs.
INPUTS = ("weights", "data", "precision")


class DamagedRecord(BenchmarkError):
    """A record that cannot be read; measuring its cell again replaces it."""


class Value(BaseModel):
    """A metric with its 95 % interval."""

    value: float
    ci_low: float
    ci_high: float
    n: int


class LayerCounts(Firing):
    """Mean counts of one layer for one sample, after the last step; fan_out is that of all its neurons together."""

    name: str
    phi: int
    fan_out: int


# Causes of failure: the cell cannot be measured here, its process was lost, or the method refused or raised an error.
Cause = Literal["impossible", "killed", "time limit", "refused", "error"]


class Record(BaseModel):
    """All figures of one cell, and the conditions of their measurement.

    Attributes:
        reason, cause: the reason of a failure in words, and its kind.
        metrics: values after the last step, by name.
        exits: with early exit, the share of samples that left after step t = 1..T.
        report: the error that every layer adds, measured on calibration samples.
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
    metrics: dict[str, Value] = {}
    primary_metric: str = ""
    curve: dict[int, float] = {}
    totals: Totals | None = None
    layers: list[LayerCounts] = []
    exits: list[float] = []
    activity: list[float] = []
    report: list[LayerReport] = []
    fingerprint: dict[str, str] = {}
    sources: dict[str, str] = {}
    provenance: dict[str, str] = {}
    departures: dict[str, int] = {}
    convert_s: float = 0.0
    evaluate_s: float = 0.0
    samples: str = ""


class Measurement(BaseModel):
    """A record and, of a cell that was measured, one row for each test sample.

    Attributes:
        samples: columns `outcome` (the metric's score after the last step), `steps`, those of
            `conversion.counting.operations.KINDS` and those of the task's target (`tasks.target.Target.columns`), in
            the order of the test split.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)
    record: Record
    samples: pd.DataFrame


def parse_record(content: Any, path: Path) -> Record:
    """A record from the content of its JSON; `path` is its file, for error messages.

    Raises:
        DamagedRecord: it is no record, or one of a plug-in that is not installed.
        BenchmarkError: it was written by a newer version.
    """
    version = content.get("schema_version", 0) if isinstance(content, dict) else 0
    if isinstance(version, int) and version > SCHEMA:
        raise BenchmarkError(f"The record {path} was written by a newer version of this benchmark; update it.")
    try:
        return Record.model_validate(content)
    except ValidationError as error:
        reason = str(error).splitlines()[0]
        raise DamagedRecord(f"The record {path} is damaged ({reason}); measure it again.") from None
    except BenchmarkError as error:  # Of a plug-in that is not installed, or an option that is no more.
        raise DamagedRecord(f"The record {path} cannot be used here: {error}") from None
