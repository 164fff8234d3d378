"""Publishes a suite: from the working store, one folder a cell, to a few files that are committed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.pages.tables import collect, write_tables
from benchmarks.records.manifest import MANIFEST
from benchmarks.records.published import PublishedSuite, write_published
from benchmarks.records.record import Measurement, Record
from benchmarks.records.store import Store
from benchmarks.suites.suite import Suite
from conversion.errors import BenchmarkError


class Unpublishable(BenchmarkError):
    """A suite of which cells are missing or failed."""


def publish_suite(suite: Suite, store: Store, root: Path) -> PublishedSuite:
    """Writes records, samples, tables and manifest of a suite. What was published before stays where nothing is newer.

    So a suite may hold cells of several commits: those that the store has, and of the rest those published earlier.

    Args:
        suite: all of its cells are published, and no others.
        store: what was measured.
        root: of all published suites.

    Raises:
        Unpublishable: a cell is in neither, or failed for another reason than that its method refuses.
        InvalidInput: the suite published earlier was changed by hand.
    """
    earlier = PublishedSuite(root, suite.name) if (root / suite.name / MANIFEST).is_file() else None
    found, absent = [], []
    for cell in suite.cells():
        record = store.load(cell)
        if record is not None and _sound(record):
            found.append(_measurement(record, store))
        elif earlier is not None and (kept := earlier.load(cell)) is not None:
            found.append(_measurement(kept, earlier))
        else:
            absent.append(cell.label + (f" ({record.reason})" if record is not None else ""))
    if absent:
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise Unpublishable(
            f"{len(absent)} of {len(found) + len(absent)} cells of suite {suite.name} are not measured in "
            f"{store.folder}: {'; '.join(absent[:3])}{more}. Run the suite first, then publish it."
        )
    published = write_published(root, suite.name, found)
    write_tables(suite, published, collect(suite, published))
    return published


def _sound(record: Record) -> bool:
    """Whether a record says something of the method, not of the machine or of a fault."""
    return record.status == "done" or record.cause == "refused"


def _measurement(record: Record, kept_in: Store | PublishedSuite) -> Measurement:
    samples = kept_in.samples(record)
    return Measurement(record=record, samples=pd.DataFrame() if samples is None else samples)
