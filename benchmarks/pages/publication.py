"""Publishes a suite: turns the working store, a folder for each cell, into a few files to commit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.pages.tables import collect, write_tables
from benchmarks.records.manifest import MANIFEST
from benchmarks.records.published import PublishedSuite, write_published
from benchmarks.records.record import Measurement, Record
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from benchmarks.suites.suite import Suite
from conversion.errors import BenchmarkError


def publish_suite(suite: Suite, store: Store, root: Path) -> tuple[PublishedSuite, list[Cell]]:
    """Writes records, samples, tables and manifest of a suite; returns it, and the cells that are missing in it.

    Cells that the store lacks are taken from the suite as published before: a suite may hold cells of several commits.

    Args:
        suite: the suite; only its cells are published.
        store: the measured records.
        root: folder of all published suites.

    Raises:
        BenchmarkError: no cell was measured.
        InvalidInput: what was published before was changed by hand.
    """
    earlier = PublishedSuite(root, suite.name) if (root / suite.name / MANIFEST).is_file() else None
    found, missing = [], []
    for cell in suite.cells():
        record = store.load(cell)
        if record is not None and _sound(record):
            found.append(_measurement(record, store))
        elif earlier is not None and (kept := earlier.load(cell)) is not None:
            found.append(_measurement(kept, earlier))
        else:
            missing.append(cell)
    if not found:
        raise BenchmarkError(f"There are no records of suite {suite.name} in {store.folder}; run it first.")
    published = write_published(root, suite.name, found)
    write_tables(suite, published, collect(suite, published))
    return published, missing


def _sound(record: Record) -> bool:
    """Whether a record is a result of the method, not of a machine that lacked data, memory or time."""
    return record.status == "done" or record.cause == "refused"


def _measurement(record: Record, kept_in: Store | PublishedSuite) -> Measurement:
    samples = kept_in.samples(record)
    return Measurement(record=record, samples=pd.DataFrame() if samples is None else samples)
