"""The ranking of methods across tasks: score at equal energy, energy at equal score, mean ranks and what they mean.

A method is all its rows, whatever their options and T. Ranks need every method on every task, so methods are ranked in
full blocks of tasks and methods: the largest first, then the largest of methods that are in none so far. Networks of
one task are averaged first. A task on which no method of the block can afford a row within a budget says nothing at
it. Intervals are bootstraps over test samples and seeds, for the tasks at hand; the same samples are drawn for all rows
of a board. Where samples were not published, or their mean is not the metric, rows are drawn from their own intervals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from benchmarks.site.hull import Floats, energy_for, score_within
from benchmarks.site.rows import Board, Measured, Row
from conversion.counting.prices import Coding

BUDGETS = (20.0, 50.0, 100.0)
"""Energies in percent of the ANN's."""
NEAR = 1.0
"""Points below the ANN, at which energies are compared."""
DRAWS = 400
NORMAL = 1.959964
FEWEST = 3
"""Methods, and tasks, of a ranking."""
MOST = 3
"""Blocks that are ranked."""


@dataclass(frozen=True)
class Standing:
    """A method on one board, each with draws of the bootstrap behind it, shape (1 + draws,): the first is as measured.

    Attributes:
        points: by budget, the score minus the ANN's; of chance where the method cannot afford a row.
        affords: the budgets at which it can.
        energy: percent of the ANN's for a score of `NEAR` below it; infinite where it is not reached.
    """

    points: Mapping[float, Floats]
    affords: frozenset[float]
    energy: Floats


@dataclass(frozen=True)
class Ranking:
    """Methods ranked across tasks.

    Attributes:
        tasks, methods: the block, methods by mean rank.
        standings: by task and method.
        sampled: boards whose samples were drawn; of the others rows were drawn from their intervals.
    """

    tasks: list[str]
    methods: list[str]
    standings: dict[tuple[str, str], Standing]
    sampled: int
    boards: int

    @cached_property
    def budget(self) -> float:
        """The budget of the ranks: the least at which every task says something, else the largest."""
        return next((budget for budget in BUDGETS if len(self.telling(budget)) == len(self.tasks)), BUDGETS[-1])

    def telling(self, budget: float) -> list[str]:
        """The tasks on which a method of the block can afford a row within a budget."""
        return [task for task in self.tasks if any(budget in self.standings[task, m].affords for m in self.methods)]

    @cached_property
    def scores(self) -> Floats:
        """Points at the budget of the ranks, shape (tasks, methods)."""
        return np.array([[self.standings[t, m].points[self.budget][0] for m in self.methods] for t in self.tasks])

    @cached_property
    def ranks(self) -> Floats:
        """Mean rank of each method; 1 is best, ties share."""
        return np.asarray(stats.rankdata(-self.scores, axis=1).mean(axis=0))

    @cached_property
    def energy_ranks(self) -> Floats:
        """Mean rank by the energy at equal score; methods that do not reach it share the last ranks."""
        energies = [[self.standings[t, m].energy[0] for m in self.methods] for t in self.tasks]
        return np.asarray(stats.rankdata(energies, axis=1).mean(axis=0))

    @property
    def friedman(self) -> float:
        """p of the Friedman test that all methods rank alike."""
        return 1.0 if np.ptp(self.scores, axis=1).max() == 0 else float(stats.friedmanchisquare(*self.scores.T).pvalue)

    @property
    def critical_difference(self) -> float:
        """The difference of mean ranks from which two methods differ, by Nemenyi's test at 5 % (Demsar 2006, Eq. 6)."""
        k, n = len(self.methods), len(self.tasks)
        return float(stats.studentized_range.ppf(0.95, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n)))

    def cliques(self) -> list[tuple[int, int]]:
        """First and last method of each largest group that the test cannot tell apart, by place."""
        found: list[tuple[int, int]] = []
        for first in range(len(self.methods)):
            last = int(np.flatnonzero(self.ranks - self.ranks[first] < self.critical_difference).max())
            if last > first and (not found or last > found[-1][1]):
                found.append((first, last))
        return found

    def points(self, method: str, budget: float) -> tuple[float, float, float]:
        """Points above the ANN, a mean over the tasks that say something at the budget, with its 95 % interval."""
        tasks = self.telling(budget)
        if not tasks:
            return np.nan, np.nan, np.nan
        return interval(np.mean([self.standings[task, method].points[budget] for task in tasks], axis=0))

    def lead(self, first: str, second: str) -> tuple[float, float, float]:
        """By how many points one method is ahead of another at the budget of the ranks, with its interval."""
        ahead, behind = (
            np.mean([self.standings[task, method].points[self.budget] for task in self.tasks], axis=0)
            for method in (first, second)
        )
        return interval(ahead - behind)

    def energy(self, method: str) -> tuple[float, float, float, int]:
        """Geometric mean of the energy at equal score over the tasks that reach it, its interval, and their number."""
        reached = [self.standings[task, method].energy for task in self.tasks]
        reached = [energy for energy in reached if np.isfinite(energy[0])]
        if not reached:
            return np.nan, np.nan, np.nan, 0
        logs = np.mean(np.log(reached), axis=0)  # Infinite in draws in which a task does not reach it.
        middle, low, high = interval(logs[np.isfinite(logs)])
        return float(np.exp(middle)), float(np.exp(low)), float(np.exp(high)), len(reached)

    def wins(self, method: str) -> list[str]:
        """The tasks on which a method is ahead of all others, or level with the best."""
        place = self.methods.index(method)
        return [task for task, row in zip(self.tasks, self.scores, strict=True) if row[place] >= row.max()]


def interval(draws: Floats) -> tuple[float, float, float]:
    """The figure as measured, which comes first, with the normal 95 % interval of its draws.

    The best of several rows is overestimated in every draw, so the draws give the width and not the middle.
    """
    half = NORMAL * float(np.std(draws[1:], ddof=1)) if len(draws) > 2 else 0.0
    return float(draws[0]), float(draws[0]) - half, float(draws[0]) + half


def rankings(
    boards: Sequence[Board], cells: Mapping[str, Measured], price_list: str = "horowitz45", coding: Coding = "unary"
) -> list[Ranking]:  # fmt: skip
    """The rankings of the largest blocks, the largest first; none where no three tasks share three methods.

    Args:
        boards: all boards; of a task that was measured in full, those that measured a part of it are left out.
        cells: what was measured.
    """
    usable = [board for board in boards if board.ann is not None]
    full = {board.task for board in usable if board.profile == "full"}
    offered: dict[str, list[Board]] = {}
    for board in usable:
        if board.profile == "full" or board.task not in full:
            offered.setdefault(board.task, []).append(board)
    rng = np.random.default_rng(0)
    drawn = {id(board): draws(board, cells, rng) for own in offered.values() for board in own}
    found = []
    for tasks, methods in blocks({task: list(map(_names, own)) for task, own in offered.items()}):
        standings: dict[tuple[str, str], Standing] = {}
        chosen = [board for task in tasks for board in offered[task] if set(methods) <= _names(board)]
        for task in tasks:
            for method in methods:
                standings[task, method] = _mean([
                    _standing(board, method, drawn[id(board)][0], price_list, coding)
                    for board in chosen if board.task == task
                ])  # fmt: skip
        sampled = sum(drawn[id(board)][1] for board in chosen)
        unordered = Ranking(tasks, methods, standings, sampled, len(chosen))
        order = [method for _, method in sorted(zip(unordered.ranks, methods, strict=True))]
        found.append(Ranking(tasks, order, standings, sampled, len(chosen)))
    return found


def _names(board: Board) -> set[str]:
    return {row.name for row in board.rows if row.kind == "spiking"}


def blocks(offered: Mapping[str, Sequence[set[str]]]) -> list[tuple[list[str], list[str]]]:
    """Full blocks of tasks and methods: the largest, then those with most entries of methods that are in none so far.

    Args:
        offered: the methods of each board, by task; one board of a task has to have all methods of a block.
    """
    counts = Counter(name for own in offered.values() for name in set[str]().union(*own))
    found: list[tuple[list[str], list[str]]] = []
    while len(found) < MOST:
        covered = {name for _, methods in found for name in methods}
        seeds = [name for name, count in counts.items() if name not in covered and count >= FEWEST] if found else [""]
        sized = [(len(tasks) * len(set(methods) - covered), len(tasks) * len(methods), tasks, methods)
                 for tasks, methods in (largest(offered, seed) for seed in sorted(seeds)) if tasks]  # fmt: skip
        if not sized:
            return found
        found.append(max(sized, key=lambda one: one[:2])[2:])
    return found


def largest(offered: Mapping[str, Sequence[set[str]]], seed: str = "") -> tuple[list[str], list[str]]:
    """The tasks and methods of the largest full block that has a method; empty where there is none of `FEWEST` each.

    Methods are taken in the order of how many tasks have them beside it; of these blocks the one of most entries is
    largest, and of several such the one of most methods.
    """
    sets = {task: [have for have in own if not seed or seed in have] for task, own in offered.items()}
    counts = Counter(name for own in sets.values() for name in set[str]().union(*own))
    order = sorted(counts, key=lambda name: (name != seed, -counts[name], name))
    best: tuple[int, list[str], list[str]] = (0, [], [])
    for size in range(FEWEST, len(order) + 1):
        wanted = set(order[:size])
        tasks = [task for task, own in sets.items() if any(wanted <= have for have in own)]
        if len(tasks) >= FEWEST and size * len(tasks) >= best[0]:
            best = (size * len(tasks), tasks, order[:size])
    return best[1], best[2]


def draws(board: Board, cells: Mapping[str, Measured], rng: np.random.Generator) -> tuple[dict[int, Floats], bool]:
    """The scores of the rows of a board, as measured and in every draw, by the place of the row.

    Returns:
        scores of shape (1 + DRAWS,), and whether samples were drawn.
    """
    outcomes = [[_outcomes(cells[cell]) for cell in row.cells] for row in board.rows]
    n = board.rows[0].n
    if all(own and all(len(one) == n for one in own) for own in outcomes):
        counts = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(float)
        found = {}
        for place, (row, own) in enumerate(zip(board.rows, outcomes, strict=True)):
            means = counts @ np.stack(own, axis=1) * (100 / n)  # Of every draw and seed.
            seeds = rng.integers(len(own), size=(DRAWS, len(own)))
            found[place] = np.concatenate([[row.value], np.take_along_axis(means, seeds, axis=1).mean(axis=1)])
        return found, True
    spread = [(row.high - row.low) / 2 / NORMAL for row in board.rows]
    return {
        place: np.concatenate([[row.value], row.value + width * rng.standard_normal(DRAWS)])
        for place, (row, width) in enumerate(zip(board.rows, spread, strict=True))
    }, False


def _outcomes(measured: Measured) -> Floats:
    """The outcome of every sample of a cell; empty where they are not published, or their mean is not the metric."""
    samples = measured.source.store.samples(measured.record)
    if samples is None:
        return np.empty(0)
    outcomes = samples["outcome"].to_numpy(float)
    value = measured.record.metrics[measured.record.primary_metric].value
    return outcomes if abs(100 * outcomes.mean() - value) < 1e-3 else np.empty(0)


def _standing(
    board: Board, method: str, scores: Mapping[int, Floats], price_list: str, coding: Coding
) -> Standing:  # fmt: skip
    ann = next(place for place, row in enumerate(board.rows) if row.kind == "ann")
    own = [place for place, row in enumerate(board.rows) if row.name == method and _counts(row)]
    energies = np.array([board.share(board.rows[place], price_list, coding) or 0.0 for place in own], dtype=float)
    values = np.stack([scores[place] for place in own], axis=1) if own else np.empty((1 + DRAWS, 0))
    return Standing(
        {budget: score_within(energies, values, budget, board.chance) - scores[ann] for budget in BUDGETS},
        frozenset(budget for budget in BUDGETS if (energies <= budget).any()),
        energy_for(energies, values, scores[ann] - NEAR),
    )


def _counts(row: Row) -> bool:
    """Whether a row stands for its method: one at chance says nothing, however cheap it is."""
    return row.kind == "spiking" and not row.at_chance


def _mean(found: Sequence[Standing]) -> Standing:
    """The mean over the networks of a task: of points, and of the logarithms of energies."""
    points = {budget: np.mean([one.points[budget] for one in found], axis=0) for budget in BUDGETS}
    affords = frozenset[float]().union(*(one.affords for one in found))
    return Standing(points, affords, np.exp(np.mean([np.log(one.energy) for one in found], axis=0)))
