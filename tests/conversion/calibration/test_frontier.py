"""The Pareto-frontier programme against brute force and against another algorithm."""

from __future__ import annotations

import itertools
import math
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from conversion import InvalidInput
from conversion.calibration.frontier import allocate, smallest_budget

Table = list[list[float]]


def brute_force(cost: Table, loss: Table, budget: float) -> tuple[float, float] | None:
    """Least loss within the budget, and the least cost that reaches it; None when nothing is within."""
    points = []
    for choice in itertools.product(*(range(len(row)) for row in cost)):
        spent, lost = 0.0, 0.0
        for row, row_loss, k in zip(cost, loss, choice, strict=True):
            spent, lost = spent + row[k], lost + row_loss[k]
        if spent <= budget:
            points.append((lost, spent))
    return min(points, default=None)


@st.composite
def instances(draw: st.DrawFn, values: st.SearchStrategy[float]) -> tuple[Table, Table]:
    """Up to five layers with one to four candidates each."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    cost, loss = ([draw(st.lists(values, min_size=n, max_size=n)) for n in sizes] for _ in range(2))
    return cost, loss


# Few different values: ties, duplicates and zeros in nearly every instance. Their sums are exact.
SMALL = st.integers(-3, 3).map(float)
# Multiples of 1/1024, whose sums are exact, too, and seldom tie.
FINE = st.integers(-5000, 5000).map(lambda n: n / 1024)


@pytest.mark.slow
@settings(max_examples=400)
@given(st.one_of(instances(SMALL), instances(FINE)), st.floats(-12, 12))
def test_equals_brute_force(instance: tuple[Table, Table], budget: float) -> None:
    cost, loss = instance
    # Not so near a sum that rounding decides.
    assume(abs(budget * 1024 - round(budget * 1024)) > 1e-3)
    expected = brute_force(cost, loss, budget)
    if expected is None:
        with pytest.raises(InvalidInput, match="smallest feasible budget is"):
            allocate(cost, loss, budget)
        return
    found = allocate(cost, loss, budget)
    assert (found.loss, found.cost) == expected
    assert found.cost == sum(row[k] for row, k in zip(cost, found.choice, strict=True))
    assert found.loss == sum(row[k] for row, k in zip(loss, found.choice, strict=True))


@pytest.mark.slow
@settings(max_examples=200)
@given(instances(FINE))
def test_the_smallest_budget_is_feasible_and_nothing_below(instance: tuple[Table, Table]) -> None:
    cost, loss = instance
    smallest = smallest_budget(cost)
    assert allocate(cost, loss, smallest).cost == smallest
    with pytest.raises(InvalidInput, match=re.escape(f"the smallest feasible budget is {smallest:.6g}.")):
        allocate(cost, loss, smallest - 1e-3)


def test_a_budget_that_is_met_but_for_rounding_is_met() -> None:
    """0.1 ten times is 0.9999999999999999, and 1.1 is 1.1 whatever the order of 0.1, 0.3 and 0.7."""
    row = [[0.1, 5.0]] * 10
    assert allocate(row, row, 1.0).choice == (0,) * 10
    for order in itertools.permutations([0.1, 0.3, 0.7]):
        assert allocate([[value] for value in order], [[0.0]] * 3, 1.1).choice == (0, 0, 0)


def test_a_later_layer_can_pay_for_an_earlier_one() -> None:
    """The first layer overdraws the budget of 1 by 4, the second gives 5 back: stopping at the budget would miss it."""
    found = allocate([[0.0, 5.0], [0.0, -5.0]], [[9.0, 1.0], [0.0, 2.0]], 1.0)
    assert (found.choice, found.cost, found.loss) == ((1, 1), 0.0, 3.0)


def test_ties_go_to_the_cheaper() -> None:
    found = allocate([[3.0, 1.0, 2.0], [4.0, 4.0, 2.0]], [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], 100.0)
    assert (found.choice, found.cost) == ((1, 2), 3.0)


def test_large_tables_equal_a_knapsack_over_integer_budgets() -> None:
    """20 layers with 19 candidates; least loss for every budget up to the given one, layer after layer."""
    layers, candidates, budget = 20, 19, 700
    cost = [[(i * 7 + k * (3 + i % 5)) % 97 for k in range(candidates)] for i in range(layers)]
    loss = [[math.sin(i * 31 + k * 17) + 1 for k in range(candidates)] for i in range(layers)]
    best = [0.0] * (budget + 1)
    for row, row_loss in zip(cost, loss, strict=True):
        best = [
            min((best[b - c] + s for c, s in zip(row, row_loss, strict=True) if c <= b), default=math.inf)
            for b in range(budget + 1)
        ]
    found = allocate(cost, loss, budget)
    assert found.loss == pytest.approx(best[budget], abs=1e-9)
    assert found.cost <= budget


def test_more_budget_never_loses() -> None:
    cost = [[(i * 5 + k * 3) % 11 for k in range(6)] for i in range(8)]
    loss = [[(i * 3 + k * 7) % 13 for k in range(6)] for i in range(8)]
    smallest = smallest_budget(cost)
    losses = [allocate(cost, loss, smallest + extra).loss for extra in range(40)]
    assert losses == sorted(losses, reverse=True)
    assert allocate(cost, loss, math.inf).loss == sum(map(min, loss))


@pytest.mark.parametrize(
    ("cost", "loss", "budget", "message"),
    [
        ([[1.0, 2.0]], [[1.0]], 9.0, "differ in shape"),
        ([[1.0], [2.0]], [[1.0]], 9.0, "differ in shape"),
        ([], [], 9.0, "cost has no layer"),
        ([[1.0], []], [[1.0], []], 9.0, "layer without a candidate"),
        ([[math.nan]], [[1.0]], 9.0, "table of cost holds a value that is not finite"),
        ([[1.0]], [[math.inf]], 9.0, "table of loss holds a value that is not finite"),
        ([[1.0]], [[1.0]], math.nan, "budget is not a number"),
        ([[3.0, 2.5], [4.0, 9.0]], [[0.0, 0.0], [0.0, 0.0]], 6.0, "budget of 6; the smallest .* is 6.5"),
    ],
)
def test_what_cannot_be_allocated_is_refused(cost: Table, loss: Table, budget: float, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        allocate(cost, loss, budget)
