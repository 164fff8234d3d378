"""The ranking across tasks, on boards whose figures are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks.pages.comparisons import value_at
from benchmarks.site.critical import diagram
from benchmarks.site.hull import energy_for, score_within
from benchmarks.site.ranking import Ranking, Standing, blocks, draws, interval, rankings
from benchmarks.site.rows import CODINGS, Board, Kind, Row
from benchmarks.site.sentences import leaders
from conversion.counting.prices import PRICES


def row(name: str, value: float, share: float, kind: Kind = "spiking", at_chance: bool = False) -> Row:
    energy = {prices: dict.fromkeys(CODINGS, share) for prices in PRICES}
    return Row(
        method=name, name=name, family="f", kind=kind, T=None if kind == "ann" else 1, calibration=1, suite="s",
        value=value, low=value - 1.96, high=value + 1.96, n=100, spikes=1.0, first=1.0, final=1.0, code="rate",
        wait="0", millijoules=energy, at_chance=at_chance, cells=(),
    )  # fmt: skip


def board(task: str, **values: tuple[float, float]) -> Board:
    """A board whose ANN scores 90 at an energy of 100; methods by score and energy."""
    rows = [row("ann", 90.0, 100.0, "ann"), *(row(name, *figures) for name, figures in values.items())]
    return Board(task, "n", "full", "float32", "accuracy", 10.0, rows)


@settings(max_examples=40)
@given(
    st.integers(1, 6).flatmap(lambda n: st.tuples(
        arrays.arrays(float, n, elements=st.floats(1, 100).map(lambda x: round(x, 2)), unique=True),
        arrays.arrays(float, n, elements=st.floats(0, 100).map(lambda x: round(x, 2))),
    )),
    st.floats(0.5, 120),
)  # fmt: skip
def test_a_score_within_an_energy_is_that_of_the_tables(figures: tuple[np.ndarray, np.ndarray], budget: float) -> None:
    energies, scores = figures
    expected = value_at(pd.DataFrame({"energy": energies, "value": scores}), budget)
    found = score_within(energies, scores[None], budget, without=-1.0)[0]
    assert found == pytest.approx(-1.0 if expected is None else expected)


def test_the_energy_for_a_score_lies_between_two_rows() -> None:
    energies, scores = np.array([10.0, 30.0, 100.0]), np.array([[50.0, 80.0, 90.0]])
    for target, energy in ((85.0, 65.0), (65.0, 20.0), (40.0, 10.0), (90.0, 100.0), (91.0, np.inf)):
        assert energy_for(energies, scores, np.array([target]))[0] == pytest.approx(energy)


def test_blocks_are_full_and_the_largest_comes_first() -> None:
    offered = {task: [{"a", "b", "c"}] for task in "vwxyz"} | {task: [{"a", "p", "q"}] for task in "klm"}
    found = blocks(offered)
    assert found == [(list("vwxyz"), ["a", "b", "c"]), (list("klm"), ["p", "a", "q"])]
    assert blocks({"x": [{"a", "b"}, {"c"}], "y": [{"a", "b", "c"}], "z": [{"a", "b", "c"}]}) == [], "no single board"


def test_methods_are_ranked_by_their_score_at_equal_energy() -> None:
    made = [board(task, best=(85.0 + i, 90.0), middle=(80.0 + i, 50.0), last=(70.0, 60.0))
            for i, task in enumerate("abcd")]  # fmt: skip
    (found,) = rankings(made, {})
    assert found.methods == ["middle", "best", "last"] and list(found.ranks) == [1, 2.5, 2.5], "two cannot afford any"
    assert found.budget == 50.0, "the least at which something is affordable on every task"
    assert found.points("middle", 50.0)[0] == pytest.approx(-8.5) and found.points("best", 100.0)[0] == pytest.approx(
        -3.5
    )


def test_what_a_method_cannot_afford_is_chance() -> None:
    made = [board(task, cheap=(60.0, 15.0), dear=(88.0, 90.0), other=(50.0, 18.0)) for task in "abc"]
    (found,) = rankings(made, {})
    assert found.budget == 20.0
    assert found.points("dear", 20.0)[0] == pytest.approx(10.0 - 90.0)
    assert found.points("cheap", 20.0)[0] == pytest.approx(-30.0)
    assert found.methods == ["cheap", "other", "dear"] and found.wins("cheap") == ["a", "b", "c"]


def test_rows_at_chance_say_nothing() -> None:
    made = [board(task, a=(60.0, 15.0), b=(50.0, 15.0), c=(40.0, 15.0)) for task in "xyz"]
    for each in made:
        each.rows.append(row("c", 99.0, 1.0, at_chance=True))
    (found,) = rankings(made, {})
    assert found.methods == ["a", "b", "c"]


def test_the_critical_difference_is_that_of_the_literature() -> None:
    """Demsar (2006), Table 5 and the example of section 3.2.4: q = 2.569 for 4 classifiers, 1.25 on 14 data sets."""
    standing = Standing({20.0: np.zeros(2), 50.0: np.zeros(2), 100.0: np.zeros(2)}, frozenset({20.0}), np.ones(2))
    tasks, methods = [f"t{i}" for i in range(14)], list("abcd")
    found = Ranking(tasks, methods, {(task, name): standing for task in tasks for name in methods}, 0, 14)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert found.friedman == 1.0 and found.cliques() == [(0, 3)], "all the same"
    drawn = diagram(found)
    assert len(drawn.labels) == 4 and len(drawn.bars) == 1


def test_an_interval_has_the_width_of_the_draws_about_the_figure() -> None:
    scores, sampled = draws(board("a", m=(50.0, 10.0)), {}, np.random.default_rng(0))  # No cells: from intervals.
    assert not sampled and scores[1][0] == 50.0
    middle, low, high = interval(scores[1])
    assert middle == 50.0 and high - 50.0 == pytest.approx(50.0 - low) == pytest.approx(1.96, rel=0.15)


def test_two_sentences_say_who_leads() -> None:
    made = [board(task, best=(89.5, 30.0), middle=(80.0, 50.0), last=(70.0, 60.0)) for task in "abcd"]
    first, second = leaders(rankings(made, {}), made)
    assert "`best` leads the 3 methods that were measured on the same 4 tasks" in first
    assert "on 4 of these (a, b, c, d)" in first and "+9.5 points" in first and "does not tell the two apart" in first
    assert second.startswith("To come within 1 point of the ANN, `best` needs the least energy") and "30 %" in second
    alone = leaders([], made[:1])
    assert alone == ["On a, n the best score within the ANN's energy is 89.50, by `best` at T=1, for 30.0 % of it."]


def test_boards_of_one_network_in_two_precisions_have_two_titles() -> None:
    titles = [Board("digits", "n", "first-100", of, "accuracy", 10.0).title for of in ("float32", "", "bfloat16")]
    assert titles == ["digits, n, first 100", "digits, n, first 100", "digits, n, first 100, bfloat16"]
