"""The results of a suite as pages, gates and pictures read them, be they being worked on or published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

import pandas as pd

from benchmarks.records.manifest import MANIFEST
from benchmarks.records.published import PublishedSuite
from benchmarks.records.record import Record
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from conversion.errors import InvalidInput


class Results(Protocol):
    """The results of one suite: a working `Store` or a `PublishedSuite`.

    Attributes:
        folder: where its pages lie.
    """

    folder: Path

    def load(self, cell: Cell) -> Record | None:
        """The record of a cell, if there is one."""
        ...

    def state(self, cell: Cell) -> tuple[Literal["done", "failed", "missing"], str]:
        """What there is of a cell, and of what failed the reason."""
        ...

    def records(self) -> Iterator[Record]:
        """All records that can be read, by name."""
        ...

    def samples(self, record: Record) -> pd.DataFrame | None:
        """One row for each test sample, see `Measurement`; None where they were not kept."""
        ...

    def differences(self, record: Record, reference: Record) -> list[str]:
        """The inputs of a record that forbid to show it beside its reference, the ANN."""
        ...

    def origin(self) -> str:
        """Where and when it was measured and verified, in a line; "" where it is still worked on."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Writes a page beside the records."""
        ...


def open_results(root: Path, suite: str) -> Results:
    """The results of a suite under a folder of results.

    Raises:
        InvalidInput: it is a published suite, of which a file is missing or was changed.
    """
    return PublishedSuite(root, suite) if (root / suite / MANIFEST).is_file() else Store(root, suite)


def working_store(root: Path, suite: str) -> Store:
    """The store that cells of a suite are measured into.

    Raises:
        InvalidInput: the folder holds published suites.
    """
    if any(root.glob(f"*/{MANIFEST}")):
        raise InvalidInput(
            f"{root} holds published suites, which are bound to the commit that measured them: nothing is planned or "
            f"measured there. Measure into a working store (run --suite {suite} --results results), then publish it "
            f"(publish --suite {suite} --results results); verify --suite {suite} measures published cells again."
        )
    return Store(root, suite)
