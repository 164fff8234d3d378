"""The rows of the leaderboard: one for each method and T of a board, means over seeds, at all prices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from benchmarks.pages.chance import chance
from benchmarks.pages.seeds import complete, half_width, parts
from benchmarks.pages.tables import collect_cells
from benchmarks.records.record import Record
from benchmarks.site.sources import Source
from conversion.counting.prices import PRICES, Coding

CODINGS: tuple[Coding, ...] = ("unary", "smallest", "binary", "graded")
BOARD = ["task", "network", "profile", "precision"]
"""What rows have in common that compete with each other. The number of calibration samples is shown beside each."""
Kind = Literal["ann", "twin", "spiking"]


@dataclass(frozen=True)
class Measured:
    """A cell that was measured, and where it comes from.

    Attributes:
        source: the suite that it is shown for; the first of those that hold it.
        others: names of the other suites that hold a record of the same cell.
    """

    record: Record
    source: Source
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A method at one T on one board, as the mean over its seeds.

    Attributes:
        method: the label, with options.
        T: None for the ANN.
        low, high: the 95 % interval: of drawing test samples, or over seeds where there are several.
        first, final: latency in steps; None for the ANN.
        millijoules: energy of one sample, by price list and coding.
        at_chance: whether the samples' interval of a seed reaches down to chance.
        cells: ids of its cells, one for each seed.
    """

    method: str
    name: str
    family: str
    kind: Kind
    T: int | None
    calibration: int
    suite: str
    value: float
    low: float
    high: float
    n: int
    spikes: float
    first: float | None
    final: float | None
    code: str
    wait: str
    millijoules: dict[str, dict[Coding, float]]
    at_chance: bool
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """Rows that compete with each other: those of one task, network, test samples and precision."""

    task: str
    network: str
    profile: str
    precision: str
    metric: str
    chance: float
    rows: list[Row] = field(default_factory=list)

    @property
    def ann(self) -> Row | None:
        return next((row for row in self.rows if row.kind == "ann"), None)

    @property
    def title(self) -> str:
        part = "" if self.profile == "full" else f", {self.profile.replace('-', ' ')}"
        # Precision is left out where it is what it is by default; records from before it was kept have none.
        precision = "" if self.precision in ("", "float32") else f", {self.precision}"
        return f"{self.task}, {self.network}{part}{precision}"

    def share(self, row: Row, price_list: str, coding: Coding) -> float | None:
        """The energy of a row in percent of the ANN's; None without an ANN."""
        return None if self.ann is None else 100 * (
            row.millijoules[price_list][coding] / self.ann.millijoules[price_list]["unary"]
        )  # fmt: skip


def tables(found: Sequence[Source]) -> pd.DataFrame:
    """The tidy tables of all suites, one below the other."""
    frames = [collect_cells(source.cells, source.store, source.price_list) for source in found]
    return pd.concat(frames, ignore_index=True)


def measured_cells(found: Sequence[Source]) -> dict[str, Measured]:
    """The measured cells by their id and precision, each once."""
    cells: dict[str, Measured] = {}
    for source in found:
        for record in source.records:
            if record.status != "done" or record.totals is None:
                continue
            key = cell_key(record.cell.id, record.fingerprint.get("precision", ""))
            first = cells.get(key)
            cells[key] = Measured(record, source) if first is None else Measured(
                first.record, first.source, (*first.others, source.name)
            )  # fmt: skip
    return cells


def cell_key(cell: str, precision: str) -> str:
    """What tells measured cells apart: precision belongs to a run, not to a cell."""
    return f"{cell} {precision}"


def boards(frame: pd.DataFrame, cells: dict[str, Measured]) -> list[Board]:
    """The boards of a tidy table, most rows first.

    Args:
        frame: the table of all suites; rows of which a seed is missing are left out, as on the leaderboard.
        cells: what was measured, see `measured_cells`.
    """
    done = complete(frame).drop_duplicates(["cell", "metric", "precision"])
    done = done[done["metric"] == done.groupby("task")["metric"].transform("first")]
    found = [
        Board(str(task), str(network), str(profile), str(precision), str(group["metric"].iloc[0]),
              chance(str(task)), list(_rows(group, cells)))
        for (task, network, profile, precision), group in done.groupby(BOARD, sort=False)
    ]  # fmt: skip
    return sorted(found, key=lambda board: (-len(board.rows), board.title))


def _rows(group: pd.DataFrame, cells: dict[str, Measured]) -> Iterator[Row]:
    least = chance(str(group["task"].iloc[0]))
    timed = group.assign(T=group["T"].astype(float).fillna(-1.0))  # The ANN has no T.
    for seeds in parts(timed, ["calibration", "method", "T"]).values():
        keys = tuple(cell_key(str(cell), str(of)) for cell, of in zip(seeds["cell"], seeds["precision"], strict=True))
        own = [cells[key] for key in keys]
        record = own[0].record
        value = float(seeds["value"].mean())
        low, high = float(seeds["ci_low"][0]), float(seeds["ci_high"][0])
        if len(seeds) > 1:
            half = half_width(seeds["value"])
            low, high = value - half, value + half
        totals = [each.record.totals for each in own]
        energy = {
            name: {coding: float(np.mean([prices.millijoules(total, coding) for total in totals if total is not None]))
                   for coding in CODINGS}
            for name, prices in PRICES.items()
        }  # fmt: skip
        timed_row = record.cell.T is not None
        yield Row(
            method=str(seeds["method"][0]), name=record.cell.method, family=family(record), kind=kind(record),
            T=record.cell.T, calibration=record.cell.calibration, suite=own[0].source.name, value=value, low=low,
            high=high, n=int(seeds["n"][0]), spikes=float(seeds["spikes"].mean()),
            first=float(seeds["latency_first"].mean()) if timed_row else None,
            final=float(seeds["latency_final"].mean()) if timed_row else None,
            code=record.code if timed_row else "", wait=record.wait if timed_row else "", millijoules=energy,
            at_chance=bool((seeds["ci_low"] <= least).any()), cells=keys,
        )  # fmt: skip


def kind(record: Record) -> Kind:
    """Whether a record is of the ANN, of a quantised twin or of a spiking network: they compete among themselves."""
    return "ann" if record.cell.method == "ann" else "twin" if record.cell.method == "quantised_ann" else "spiking"


def family(record: Record) -> str:
    """The family of a method: the module that it is in."""
    return type(record.cell.recipe).__module__.rpartition(".")[2].replace("_", " ")
