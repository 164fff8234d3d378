"""The Pareto-frontier dynamic programme (Eq. 11 and 15 of the paper): one choice for each layer within a budget.

    minimise  sum_i loss_i(k_i)   subject to  sum_i cost_i(k_i) <= budget

Layer after layer it keeps the partial allocations that no other beats in both sums. In AdaFire the cost is energy and
the loss sensitivity; in SSC the cost is the increase of the divergence and the loss energy. Costs may be negative: a
partial allocation is dropped only if the budget is exceeded even with the cheapest candidates of the remaining layers.

The frontier is exact and not bounded: it grows with the number of layers times candidates and holds some ten thousand
points for the networks here (docs/adaptive.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conversion.errors import InvalidInput

Table = Sequence[Sequence[float]]
Row = NDArray[np.float64]
# Sums depend on their order in the last digits: a budget counts as met within this relative error.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Allocation:
    """A choice of one candidate for each layer, with its sums.

    Attributes:
        choice: index of each layer's candidate.
        cost: sum of the costs of the choice.
        loss: sum of the losses of the choice.
    """

    choice: tuple[int, ...]
    cost: float
    loss: float


def smallest_budget(cost: Table) -> float:
    """The cost of the cheapest allocation."""
    return float(sum(min(row) for row in cost))


def round_up(budget: float) -> float:
    """Rounds a budget up to four digits, so that the figure in a message is feasible."""
    digit = 10.0 ** (math.floor(math.log10(abs(budget))) - 3) if budget else 1.0
    return math.ceil(budget / digit) * digit


def allocate(cost: Table, loss: Table, budget: float) -> Allocation:
    """The allocation of least loss within a budget; of several, the cheapest.

    Args:
        cost: one row for each layer, one entry for each of its candidates; rows may differ in length.
        loss: losses of the same shape.
        budget: upper bound of the sum of costs.

    Raises:
        InvalidInput: the tables do not fit each other or hold a value that is not finite; or no allocation is within
            the budget, and the message names the smallest feasible one.
    """
    costs, losses = _rows("cost", cost), _rows("loss", loss)
    if [len(row) for row in costs] != [len(row) for row in losses]:
        raise InvalidInput("The tables of cost and loss differ in shape; give both for every layer and candidate.")
    if np.isnan(budget):
        raise InvalidInput("The budget is not a number.")
    smallest = smallest_budget(cost)
    slack = ROUNDING * sum(float(np.abs(row).max()) for row in costs)
    if smallest > budget + slack:
        raise InvalidInput(
            f"No allocation is within the budget of {budget:.6g}; the smallest feasible budget is {smallest:.6g}."
        )

    # Wider than what was checked, so that rounding cannot drop the cheapest allocation on the way.
    limit = budget + 2 * slack
    # The least cost of the remaining layers.
    remaining = np.cumsum([0.0, *(row.min() for row in costs[:0:-1])])[::-1]
    total_cost, total_loss = np.zeros(1), np.zeros(1)
    frontiers: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    for row, row_loss, least in zip(costs, losses, remaining, strict=True):
        grown = (total_cost[:, None] + row).ravel(order="F")
        points = np.flatnonzero(grown + least <= limit)
        points = points[np.argsort(grown[points], kind="stable")]
        grown_loss = (total_loss[:, None] + row_loss).ravel(order="F")
        points = points[_undominated(grown[points], grown_loss[points])]
        candidate, parent = np.divmod(points, len(total_cost))
        frontiers.append((candidate, parent))
        total_cost, total_loss = grown[points], grown_loss[points]

    # Losses fall along the frontier.
    point, choice = len(total_cost) - 1, []
    best = Allocation((), float(total_cost[point]), float(total_loss[point]))
    for candidate, parent in reversed(frontiers):
        choice.append(int(candidate[point]))
        point = parent[point]
    return Allocation(tuple(reversed(choice)), best.cost, best.loss)


def _undominated(cost: Row, loss: Row) -> NDArray[np.intp]:
    """Indices of the points, sorted by cost, whose loss is smaller than that of every point that costs no more."""
    before = np.minimum.accumulate(np.concatenate([[np.inf], loss[:-1]]))
    kept = np.flatnonzero(loss < before)
    # Of equally cheap ones only the last, which has the smallest loss.
    return kept[np.flatnonzero(np.append(cost[kept][1:] > cost[kept][:-1], True))]


def _rows(name: str, table: Table) -> list[Row]:
    rows = [np.asarray(row, dtype=np.float64) for row in table]
    if not rows or any(row.ndim != 1 or not len(row) for row in rows):
        raise InvalidInput(f"The table of {name} has no layer, or a layer without a candidate.")
    if not all(np.isfinite(row).all() for row in rows):
        raise InvalidInput(f"The table of {name} holds a value that is not finite.")
    return rows
