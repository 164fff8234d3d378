"""What a set of rows reaches by random choice between two of them: a score at an energy, an energy at a score.

The rows' scores may come in many draws at once, for intervals: shape (draws, rows). A random choice between two rows
for every sample gives score and energy on the line between them, as in `benchmarks.pages.comparisons`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def score_within(energies: Floats, scores: Floats, budget: float, without: float) -> Floats:
    """The best score within an energy, shape (draws,).

    Args:
        energies: of the rows, shape (rows,).
        scores: of the rows, shape (draws, rows).
        budget: the energy that may be spent.
        without: the score where even the cheapest row costs more.
    """
    cheap, dear = np.flatnonzero(energies <= budget), np.flatnonzero(energies > budget)
    if not len(cheap):
        return np.full(len(scores), without)
    best = scores[:, cheap].max(axis=1)
    if len(dear):
        low, high = (index.ravel() for index in np.meshgrid(cheap, dear, indexing="ij"))
        weight = (budget - energies[low]) / (energies[high] - energies[low])
        between = scores[:, low] * (1 - weight) + scores[:, high] * weight
        best = np.maximum(best, between.max(axis=1))
    return np.asarray(best)


def energy_for(energies: Floats, scores: Floats, targets: Floats) -> Floats:
    """The least energy for a score, shape (draws,); infinite where no row reaches it.

    Args:
        energies: of the rows, shape (rows,).
        scores: of the rows, shape (draws, rows).
        targets: the score to reach in each draw, shape (draws,).
    """
    if not len(energies):
        return np.full(len(scores), np.inf)
    reached = scores >= targets[:, None]
    alone = np.where(reached, energies, np.inf).min(axis=1)
    gap = np.where(reached[:, None, :] & ~reached[:, :, None], scores[:, None, :] - scores[:, :, None], np.nan)
    weight = (targets[:, None] - scores)[:, :, None] / gap
    between = energies[None, :, None] * (1 - weight) + energies[None, None, :] * weight
    return np.asarray(np.minimum(alone, np.where(np.isnan(between), np.inf, between).min(axis=(1, 2))))
