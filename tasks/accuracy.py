"""Top-1 accuracy, the metric of every classification task."""

from __future__ import annotations

from math import sqrt

import torch
from scipy.special import ndtri
from torch import Tensor

from conversion.errors import InvalidInput
from tasks.base import MetricValue


class Accuracy:
    """Share of samples whose predicted class is the true one, in percent, with Wilson's 95 % interval.

    Wilson's interval stays inside 0..100 and keeps its coverage near the ends, where trained networks live and the
    normal approximation fails (Brown, Cai, DasGupta, "Interval Estimation for a Binomial Proportion", 2001).
    """

    def __init__(self) -> None:
        self._correct: list[Tensor] = []

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Adds a batch: class indices predicted and true, both of shape (N,).

        Raises:
            InvalidInput: when the shapes differ or are not one-dimensional.
        """
        if predictions.ndim != 1 or predictions.shape != targets.shape:
            raise InvalidInput(
                f"Accuracy compares class indices of one shape (N,); it got predictions of shape "
                f"{tuple(predictions.shape)} and targets of shape {tuple(targets.shape)}."
            )
        self._correct.append((predictions == targets.to(predictions.device)).cpu())

    def compute(self) -> dict[str, MetricValue]:
        """{"accuracy": percent correct and its interval}.

        Raises:
            InvalidInput: when no sample was seen.
        """
        outcomes = self.outcomes()
        n = len(outcomes)
        if n == 0:
            raise InvalidInput("Accuracy of zero samples is undefined; update the metric before computing it.")
        correct = int(outcomes.sum())
        low, high = wilson(correct, n)
        return {"accuracy": MetricValue(100 * (correct / n), 100 * low, 100 * high, n)}

    def outcomes(self) -> Tensor:
        """1.0 for every correct and 0.0 for every wrong prediction so far, in order, float32 of shape (n,)."""
        return torch.cat(self._correct).float() if self._correct else torch.empty(0)


def wilson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of the probability behind k successes of n trials (Newcombe 1998, method 3).

    The same to the last digit as of `scipy.stats.binomtest`, which would cost every process a second to import.
    """
    p, z = k / n, float(ndtri(0.5 + 0.5 * confidence))
    whole = 2 * (n + z**2)
    centre, half = (2 * n * p + z**2) / whole, z / whole * sqrt(4 * n * p * (1 - p) + z**2)
    return 0.0 if k == 0 else centre - half, 1.0 if k == n else centre + half
