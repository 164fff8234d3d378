"""Paired comparisons of the rows of a board on the same test samples.

Each row of the front is compared with the row before it, which costs less: does its energy buy anything? And the best
row of every other method is compared with the best row of the front that costs no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate.paired import Paired, adjusted, compare
from benchmarks.site.rows import Board, Measured, Row
from conversion.counting.prices import Coding

PER_BOARD = 12
"""The most comparisons of one board: those of the front first, then by score."""


@dataclass(frozen=True)
class Comparison:
    """Two rows of one board, compared sample by sample; p is adjusted for the comparisons of the board.

    Attributes:
        before: the row that costs less, or no more.
        mean: mean difference of the samples' scores in points, the row's minus that of the one before.
    """

    row: Row
    before: Row
    paired: Paired
    p: float

    @property
    def mean(self) -> float:
        return 100 * self.paired.mean


def front(board: Board, energy: Callable[[Row], float]) -> list[Row]:
    """The spiking rows that no other row beats in both score and energy, by increasing energy; none at chance."""
    best, kept = -np.inf, list[Row]()
    rows = (row for row in board.rows if row.kind == "spiking" and not row.at_chance)
    for row in sorted(rows, key=lambda row: (energy(row), -row.value)):
        if row.value > best:
            best = row.value
            kept.append(row)
    return kept


def comparisons(
    board: Board, cells: Mapping[str, Measured], price_list: str = "horowitz45", coding: Coding = "unary"
) -> list[Comparison]:  # fmt: skip
    """The comparisons of a board whose rows have samples; none where fewer than two have."""

    def energy(row: Row) -> float:
        return row.millijoules[price_list][coding]

    known = replace(board, rows=[row for row in board.rows if all(_kept(cells[cell]) for cell in row.cells)])
    pairs = list(_pairs(known, front(known, energy), energy))[:PER_BOARD]
    outcomes: dict[str, NDArray[np.float64]] = {}

    def of(row: Row) -> NDArray[np.float64]:
        """The scores of a row's samples, of its first seed."""
        if row.cells[0] not in outcomes:
            measured = cells[row.cells[0]]
            samples = measured.source.store.samples(measured.record)
            outcomes[row.cells[0]] = np.empty(0) if samples is None else samples["outcome"].to_numpy(float)
        return outcomes[row.cells[0]]

    same = [(row, before) for row, before in pairs if 0 < len(of(row)) == len(of(before))]
    found = [compare(of(before), of(row)) for row, before in same]
    return [Comparison(row, before, paired, p)
            for (row, before), paired, p in zip(same, found, adjusted(found), strict=True)]  # fmt: skip


def _kept(measured: Measured) -> bool:
    return measured.record.samples != ""


def _pairs(board: Board, on_front: list[Row], energy: Callable[[Row], float]) -> Iterator[tuple[Row, Row]]:
    yield from zip(on_front[1:], on_front[:-1], strict=True)
    for row in _best_of_methods(board.rows, {row.name for row in on_front}):
        if cheaper := [other for other in on_front if energy(other) <= energy(row)]:
            yield row, cheaper[-1]


def _best_of_methods(rows: Iterable[Row], besides: set[str]) -> list[Row]:
    best: dict[str, Row] = {}
    for row in rows:
        if row.kind == "spiking" and row.name not in besides and not row.at_chance:
            best[row.name] = max(best.get(row.name, row), row, key=lambda one: one.value)
    return sorted(best.values(), key=lambda row: -row.value)
