"""The records behind figures: those of each task and network of a suite, and the points that tables show too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from benchmarks.pages.seeds import complete, half_width
from benchmarks.pages.tables import collect_cells
from benchmarks.records.reading import Results
from benchmarks.records.record import Record
from benchmarks.suites.cell import Cell
from benchmarks.suites.suite import Suite
from tasks import TASKS

ENERGIES = ("unary", "graded")
ANN = "ann"
PAPERS = ("calibration", "burst", "adafire", "adafire_ssc")
"""The paper's baseline and methods, with bursts of one phi between them, which AdaFire competes with."""
TWIN = "quantised_ann"
"""The method whose rows are networks of one step with the levels of `burst`, at the same T and phi."""


@dataclass(frozen=True)
class Source:
    """The cells of a suite that a figure is drawn from, and where their records are.

    Attributes:
        data_root: folder of the datasets, for figures of samples.
    """

    suite: Suite
    cells: Sequence[Cell]
    store: Results
    data_root: Path | None = None

    @cached_property
    def groups(self) -> list[Group]:
        """The records that tables show, by task, network and profile; of a group without any there is none."""
        frame = collect_cells(self.cells, self.store, self.suite.price_list)
        done = set(frame.loc[frame["status"] == "done", "cell"])
        cells: dict[tuple[str, str, str], list[Cell]] = {}
        for cell in self.cells:
            if cell.id in done:
                cells.setdefault((cell.task, cell.network, cell.profile), []).append(cell)
        groups = []
        for (task, network, profile), of_group in cells.items():
            rows = frame[(frame["task"] == task) & (frame["network"] == network) & (frame["profile"] == profile)]
            found = (self.store.load(cell) for cell in of_group)
            groups.append(Group(self.suite, task, network, profile, [r for r in found if r is not None], rows))
        return groups


@dataclass(frozen=True)
class Group:
    """What was measured of one network on one task.

    Attributes:
        records: those that are done and can be compared with their ANN.
        rows: their rows of the tidy table, and those of cells that have no figures.
    """

    suite: Suite
    task: str
    network: str
    profile: str
    records: Sequence[Record]
    rows: pd.DataFrame

    @property
    def name(self) -> str:
        """A name for files."""
        own = [self.suite.name.removesuffix(f"-{self.profile}"), self.task, self.network]
        return file_name("-".join([*own, *([] if self.profile == "full" else [self.profile])]))

    @property
    def title(self) -> str:
        return ", ".join([self.task, self.network, *([] if self.profile == "full" else [self.profile])])

    @property
    def metric(self) -> str:
        """The name of the primary metric."""
        return self.records[0].primary_metric

    @property
    def metric_label(self) -> str:
        """The primary metric with its unit."""
        percent = self.task in TASKS and TASKS[self.task].perfect == 100
        return f"{self.metric}, %" if percent else self.metric

    @property
    def n(self) -> int:
        """The number of test samples."""
        return self.records[0].metrics[self.metric].n

    @property
    def ann(self) -> Record | None:
        return next((record for record in self.records if record.cell.method == ANN), None)

    @cached_property
    def points(self) -> pd.DataFrame:
        """A row for each method and T of which no seed is missing: means over seeds.

        Columns: `method`, `T`, `value` with its 95 % interval `low` to `high`; `unary` and `graded`, the energy in
        percent of the ANN's; `first` and `final`, the steps to the answers; `seeds`.
        """
        rows = complete(self.rows)
        rows = rows[(rows["metric"] == self.metric) & rows["T"].notna()]
        found = []
        for (method, _), seeds in rows.groupby(["method", "T"], sort=False):
            mean = seeds[["value", "ci_low", "ci_high", "latency_first", "latency_final"]].astype(float).mean()
            half = half_width(seeds["value"]) if len(seeds) > 1 else 0.0
            one = len(seeds) == 1
            energies = {
                coding: float((100 * seeds[f"energy_{coding}_mJ"] / seeds["energy_ann_mJ"]).astype(float).mean())
                for coding in ENERGIES
            }
            found.append(
                {
                    "method": method, "T": int(seeds["T"].iloc[0]), "value": mean["value"], **energies,
                    "seeds": len(seeds),
                    "low": mean["ci_low"] if one else mean["value"] - half,
                    "high": mean["ci_high"] if one else mean["value"] + half,
                    "first": mean["latency_first"], "final": mean["latency_final"],
                }
            )  # fmt: skip
        columns = ["method", "T", "value", *ENERGIES, "seeds", "low", "high", "first", "final"]
        return pd.DataFrame(found, columns=columns)

    def first_seed(self) -> list[Record]:
        """The converted networks of each method's and T's first seed: what figures of layers and steps show."""
        found: dict[tuple[str, int], Record] = {}
        for record in self.records:
            if record.cell.T is not None:
                found.setdefault((record.cell.recipe.label, record.cell.T), record)
        return list(found.values())


def file_name(text: str) -> str:
    """A text as the name of a file or of a label in LaTeX, which no folder and no command is hidden in."""
    return re.sub(r"[^\w.,=@+-]+", "-", text).strip(".-")[:200]


def groups_of(sources: Sequence[Source]) -> Iterator[Group]:
    """The groups of several suites, one after the other."""
    for source in sources:
        yield from source.groups


def middle_step(records: Sequence[Record]) -> int | None:
    """The number of steps that most methods were converted for; of several, the middle one."""
    counts = Counter(record.cell.T for record in records if record.cell.T is not None)
    most = max(counts.values(), default=0)
    steps = sorted(T for T, count in counts.items() if count == most)
    return steps[len(steps) // 2] if steps else None


def distinct(records: Sequence[Record], most: int) -> list[Record]:
    """Records of different methods, `most` at most, those of the paper first; of one method the first.

    Where there is room, others follow that differ in options alone.
    """

    def rank(place: int) -> tuple[bool, int, int]:
        record = records[place]
        earlier = [other for other in records[:place] if other.cell.method == record.cell.method]
        known = PAPERS.index(record.cell.method) if record.cell.method in PAPERS else len(PAPERS)
        return bool(earlier), known, place

    return [records[place] for place in sorted(sorted(range(len(records)), key=rank)[:most])]
