"""The suites in a folder of results, each with its plan where one is known."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.records.manifest import is_published
from benchmarks.records.reading import Results, open_results
from benchmarks.records.record import Record
from benchmarks.suites.cell import Cell
from benchmarks.suites.files import load_suite
from benchmarks.suites.shipped import suite_names
from benchmarks.suites.suite import Suite
from benchmarks.text import printable
from conversion.errors import BenchmarkError

LIMITED = re.compile(r"(.+)-first-([1-9][0-9]*)")
DEFAULT_PRICES = str(Suite.model_fields["price_list"].default)


@dataclass(frozen=True)
class Source:
    """The results of one suite.

    Attributes:
        name: name of the suite, and of its folder.
        suite: its plan; None where no suite of this name ships with the benchmark, or was given.
        store: its records.
    """

    name: str
    suite: Suite | None
    store: Results

    @cached_property
    def records(self) -> list[Record]:
        """The records of its cells."""
        return list(self.store.records())

    @cached_property
    def cells(self) -> list[Cell]:
        """Those of the plan, measured or not; without a plan those that have a record."""
        return [record.cell for record in self.records] if self.suite is None else self.suite.cells()

    @property
    def title(self) -> str:
        return self.name if self.suite is None else self.suite.title

    @property
    def price_list(self) -> str:
        return DEFAULT_PRICES if self.suite is None else self.suite.price_list


def sources(results: Path, known: Iterable[Suite] = ()) -> list[Source]:
    """The suites that have records under a folder of results, by name.

    Args:
        results: the folder of all suites.
        known: plans besides those of the suites that ship with the benchmark.

    Raises:
        BenchmarkError: no suite has a record, or a published one was changed.
    """
    plans = {suite.name: suite for suite in known}
    folders = sorted(path for path in results.glob("*") if is_published(path) or (path / "cells").is_dir())
    found = []
    for path in folders:
        source = Source(path.name, plans.get(path.name) or plan_of(path.name), open_results(results, path.name))
        try:
            found += [source] if source.records else []
        except BenchmarkError as error:  # What somebody left there keeps nobody's results from the page.
            if is_published(path):
                raise
            print(f"{printable(str(error))} The page is made without {printable(path.name)}.", file=sys.stderr)
    if not found:
        raise BenchmarkError(f"There are no records in {results.absolute()}; run a suite first, or give its --results.")
    return found


def plan_of(name: str) -> Suite | None:
    """The suite that ships under a name, or its first N samples; None where there is none."""
    limited = LIMITED.fullmatch(name)
    shipped, limit = (limited[1], int(limited[2])) if limited else (name, None)
    return load_suite(shipped).adjusted(limit=limit) if shipped in suite_names() else None
