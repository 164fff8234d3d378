"""The records of measured cells, a folder for each; they are complete at any time, also after a crash."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd

from benchmarks.records.record import DamagedRecord, Record, State, parse_record
from benchmarks.suites.cell import Cell
from conversion.errors import BenchmarkError
from conversion.files import write_atomically

__all__ = ["FAILURE", "RECORD", "DamagedRecord", "Store"]

RECORD, FAILURE = "record.json", "failed.json"
# Age in seconds at which a temporary file is a leftover of a run that was killed.
LEFTOVER = 3600.0


class Store:
    """The records under one folder.

    `<root>/<suite>/cells/<cell>/record.json` holds a cell's figures and names the file beside it with those of its
    samples. That file is written first, under a name made of its content, and the record replaced in one step. So a
    crash leaves the old record with its samples or the new one with its own. A failure is kept apart, in `failed.json`,
    so that copying one store over another merges the two and loses nothing that was measured.
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
        record = _latest(self.cells / cell.id)
        if record is not None and record.cell != cell:
            path = self.cells / cell.id
            raise DamagedRecord(f"The record in {path} is damaged (it is that of {record.cell.id}); measure it again.")
        return record

    def state(self, cell: Cell) -> tuple[State, str]:
        """The state of a cell, and why it has no figures; a damaged record counts as failed.

        Raises:
            BenchmarkError: the record was written by a newer version.
        """
        try:
            record = self.load(cell)
        except DamagedRecord as error:
            return "failed", str(error)
        return ("missing", "") if record is None else (record.state, record.reason)

    def records(self) -> Iterator[Record]:
        """All records that can be read, whichever suite they belong to, by name."""
        for folder in sorted(self.cells.glob("*")):
            with suppress(DamagedRecord):
                record = _latest(folder)
                if record is not None:
                    yield record

    def samples(self, record: Record) -> pd.DataFrame | None:
        """One row for each test sample, see `Measurement`; None where they were not kept, or are damaged."""
        path = self.cells / record.cell.id / record.samples
        if not record.samples or not path.is_file():
            return None
        content = path.read_bytes()
        return pd.read_parquet(io.BytesIO(content)) if path.name == _name(content) else None

    def differences(self, record: Record, reference: Record) -> list[str]:
        """The inputs besides the method in which a record differs from its reference, the ANN."""
        shared = (key for key in record.fingerprint if key != "method")
        return [key for key in shared if reference.fingerprint.get(key) != record.fingerprint[key]]

    def origin(self) -> str:
        """Empty: the records of a working store have different origins, and `plan` says which are stale."""
        return ""

    def write(self, name: str, content: bytes) -> None:
        """Writes a page beside the records."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / name, content)

    def prepare(self) -> None:
        """Makes the folder of the records; raises BenchmarkError where nothing can be written."""
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / "probe", b"")
            (self.folder / "probe").unlink(missing_ok=True)
            for path in self.cells.glob("*/*.tmp"):  # Of runs that were killed while they wrote.
                with suppress(FileNotFoundError):  # Of runs that write now.
                    if time.time() - path.stat().st_mtime > LEFTOVER:
                        path.unlink()
        except OSError as error:
            raise BenchmarkError(f"Results cannot be written to {self.folder}: {error.strerror}.") from None

    def save(self, record: Record, samples: pd.DataFrame | None = None) -> Record:
        """Writes a cell's record; returns it with the name of its samples' file.

        The record of a measured cell replaces any other; that of a failure leaves an earlier measurement.
        """
        folder = self.cells / record.cell.id
        folder.mkdir(parents=True, exist_ok=True)
        if record.status == "failed":
            write_atomically(folder / FAILURE, record.model_dump_json(indent=1).encode())
            return record
        name = ""
        if samples is not None:
            content = samples.to_parquet(index=False, compression="zstd")
            name = _name(content)
            write_atomically(folder / name, content)
        try:
            before = _read(folder / RECORD).samples
        except (OSError, BenchmarkError):
            before = ""
        record = record.model_copy(update={"samples": name})
        write_atomically(folder / RECORD, record.model_dump_json(indent=1).encode())
        (folder / FAILURE).unlink(missing_ok=True)
        if before not in ("", name):
            (folder / before).unlink(missing_ok=True)
        return record


def _latest(folder: Path) -> Record | None:
    """The valid record of a cell: that of its measurement, unless a later measurement failed.

    A cell that is impossible on one machine stays valid as measured on another.
    """
    record, failure = (_read(path) if path.is_file() else None for path in (folder / RECORD, folder / FAILURE))
    if record is None or failure is None:
        return record or failure
    since = failure.provenance.get("finished", "") >= record.provenance.get("finished", "")
    return failure if since and failure.cause != "impossible" else record


def _name(content: bytes) -> str:
    return f"samples-{hashlib.sha256(content).hexdigest()[:12]}.parquet"


def _read(path: Path) -> Record:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedRecord(f"The record {path} is damaged ({error}); measure it again.") from None
    return parse_record(content, path)
