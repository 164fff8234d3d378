"""The interface by which pages, gates and pictures read the results of a suite, in a working store or published."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Protocol

import pandas as pd

from benchmarks.records.manifest import MANIFEST, is_published
from benchmarks.records.published import PublishedSuite
from benchmarks.records.record import Record, State
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from conversion.errors import InvalidInput


class Results(Protocol):
    """The results of one suite: a working `Store` or a `PublishedSuite`.

    Attributes:
        folder: folder of its pages.
    """

    folder: Path

    def load(self, cell: Cell) -> Record | None:
        """The record of a cell, if there is one."""
        ...

    def state(self, cell: Cell) -> tuple[State, str]:
        """The state of a cell, and why it has no figures."""
        ...

    def look_up(self, cell: Cell) -> tuple[State, str, Record | None]:
        """The state of a cell, why it has no figures, and its record if it can be read."""
        ...

    def records(self, besides: Container[str] = ()) -> Iterator[Record]:
        """All records that can be read, by name; but those of cells with these ids."""
        ...

    def samples(self, record: Record) -> pd.DataFrame | None:
        """One row for each test sample, see `Measurement`; None where they were not kept."""
        ...

    def differences(self, record: Record, reference: Record) -> list[str]:
        """The inputs in which a record differs from its reference, the ANN, so that they cannot be compared."""
        ...

    def origin(self) -> str:
        """A line on where and when it was measured and verified; "" for a working store."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Writes a page beside the records."""
        ...


def open_results(root: Path, suite: str) -> Results:
    """The results of a suite under a folder of results.

    Raises:
        InvalidInput: it is a published suite, of which a file is missing or was changed.
    """
    return PublishedSuite(root, suite) if is_published(root / suite) else Store(root, suite)


def working_store(root: Path, suite: str) -> Store:
    """The store that cells of a suite are measured into.

    Raises:
        InvalidInput: the folder holds published suites, or is the folder of one.
    """
    if is_published(root) or any(root.glob(f"*/{MANIFEST}")):
        what = "is the folder of a published suite" if is_published(root) else "holds published suites"
        raise InvalidInput(
            f"{root} {what}. They are bound to the commit that measured them: nothing is planned or measured there. "
            f"Measure into a working store (run --suite {suite} --results results), then publish it "
            f"(publish --suite {suite} --results results); verify --suite {suite} measures published cells again."
        )
    return Store(root, suite)
