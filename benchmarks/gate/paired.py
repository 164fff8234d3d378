"""Paired comparison of two runs on the same samples, and the adjustment of p for many comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, bootstrap, false_discovery_control

# False discovery rate that the gate accepts.
LEVEL = 0.05
RESAMPLES = 9999


@dataclass(frozen=True)
class Paired:
    """The differences between two runs in the outcomes of the same samples.

    Attributes:
        lost, won: samples that score less, or more, than before. Of right-or-wrong outcomes these are the discordant
            pairs.
        mean: mean of the differences.
        p: two-sided p-value of no difference.
        exact: whether p is that of the exact test.
    """

    lost: int
    won: int
    mean: float
    p: float
    exact: bool = True

    @property
    def testable(self) -> bool:
        """Whether so many differing samples could be significant at all, if they all pointed one way."""
        return not self.exact or 2 * 0.5 ** (self.lost + self.won) <= LEVEL


def compare(before: NDArray[Any], now: NDArray[Any]) -> Paired:
    """Compares the scores of the same samples, shape (n,), in the same order.

    Scores of 0 and 1 take the exact McNemar test: of the discordant pairs, half would fall either way. Other scores
    take the paired bootstrap of the mean difference; p is twice the share of resampled means on the far side of zero.
    """
    # Scores are float32: differences below their rounding count as none.
    differences = np.where(np.isclose(before, now), 0.0, now.astype(float) - before.astype(float))
    lost, won = int((differences < 0).sum()), int((differences > 0).sum())
    exact = lost + won == 0 or bool(np.isin(before, (0, 1)).all() and np.isin(now, (0, 1)).all())
    p = float(binomtest(lost, max(lost + won, 1)).pvalue) if exact else _bootstrap(differences)
    return Paired(lost, won, float(differences.mean()), p, exact)


def _bootstrap(differences: NDArray[Any]) -> float:
    resampled = bootstrap(
        (differences,), np.mean, n_resamples=RESAMPLES, batch=100, method="percentile", rng=np.random.default_rng(0)
    ).bootstrap_distribution
    # The sample itself is one of the resamples: p is never zero.
    beyond = min((resampled <= 0).sum(), (resampled >= 0).sum())
    return min(1.0, 2 * (1 + int(beyond)) / (1 + RESAMPLES))


def adjusted(comparisons: Sequence[Paired]) -> list[float]:
    """p after Benjamini and Hochberg (1995) over all comparisons; at most LEVEL is significant.

    Comparisons with too few differing samples to be significant either way are no tests, so they do not make the
    others harder (Tarone 1990, Gilbert 2005). How many samples differ says nothing of the direction in which they do.
    """
    found = [1.0] * len(comparisons)
    tests = [i for i, comparison in enumerate(comparisons) if comparison.testable]
    if tests:
        values = false_discovery_control([comparisons[i].p for i in tests])
        for i, p in zip(tests, values, strict=True):
            found[i] = float(p)
    return found


def smallest_loss(won: int, tests: int, losing: int) -> int:
    """The smallest net loss of samples that the gate detects: the power of the gate (docs/gate.md).

    Args:
        won: number of samples that each losing cell wins.
        tests: number of cells compared; in all others as many samples are won as lost.
        losing: number of cells that lose samples.
    """
    noise = Paired(lost=50, won=50, mean=0.0, p=1.0)
    net = 1
    while True:
        lossy = Paired(won + net, won, -1.0, float(binomtest(won + net, 2 * won + net).pvalue))
        if adjusted([lossy] * losing + [noise] * (tests - losing))[0] <= LEVEL:
            return net
        net += 1
