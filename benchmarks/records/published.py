"""A published suite: all records in one file, all samples in another, and a manifest that binds them.

`results/published/<suite>/` holds

- `records.jsonl.gz`: a line of JSON for each cell, as in `record.json` of a working store, ordered by cell. Keys keep
  the order in which they were measured, for the first metric of a task is the one that ranks;
- `samples.parquet`: the figures of every test sample, all cells one after the other. The column `cell` is the cell of a
  row; a column that a cell does not have is null there. Of very many samples what each costs is left out. The file is
  missing where no samples were kept;
- `results.csv`, `results.md`: the tables;
- `suite.json`: the manifest, see `benchmarks.records.manifest`.

The same records and samples give the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.records.manifest import (
    MANIFEST,
    Manifest,
    Verification,
    check_files,
    digest,
    origins,
    read_manifest,
    restore,
    write_manifest,
)
from benchmarks.records.record import INPUTS, Measurement, Record, State, parse_record, unsaid
from benchmarks.suites.cell import Cell
from conversion.counting.operations import KINDS
from conversion.errors import InvalidInput
from conversion.files import write_atomically

RECORDS, SAMPLES = "records.jsonl.gz", "samples.parquet"
WHOLE = 1 << 26
"""Bytes of a page and rows of a group, so large that each holds a whole column: compression sees all cells at once."""
MOST_COUNTED = 200_000
"""The most samples whose operations are published one by one: some 12 bytes each, where an outcome takes a third."""


class PublishedSuite:
    """The results of one published suite. They can be read, verified and published anew, but not measured in place.

    Raises:
        InvalidInput: a file is missing, damaged, was changed after it was published, or is of a newer version.
    """

    def __init__(self, root: Path, suite: str) -> None:
        self.folder = root / suite
        self.manifest = read_manifest(self.folder)
        if self.manifest.suite != suite:
            raise InvalidInput(f"{self.folder} holds the published suite {self.manifest.suite}; {restore(self.folder)}")
        check_files(self.folder, self.manifest.files, [RECORDS, *self.manifest.files])

    def load(self, cell: Cell) -> Record | None:
        """The record of a cell, if it was published."""
        return self._records.get(cell.id)

    def state(self, cell: Cell) -> tuple[State, str]:
        """The state of a cell, and why it has no figures."""
        state, reason, _ = self.look_up(cell)
        return state, reason

    def look_up(self, cell: Cell) -> tuple[State, str, Record | None]:
        """The state of a cell, why it has no figures, and its record if it was published."""
        record = self.load(cell)
        return ("missing", "", None) if record is None else (record.state, record.reason, record)

    def records(self, besides: Container[str] = ()) -> Iterator[Record]:
        """All records, by the id of their cell; but those of cells with these ids."""
        yield from (record for id, record in self._records.items() if id not in besides)

    def samples(self, record: Record) -> pd.DataFrame | None:
        """One row for each test sample, see `Measurement`; None where they were not kept.

        Raises:
            InvalidInput: the table of samples is damaged, or has no rows of this record.
        """
        if not record.samples:
            return None
        place = self._places.get(record.samples)
        if place is None:
            raise self._damaged(SAMPLES, f"they have no rows of {record.samples}")
        rows = self._samples.slice(*place).drop_columns("cell")
        there = [name for name in rows.column_names if rows[name].null_count < len(rows)]
        frame: pd.DataFrame = rows.select(there).to_pandas()
        return frame

    def differences(self, record: Record, reference: Record) -> list[str]:
        """The inputs, among weights, data and precision, in which a record differs from its reference, the ANN.

        Commits and versions may differ within a suite: `verify` says whether their figures still hold.
        """
        return [key for key in INPUTS if reference.fingerprint.get(key) != record.fingerprint.get(key)]

    def origin(self) -> str:
        """A line on the machine, commit and dates of the measurement and the last verification."""
        return self.manifest.origin(len(self._records))

    def write(self, name: str, content: bytes) -> None:
        """Writes a page and its digest."""
        write_atomically(self.folder / name, content)
        self._replace(files=self.manifest.files | {name: digest(content)})

    def add(self, verification: Verification) -> None:
        """Adds a verification to the manifest."""
        self._replace(verified=[*self.manifest.verified, verification])

    def contradictions(self) -> list[str]:
        """Sentences on what differs between the manifest and the records and samples."""
        table = self._samples if SAMPLES in self.manifest.files else None
        found = []
        if content_digest(self._lines, table) != self.manifest.content_sha256:
            found.append(f"content_sha256 in {MANIFEST} is not that of the records and samples")
        if origins(self.records()) != self.manifest.measured:
            found.append(f"the origins in {MANIFEST} are not those of the records")
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()  # Clocks may differ.
        for entry in self.manifest.verified:
            if entry.date > tomorrow:
                found.append(f"a verification in {MANIFEST} is of {entry.date}, which is to come")
            if strange := entry.cells.keys() - self._records.keys():
                found.append(f"a verification in {MANIFEST} is of cells that are not published: {min(strange)}")
        return found

    def _replace(self, **changes: Any) -> None:
        self.manifest = self.manifest.model_copy(update=changes)
        write_manifest(self.manifest, self.folder)

    def _damaged(self, name: str, reason: object) -> InvalidInput:
        return InvalidInput(
            f"The published {name.split('.')[0]} {self.folder / name} are damaged ({reason}); {restore(self.folder)}"
        )

    @cached_property
    def _lines(self) -> bytes:
        """The records as JSON, one a line."""
        try:
            return gzip.decompress((self.folder / RECORDS).read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise self._damaged(RECORDS, error) from None

    @cached_property
    def _records(self) -> dict[str, Record]:
        try:
            contents = [json.loads(line) for line in self._lines.decode().split("\n") if line]
        except (ValueError, RecursionError) as error:
            raise self._damaged(RECORDS, error) from None
        records = [parse_record(content, self.folder / RECORDS, restore(self.folder)) for content in contents]
        for record in records:
            if record.status == "done" and (absent := unsaid(record)):
                raise self._damaged(RECORDS, f"{record.cell.id} does not say its {' and '.join(absent)}")
        for id, count in Counter(record.cell.id for record in records).items():
            if count > 1:
                raise self._damaged(RECORDS, f"{id} has {count} records")
        return {record.cell.id: record for record in records}

    @cached_property
    def _samples(self) -> pa.Table:
        try:
            table = pq.read_table(io.BytesIO((self.folder / SAMPLES).read_bytes()))
        except (OSError, pa.ArrowException) as error:
            raise self._damaged(SAMPLES, error) from None
        for name in ("cell", "outcome", "steps"):
            if name not in table.column_names:
                raise self._damaged(SAMPLES, f"they have no column {name}")
        cells = table["cell"]
        if not pa.types.is_dictionary(cells.type) or not pa.types.is_string(cells.type.value_type) or cells.null_count:
            raise self._damaged(SAMPLES, "their column cell does not name a cell in every row")
        return table

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        """First row and number of rows of every cell in the table of samples, by its id."""
        if SAMPLES not in self.manifest.files:
            return {}
        column = self._samples["cell"].unify_dictionaries().combine_chunks()
        codes = column.indices.to_numpy()
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        lengths = np.diff(starts, append=len(codes))
        names = column.dictionary.take(column.indices.take(pa.array(starts))).to_pylist()
        if len(set(names)) < len(names):
            raise self._damaged(SAMPLES, "rows of one cell do not follow each other")
        return {name: (int(start), int(n)) for name, start, n in zip(names, starts, lengths, strict=True)}


def write_published(root: Path, suite: str, measurements: Sequence[Measurement]) -> PublishedSuite:
    """Writes or replaces the records and samples of a published suite. Its pages are written after it.

    Verifications of the same figures are kept.

    Args:
        root: folder of all published suites.
        suite: name of the suite.
        measurements: one for every cell; without samples their table is empty. Of more than MOST_COUNTED samples the
            spikes and operations of each are left out; those of each layer are in the records.
    """
    folder = root / suite
    folder.mkdir(parents=True, exist_ok=True)
    ordered = sorted(measurements, key=lambda measured: measured.record.cell.id)
    ids = [measured.record.cell.id for measured in ordered]
    records = [
        measured.record.model_copy(update={"samples": "" if measured.samples.empty else id})
        for id, measured in zip(ids, ordered, strict=True)
    ]
    lines = "".join(record.model_dump_json() + "\n" for record in records).encode()
    samples = {id: measured.samples for id, measured in zip(ids, ordered, strict=True)}
    if sum(map(len, samples.values())) > MOST_COUNTED:
        samples = {id: frame.drop(columns=[*KINDS], errors="ignore") for id, frame in samples.items()}
    table = _table(samples)
    files = {RECORDS: gzip.compress(lines, 9, mtime=0)}
    if table is not None:
        files[SAMPLES] = _parquet(table)
    content = content_digest(lines, table)
    try:
        earlier = read_manifest(folder)
        verified = earlier.verified if earlier.content_sha256 == content else []
    except InvalidInput:
        verified = []
    for name, data in files.items():
        write_atomically(folder / name, data)
    if table is None:
        (folder / SAMPLES).unlink(missing_ok=True)
    manifest = Manifest(
        suite=suite, files={name: digest(data) for name, data in files.items()}, content_sha256=content,
        measured=origins(records), verified=verified,
    )  # fmt: skip
    write_manifest(manifest, folder)
    return PublishedSuite(root, suite)


def content_digest(lines: bytes, table: pa.Table | None) -> str:
    """SHA-256 of records and samples: the lines, then of each column, by name, its type, nulls, lengths and values."""
    found = hashlib.sha256(lines)
    columns = {} if table is None else {name: table[name] for name in sorted(table.column_names)}
    for name, column in columns.items():
        column = column.combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        found.update(f"{name} {column.type}".encode())
        found.update(np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes())
        present = column.drop_null()
        if pa.types.is_binary(present.type) or pa.types.is_string(present.type):
            for value in present.to_pylist():
                data = value if isinstance(value, bytes) else value.encode()
                found.update(len(data).to_bytes(8, "little") + data)
        else:
            found.update(present.to_numpy(zero_copy_only=False).tobytes())
    return found.hexdigest()


def _table(samples: dict[str, pd.DataFrame]) -> pa.Table | None:
    """The samples of all cells, one after the other; None if there are none."""
    parts = {
        id: pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
        for id, frame in samples.items() if not frame.empty
    }  # fmt: skip
    if not parts:
        return None
    names = pa.array(list(parts))
    codes = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts.values()])
    table = pa.concat_tables(parts.values(), promote_options="permissive").combine_chunks()
    return table.add_column(0, "cell", pa.DictionaryArray.from_arrays(pa.array(codes), names))


def _parquet(table: pa.Table) -> bytes:
    """The table as Parquet: counts split into byte streams, since their upper bytes repeat; others by dictionary."""
    counts = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    file = io.BytesIO()
    pq.write_table(
        table, file, compression="zstd", compression_level=19, row_group_size=WHOLE, data_page_size=WHOLE,
        dictionary_pagesize_limit=WHOLE, use_dictionary=[name for name in table.column_names if name not in counts],
        column_encoding=dict.fromkeys(counts, "BYTE_STREAM_SPLIT"),
    )  # fmt: skip
    return file.getvalue()
