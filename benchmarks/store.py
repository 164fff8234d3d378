"""The records of measured cells: a folder for each, valid at every moment."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import ValidationError

from benchmarks.cells import Cell
from benchmarks.records import SCHEMA, Record
from conversion.errors import BenchmarkError
from conversion.files import write_atomically

RECORD = "record.json"


class DamagedRecord(BenchmarkError):
    """A record that cannot be read; measuring its cell again replaces it."""


class Store:
    """The records under one folder.

    `<root>/<suite>/cells/<cell>/record.json` holds a cell's figures and names the file beside it with those of its
    samples. That file is written first, under a name made of its content, and the record replaced in one step. So a
    crash leaves the old record with its samples or the new one with its own, and copying one store over another merges
    the two.
    """

    def __init__(self, root: Path, suite: str) -> None:
        self.folder = root / suite
        self.cells = self.folder / "cells"

    def load(self, cell: Cell) -> Record | None:
        """The record of a cell, if there is one.

        Raises:
            DamagedRecord: the file is damaged.
            BenchmarkError: it was written by a newer version.
        """
        path = self.cells / cell.id / RECORD
        if not path.is_file():
            return None
        record = _read(path)
        if record.cell != cell:
            raise DamagedRecord(f"The record {path} is damaged (it is that of {record.cell.id}); measure it again.")
        return record

    def state(self, cell: Cell) -> tuple[Literal["done", "failed", "missing"], str]:
        """What there is of a cell, and of what failed the reason; a damaged record is a failed one.

        Raises:
            BenchmarkError: the record was written by a newer version.
        """
        try:
            record = self.load(cell)
        except DamagedRecord as error:
            return "failed", str(error)
        return ("missing", "") if record is None else (record.status, record.reason)

    def records(self) -> Iterator[Record]:
        """All records that can be read, whichever suite they belong to, by name."""
        for path in sorted(self.cells.glob(f"*/{RECORD}")):
            try:
                yield _read(path)
            except DamagedRecord:
                continue

    def samples(self, record: Record) -> pd.DataFrame | None:
        """One row for each test sample, see `Measured`; None where they were not kept, or are damaged."""
        path = self.cells / record.cell.id / record.samples
        if not record.samples or not path.is_file():
            return None
        content = path.read_bytes()
        return pd.read_parquet(io.BytesIO(content)) if path.name == _name(content) else None

    def prepare(self) -> None:
        """Makes the folder of the records; raises BenchmarkError where nothing can be written."""
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            write_atomically(self.cells / "probe", b"")
            (self.cells / "probe").unlink()
        except OSError as error:
            raise BenchmarkError(f"Results cannot be written to {self.folder}: {error.strerror}.") from None

    def save(self, record: Record, samples: pd.DataFrame | None = None) -> Record:
        """Writes or replaces a cell's record; returns it with the name of its samples' file."""
        folder = self.cells / record.cell.id
        folder.mkdir(parents=True, exist_ok=True)
        name = ""
        if samples is not None:
            content = samples.to_parquet(index=False, compression="zstd")
            name = _name(content)
            write_atomically(folder / name, content)
        record = record.model_copy(update={"samples": name})
        write_atomically(folder / RECORD, record.model_dump_json(indent=1).encode())
        for old in (*folder.glob("samples-*.parquet"), *folder.glob("*.tmp")):
            if old.name != name:
                old.unlink(missing_ok=True)
        return record


def _name(content: bytes) -> str:
    return f"samples-{hashlib.sha256(content).hexdigest()[:12]}.parquet"


def _read(path: Path) -> Record:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.get("schema_version", 0) if isinstance(content, dict) else 0
        if isinstance(version, int) and version > SCHEMA:
            raise BenchmarkError(f"The record {path} was written by a newer version of this benchmark; update it.")
        return Record.model_validate(content)
    except (json.JSONDecodeError, UnicodeDecodeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise DamagedRecord(f"The record {path} is damaged ({reason}); measure it again.") from None
