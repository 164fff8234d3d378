"""Publishes a suite: turns the working store, a folder for each cell, into a few files to commit."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.pages.tables import collect, write_tables
from benchmarks.records.manifest import is_published
from benchmarks.records.published import PublishedSuite, write_published
from benchmarks.records.record import Measurement, Record
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from benchmarks.suites.suite import Suite
from conversion.errors import BenchmarkError

# What stands for the folders that options of the command line name.
FOLDERS = {"--data-root": "DATA", "--weights": "DATA", "--results": "RESULTS"}


@dataclass(frozen=True)
class Publication:
    """A suite that was published.

    Attributes:
        suite: the published suite.
        measured: number of cells from the working store.
        kept: number of cells from what was published before.
        missing: cells that neither has.
    """

    suite: PublishedSuite
    measured: int
    kept: int
    missing: list[Cell]


def publish_suite(suite: Suite, store: Store, root: Path) -> Publication:
    """Writes records, samples, tables and manifest of a suite.

    Cells that the store lacks are taken from the suite as published before: a suite may hold cells of several commits.

    Args:
        suite: the suite; only its cells are published.
        store: the measured records.
        root: folder of all published suites.

    Raises:
        BenchmarkError: the store has no cell of the suite, so that there is nothing new to publish.
        InvalidInput: what was published before was changed by hand.
    """
    earlier = PublishedSuite(root, suite.name) if is_published(root / suite.name) else None
    measured, kept, missing = list[Measurement](), list[Measurement](), list[Cell]()
    for cell in suite.cells():
        record = store.load(cell)
        if record is not None and _sound(record):
            measured.append(_measurement(portable(record), store))
        elif earlier is not None and (published := earlier.load(cell)) is not None:
            kept.append(_measurement(published, earlier))
        else:
            missing.append(cell)
    if not measured:
        raise BenchmarkError(f"There are no records of suite {suite.name} in {store.folder}; run it first.")
    written = write_published(root, suite.name, [*measured, *kept])
    write_tables(suite, written, collect(suite, written))
    return Publication(written, len(measured), len(kept), missing)


def portable(record: Record) -> Record:
    """The record with names in place of the folders in its command line: those of one machine are nobody's concern."""
    words = shlex.split(record.provenance.get("command", ""))
    for place, word in enumerate(words[1:], start=1):
        option, equals, _ = word.partition("=")
        if words[place - 1] in FOLDERS:
            words[place] = FOLDERS[words[place - 1]]
        elif equals and option in FOLDERS:
            words[place] = f"{option}={FOLDERS[option]}"
    provenance = {**record.provenance, "command": shlex.join(words)} if words else record.provenance
    return record.model_copy(update={"provenance": provenance})


def _sound(record: Record) -> bool:
    """Whether a record is a result of the method, not of a machine that lacked data, memory or time."""
    return record.status == "done" or record.cause == "refused"


def _measurement(record: Record, kept_in: Store | PublishedSuite) -> Measurement:
    samples = kept_in.samples(record)
    return Measurement(record=record, samples=pd.DataFrame() if samples is None else samples)
