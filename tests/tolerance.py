"""Tolerances between figures of the same code, weights and data on two processors, for all tests.

Kernels add up in different orders, so sums differ in their last bits. Where a potential lies that close to its
threshold, a spike comes earlier or later; where the two best scores of a sample lie that close together, its class
changes. At most one sample of a cell of suite `mini` did so ("Between processors" in docs/gate.md). Twice as many leave
room for processors that nobody tried.
"""

from __future__ import annotations


def points(samples: int, changed: int = 2) -> float:
    """The share of `changed` samples in percent, plus the rounding of a figure with two decimals."""
    return 100 * changed / samples + 0.01
