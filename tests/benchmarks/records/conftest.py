"""Fixtures of published suites: made-up records in a working store, and the same published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.pages.publication import publish_suite
from benchmarks.records.published import PublishedSuite
from benchmarks.records.record import Value
from benchmarks.records.store import Store
from tests.benchmarks.gate.measurements import flipped, right, save
from tests.benchmarks.records.made_up import CELLS, MEASURED, SUITE


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Records of all cells of the smoke suite, made up; the third kept no samples, others differ in their columns."""
    store = Store(tmp_path / "work", SUITE.name)
    for index, cell in enumerate(CELLS):
        outcomes = flipped(right(200, 20), slice(index, index + 3))
        record = save(store, cell, None if index == 2 else outcomes)
        # The primary metric is the first, whatever its name.
        metrics = record.metrics | {"a_second_metric": Value(value=1 / 3, ci_low=0, ci_high=1, n=200)}
        samples = pd.DataFrame({"outcome": outcomes, "steps": np.full(200, 4, np.int32)})
        if index % 2:
            samples["prediction"] = np.arange(200, dtype=np.int32) % 10
        else:
            samples["answer"] = [b"four", b"", *[None] * 198]
        record = record.model_copy(update={"metrics": metrics, "provenance": MEASURED, "curve": {9: 1.0, 10: 90.0}})
        store.save(record, None if index == 2 else samples)
    return store


@pytest.fixture
def published(store: Store, tmp_path: Path) -> PublishedSuite:
    """The same, published."""
    publication = publish_suite(SUITE, store, tmp_path / "published")
    assert (publication.measured, publication.kept, publication.missing) == (len(CELLS), 0, [])
    return publication.suite
