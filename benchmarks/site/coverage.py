"""What was measured of each suite, what was not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.pages.tables import absent
from benchmarks.site.sources import Source
from benchmarks.suites.files import load_suite
from benchmarks.suites.shipped import suite_names
from tasks import TASKS


@dataclass(frozen=True)
class Coverage:
    """The cells of a suite.

    Attributes:
        planned, done: numbers of cells.
        reasons: why cells are absent, in Markdown, with their names.
        origin: by what it was measured and when it was verified, in Markdown; "" for a working store.
    """

    name: str
    title: str
    planned: int
    done: int
    reasons: list[str]
    origin: str


@dataclass(frozen=True)
class Unmeasured:
    """A suite that ships with the benchmark and has no record here.

    Attributes:
        needs: data that it needs, a sentence for each layout on disk.
        command: the command that measures it.
    """

    name: str
    title: str
    planned: int
    needs: list[str]
    command: str


def coverage(found: Sequence[Source], frame: pd.DataFrame) -> list[Coverage]:
    """The coverage of each suite, in the order of the sources.

    Args:
        frame: the tidy table of all suites, missing and failed cells included.
    """
    covered = []
    for source in found:
        rows = frame[frame["suite"] == source.name]
        done = rows[rows["status"] == "done"]["cell"].nunique()
        reasons = [f"{task}, {network}: {line.removeprefix('- ')}"
                   for (task, network), group in rows.groupby(["task", "network"], sort=False)
                   for line in absent(group)]  # fmt: skip
        covered.append(
            Coverage(source.name, source.title, rows["cell"].nunique(), done, reasons, source.store.origin())
        )
    return covered


def unmeasured(found: Sequence[Source]) -> list[Unmeasured]:
    """The suites that ship with the benchmark and have no record in the folder."""
    here = {source.name for source in found}
    rest = []
    for name in suite_names():
        if name in here:
            continue
        suite = load_suite(name)
        tasks = dict.fromkeys(cell.task for cell in suite.cells())
        needy = [task for task in tasks if TASKS[task]().missing() is not None]
        layouts: dict[str, list[str]] = {}
        for task in needy:
            layouts.setdefault(TASKS[task].layout, []).append(task)
        needs = [f"{', '.join(tasks)}: {layout}" for layout, tasks in layouts.items()]
        data = " --data-root DATA --weights DATA" if needy else ""
        rest.append(
            Unmeasured(name, suite.title, len(suite.cells()), needs, f"python run_all.py run --suite {name}{data}")
        )
    return rest


def folder_of(results: Path) -> str:
    """The folder as the page names it: without what is above the current one, which is one machine's concern."""
    try:
        return str(results.resolve().relative_to(Path.cwd()))
    except ValueError:
        return results.name
