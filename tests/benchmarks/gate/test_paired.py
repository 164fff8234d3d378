"""The statistics of the gate, against counting by hand."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gate.paired import LEVEL, Paired, adjusted, compare, smallest_loss
from tests.benchmarks.gate.measurements import flipped, right

DOCS = Path(__file__).parents[3] / "docs" / "gate.md"


@pytest.mark.parametrize(("lost", "won"), [(0, 1), (1, 0), (3, 1), (6, 0), (5, 7), (6, 6), (10, 2)])
def test_mcnemar_counts_the_ways_that_discordant_pairs_can_fall(lost: int, won: int) -> None:
    # Every way in which the discordant pairs could have fallen, that is at least as one-sided as this.
    extreme = [sum(way) for way in product((0, 1), repeat=lost + won)]
    as_one_sided = [ones for ones in extreme if abs(2 * ones - lost - won) >= abs(lost - won)]
    before = right()
    now = flipped(flipped(before, slice(100, 100 + lost)), slice(0, won))
    found = compare(before, now)
    assert (found.lost, found.won) == (lost, won)
    assert found.p == pytest.approx(len(as_one_sided) / 2 ** (lost + won))
    assert found.mean == pytest.approx((won - lost) / 1000)


def test_the_order_of_samples_matters() -> None:
    before = right()
    shifted = np.roll(before, 20)
    found = compare(before, shifted)
    assert before.mean() == shifted.mean()
    assert (found.lost, found.won, found.p) == (20, 20, 1.0)


def test_scores_between_zero_and_one_are_resampled() -> None:
    generator = np.random.default_rng(3)
    before = generator.uniform(0.2, 0.8, 400)
    noise = generator.normal(0, 0.05, 400)
    # The mean of 400 differences of spread 0.05 has a standard error of 0.0025.
    assert compare(before, before + noise - noise.mean()).p > 0.9
    assert compare(before, before + noise - noise.mean() - 0.0025).p == pytest.approx(0.317, abs=0.03)
    assert compare(before, before + noise - noise.mean() - 0.005).p == pytest.approx(0.0455, abs=0.012)
    assert compare(before, before - 0.01).p == pytest.approx(2 / 10_000)


def test_resampling_is_the_same_both_ways_and_twice() -> None:
    generator = np.random.default_rng(5)
    before, now = generator.uniform(size=(2, 50))
    there, back = compare(before, now), compare(now, before)
    assert (there.p, there.lost, there.mean) == (back.p, back.won, -back.mean)
    assert compare(before, now) == there


def test_rounding_of_scores_is_no_difference() -> None:
    before = np.full(100, 0.3, dtype=np.float32)
    found = compare(before, np.nextafter(before, np.float32(0)))
    assert (found.lost, found.won, found.p) == (0, 0, 1.0)


def with_p(p: float, differing: int = 20) -> Paired:
    return Paired(differing, 0, -0.01, p)


def by_hand(ps: list[float]) -> list[float]:
    """The smallest level at which the step-up procedure of Benjamini and Hochberg rejects each."""
    found = []
    for p in ps:
        candidates = []
        for limit in (other for other in ps if other >= p):
            rank = sum(other <= limit for other in ps)
            candidates.append(limit * len(ps) / rank)
        found.append(min(1.0, *candidates))
    return found


@given(st.lists(st.integers(1, 1000).map(lambda thousandths: thousandths / 1000), min_size=1, max_size=12))
def test_benjamini_hochberg_by_hand(ps: list[float]) -> None:
    assert adjusted([with_p(p) for p in ps]) == pytest.approx(by_hand(ps))


def test_cells_that_cannot_be_significant_do_not_make_others_harder() -> None:
    # 5 differing samples reach 2 / 2^5 = 0.0625 at best, 6 reach 0.03125.
    alone = adjusted([with_p(0.03, 6)])
    assert adjusted([with_p(0.03, 6), *[with_p(0.0625, 5)] * 40]) == [*alone, *[1.0] * 40]
    assert adjusted([with_p(0.03, 6), with_p(1.0, 6)])[0] == pytest.approx(0.06)
    assert adjusted([]) == []


def test_noise_alone_is_rarely_called_a_difference() -> None:
    # 1,000 gates of 11 cells, in which 20 samples flip at random: false alarms stay below LEVEL.
    before = right(100, 50)
    cell = [compare(before, flipped(flipped(before, slice(50, 50 + lost)), slice(0, 20 - lost))) for lost in range(21)]
    gates = np.random.default_rng(0).binomial(20, 0.5, size=(1000, 11))
    alarms = sum(min(adjusted([cell[lost] for lost in gate])) <= LEVEL for gate in gates)
    assert 0 < alarms / 1000 <= LEVEL


def test_the_losses_that_are_found_are_those_of_the_documentation() -> None:
    (header,) = re.findall(r"^\| cells that can .*$", DOCS.read_text(), flags=re.MULTILINE)
    won = [int(number) for number in re.findall(r"(\d+) won", header)]
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ([\d| ]+) \|$", DOCS.read_text(), flags=re.MULTILINE)
    assert len(rows) >= 5
    for tests, losing, found in rows:
        assert [int(loss) for loss in found.split("|")] == [
            smallest_loss(samples, int(tests), int(losing)) for samples in won
        ]


@pytest.mark.parametrize(("won", "tests"), [(0, 1), (0, 11), (5, 11)])
def test_one_lost_sample_less_is_not_found(won: int, tests: int) -> None:
    others = [compare(right(), flipped(right(), slice(90, 110)))] * (tests - 1)
    least = smallest_loss(won, tests, 1)
    for net, found in ((least, True), (least - 1, False)):
        lossy = compare(right(), flipped(flipped(right(), slice(100, 100 + won + net)), slice(0, won)))
        assert (adjusted([lossy, *others])[0] <= LEVEL) is found
