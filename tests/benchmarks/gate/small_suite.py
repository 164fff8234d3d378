"""A suite of a few cheap cells, and copies of its published records in which something is different."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.engines.inline import Inline
from benchmarks.execution.worker import Job, Settings
from benchmarks.pages.tables import collect, write_tables
from benchmarks.records.published import PublishedSuite, write_published
from benchmarks.records.record import Cause, Measurement, Record
from benchmarks.records.store import Store
from benchmarks.suites.suite import Suite

SUITE = """
name: own
title: A few cheap cells
calibration: 32
entries:
  - {tasks: [digits], networks: [digits_convnet], methods: [calibration, {burst: {phi: 4}, quantised_ann: {phi: 4}}],
     T: [2, 4], limit: 60}
"""
Change = Callable[[Record], Record]


def measure(suite: Suite, root: Path) -> Store:
    store = Store(root, suite.name)
    for _ in Inline().run([Job(cell, root, suite.name, Settings()) for cell in suite.cells()]):
        pass
    return store


def altered(
    suite: Suite, published: PublishedSuite, index: int, change: Change, samples: pd.DataFrame | None = None
) -> PublishedSuite:
    """A copy in which one record was changed, written by the writer itself: every digest fits, and so do the tables."""
    found = []
    for place, record in enumerate(published.records()):
        table = published.samples(record)
        assert table is not None
        if place == index:
            record, table = change(record), table if samples is None else samples
        found.append(Measurement(record=record, samples=table))
    copy = write_published(published.folder.parent, suite.name, found)
    write_tables(suite, copy, collect(suite, copy))
    return PublishedSuite(published.folder.parent, suite.name)


def with_figure(record: Record, field: str, **changes: Any) -> Record:
    """The record with other figures in its totals, or in its primary metric."""
    if field == "totals":
        assert record.totals is not None
        return record.model_copy(update={"totals": record.totals.model_copy(update=changes)})
    old = record.metrics[record.primary_metric]
    if "value" in changes:  # A value lies within its interval.
        changes |= {"ci_low": min(old.ci_low, changes["value"]), "ci_high": max(old.ci_high, changes["value"])}
    metric = old.model_copy(update=changes)
    return record.model_copy(update={"metrics": {record.primary_metric: metric}})


def with_first(record: Record, field: str, **changes: Any) -> Record:
    """The record with other figures of its first layer."""
    first, *others = getattr(record, field)
    return record.model_copy(update={field: [first.model_copy(update=changes), *others]})


def shifted(store: Store, root: Path, share: float, flips: int) -> Store:
    """A store as another processor would leave it: counts a little apart, outcomes of some samples the other way."""
    other = Store(root, store.folder.name)
    for record in store.records():
        table = store.samples(record)
        assert table is not None and record.totals is not None
        table = table.copy()
        table.loc[: flips - 1, "outcome"] = 1 - table.loc[: flips - 1, "outcome"]
        table["synops_unary"] = (table["synops_unary"] * (1 + share)).round().astype(int)
        value = 100 * float(table["outcome"].mean())
        totals = record.totals.model_copy(update={"synops_unary": record.totals.synops_unary * (1 + share)})
        record = with_figure(record, "metrics", value=value)
        other.save(record.model_copy(update={"totals": totals}), table)
    return other


def kept_samples(published: PublishedSuite, record: Record) -> pd.DataFrame:
    table = published.samples(record)
    assert table is not None
    return table


def refused(record: Record, cause: Cause = "refused") -> Record:
    return Record(
        cell=record.cell, status="failed", cause=cause, reason="the method refuses", fingerprint=record.fingerprint,
        provenance=record.provenance,
    )  # fmt: skip
