"""The records of measured cells, a folder for each; they are complete at any time, also after a crash."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow.parquet import ParquetFile

from benchmarks.records.record import SCHEMA, SEALED, DamagedRecord, Record, State, parse_record, parse_whole, unsaid
from benchmarks.records.sealed import Damaged, opened, seal, unseal
from benchmarks.suites.cell import Cell
from conversion.errors import BenchmarkError
from conversion.files import sweep, write_atomically

__all__ = ["FAILURE", "RECORD", "DamagedRecord", "Store"]

RECORD, FAILURE = "record.json", "failed.json"
SAMPLES = re.compile(r"samples-[0-9a-f]{12}\.parquet")
"""The names of tables of samples. A record that names any other file is damaged: nothing else is read or removed."""


class Store:
    """The records under one folder.

    `<root>/<suite>/cells/<cell>/record.json` holds a cell's figures and names the file beside it with those of its
    samples. That file is written first, under a name made of its content, and the record replaced in one step. So a
    crash leaves the old record with its samples or the new one with its own. A failure is kept apart, in `failed.json`,
    so that copying one store over another merges the two and loses nothing that was measured.

    A record is believed if its digest is that of its content (`benchmarks.records.sealed`), it is that of its folder's
    cell, and its samples are those that it was saved with. Any other is damaged, and its cell is measured again.
    Records from before there were digests are believed by their samples, which their names always were a digest of.
    """

    def __init__(self, root: Path, suite: str) -> None:
        self.folder = root / suite
        self.cells = self.folder / "cells"

    def load(self, cell: Cell) -> Record | None:
        """The record of a cell, if there is one.

        Raises:
            DamagedRecord: the file or that of its samples is damaged.
            BenchmarkError: it was written by a newer version.
        """
        return _latest(self.cells / cell.id)

    def state(self, cell: Cell) -> tuple[State, str]:
        """The state of a cell, and why it has no figures; a damaged record counts as failed.

        Raises:
            BenchmarkError: the record was written by a newer version.
        """
        state, reason, _ = self.look_up(cell)
        return state, reason

    def look_up(self, cell: Cell) -> tuple[State, str, Record | None]:
        """The state of a cell, why it has no figures, and its record unless it is damaged.

        Raises:
            BenchmarkError: the record was written by a newer version.
        """
        try:
            record = self.load(cell)
        except DamagedRecord as error:
            return "failed", str(error), None
        if record is None:
            return "missing", "", None
        if record.status == "done" and (absent := unsaid(record)):
            return "failed", f"its record does not say its {' and '.join(absent)}; measure it again.", record
        return record.state, record.reason, record

    def records(self, besides: Container[str] = ()) -> Iterator[Record]:
        """All records that can be read, whichever suite they belong to, by name; but those of cells with these ids."""
        for folder in sorted(self.cells.glob("*")):
            if folder.name not in besides:
                with suppress(DamagedRecord):
                    record = _latest(folder)
                    if record is not None:
                        yield record

    def samples(self, record: Record) -> pd.DataFrame | None:
        """One row for each test sample, see `Measurement`; None where they were not kept, or are damaged."""
        content = _samples(self.cells / record.cell.id, record)
        if content is None:
            return None
        try:
            # pandas' own reader takes twice as long for a table of few rows.
            table: pd.DataFrame = ParquetFile(pa.BufferReader(content)).read(use_threads=False).to_pandas()
            return table
        except (pa.ArrowException, ValueError, OSError):  # A file of another kind under a digest that fits.
            return None

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
            for shared in (self.folder.parent, self.folder.parent / "converted"):
                sweep(shared, "*.tmp")
            for pattern in ("*.tmp", "cells/*/*.tmp", "leases/*.tmp", "leases/*.json.*"):
                sweep(self.folder, pattern)
            self._sweep_samples()
        except OSError as error:
            raise BenchmarkError(f"Results cannot be written to {self.folder}: {error.strerror}.") from None

    def _sweep_samples(self) -> None:
        """Removes tables of samples whose writer was killed before it wrote their record."""
        counts = Counter(path.parent for path in self.cells.glob("*/samples-*.parquet"))
        for folder in (folder for folder, count in counts.items() if count > 1 or not (folder / RECORD).is_file()):
            try:
                named = _samples_named(folder)
            except BenchmarkError:  # It is damaged, and nobody knows which is which.
                continue
            sweep(folder, "samples-*.parquet", keep=named)

    def save(self, record: Record, samples: pd.DataFrame | None = None) -> Record:
        """Writes a cell's record; returns it with the name of its samples' file.

        The record of a measured cell replaces any other; that of a failure leaves an earlier measurement.
        """
        folder = self.cells / record.cell.id
        folder.mkdir(parents=True, exist_ok=True)
        record = record.model_copy(update={"schema_version": SCHEMA})
        if record.status == "failed":
            write_atomically(folder / FAILURE, _text(record))
            return record
        name = ""
        if samples is not None:
            content = samples.to_parquet(index=False, compression="zstd")
            name = _name(content)
            write_atomically(folder / name, content)
        try:
            before = _samples_named(folder)
        except (OSError, BenchmarkError):
            before = ""
        record = record.model_copy(update={"samples": name})
        write_atomically(folder / RECORD, _text(record))
        (folder / FAILURE).unlink(missing_ok=True)
        if before not in ("", name):
            (folder / before).unlink(missing_ok=True)
        return record


def _latest(folder: Path) -> Record | None:
    """The valid record of a cell: that of its measurement, unless a later measurement failed.

    A cell that is impossible on one machine stays valid as measured on another.
    """
    record, failure = _read_if_there(folder / RECORD), _read_if_there(folder / FAILURE)
    if record is not None and record.samples and _samples(folder, record) is None:
        raise DamagedRecord(
            f"The samples {folder / record.samples} are missing or are not those of their record; measure it again."
        )
    if record is None or failure is None:
        return record or failure
    since = failure.provenance.get("finished", "") >= record.provenance.get("finished", "")
    return failure if since and failure.cause != "impossible" else record


def _name(content: bytes) -> str:
    return f"samples-{hashlib.sha256(content).hexdigest()[:12]}.parquet"


def _samples(folder: Path, record: Record) -> bytes | None:
    """The file of a record's samples; None where there is none, or it is another one."""
    if not record.samples:
        return None
    content = _content(folder / record.samples)
    return content if content is not None and record.samples == _name(content) else None


def _text(record: Record) -> bytes:
    return seal(record.model_dump_json(indent=1).encode())


def _samples_named(folder: Path) -> str:
    """The file of samples that a cell's record names; empty where there is no record. Errors as of `_read`."""
    record = _read_if_there(folder / RECORD)
    return "" if record is None else record.samples


def _read_if_there(path: Path) -> Record | None:
    content = _content(path)
    return None if content is None else _read(path, content)


def _content(path: Path) -> bytes | None:
    """The bytes of a file; None where there is none. Asking first takes as long as reading."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _read(path: Path, content: bytes) -> Record:
    """The record in a file of a cell's folder, of which the content is given.

    Raises:
        DamagedRecord: it is no record, is not as it was written, or is that of another cell.
        BenchmarkError: it was written by a newer version.
    """
    try:
        text = unseal(content)
        record = None if text is None else parse_whole(text)
        if record is None:  # It is of an earlier version, or a sentence is needed.
            record = parse_record(opened(content, "schema_version", SEALED), path)
    except Damaged as error:
        raise DamagedRecord(f"The record {path} is damaged ({error}); measure it again.") from None
    if record.cell.id != path.parent.name:
        raise DamagedRecord(f"The record {path} is damaged (it is that of {record.cell.id}); measure it again.")
    if record.samples and not SAMPLES.fullmatch(record.samples):
        reason = f"it names the samples {record.samples!r}"
        raise DamagedRecord(f"The record {path} is damaged ({reason}); measure it again.")
    return record
