"""Records of measured cells, one file each, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.cells import Cell
from benchmarks.prices import Firing, Totals
from conversion.errors import BenchmarkError
from conversion.files import write_atomically
from conversion.report import LayerReport

SCHEMA = 1


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


class Record(BaseModel):
    """Everything measured of one cell, and under which conditions.

    Attributes:
        metrics: by name, after the last step.
        exits: with early exit, the share of samples that left after step t = 1..T.
        report: what every layer adds to the error, measured on calibration samples.
        curve: the primary metric after each step of this conversion; extra information, no cell of its own.
        fingerprint: digests of the inputs that the result depends on.
        provenance: versions, device and the like, for people.
    """

    model_config = ConfigDict(extra="forbid")
    schema_version: int = SCHEMA
    cell: Cell
    status: Literal["done", "failed"]
    reason: str = ""
    metrics: dict[str, Value] = {}
    primary_metric: str = ""
    curve: list[float] = []
    totals: Totals | None = None
    layers: list[LayerCounts] = []
    exits: list[float] = []
    report: list[LayerReport] = []
    fingerprint: dict[str, str] = {}
    provenance: dict[str, str] = {}
    convert_s: float = 0.0
    evaluate_s: float = 0.0


class Store:
    """The records under one folder: `<root>/<suite>/cells/<cell>.json`."""

    def __init__(self, root: Path, suite: str) -> None:
        self.folder = root / suite
        self.cells = self.folder / "cells"

    def load(self, cell: Cell) -> Record | None:
        """The record of a cell, if there is one.

        Raises:
            BenchmarkError: the file is damaged, or was written by a newer version.
        """
        path = self._path(cell)
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(content, dict) and content.get("schema_version", 0) > SCHEMA:
                raise BenchmarkError(f"The record {path} was written by a newer version of this benchmark; update it.")
            return Record.model_validate(content)
        except (json.JSONDecodeError, UnicodeDecodeError, ValidationError) as error:
            reason = str(error).splitlines()[0]
            raise BenchmarkError(f"The record {path} is damaged ({reason}); delete it to measure it again.") from None

    def prepare(self) -> None:
        """Makes the folder of the records; raises BenchmarkError where nothing can be written."""
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            write_atomically(self.cells / "probe", b"")
            (self.cells / "probe").unlink()
        except OSError as error:
            raise BenchmarkError(f"Results cannot be written to {self.folder}: {error.strerror}.") from None

    def save(self, record: Record) -> None:
        """Writes or replaces a cell's record."""
        self.cells.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path(record.cell), record.model_dump_json(indent=1).encode())

    def _path(self, cell: Cell) -> Path:
        return self.cells / f"{cell.id}.json"
