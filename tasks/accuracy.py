"""Top-1 accuracy, the metric of every classification task."""

from __future__ import annotations

import torch
from scipy.stats import binomtest
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
        test = binomtest(int(outcomes.sum()), n)
        interval = test.proportion_ci(confidence_level=0.95, method="wilson")
        return {"accuracy": MetricValue(100 * test.statistic, 100 * interval.low, 100 * interval.high, n)}

    def outcomes(self) -> Tensor:
        """1.0 for every correct and 0.0 for every wrong prediction so far, in order, float32 of shape (n,)."""
        return torch.cat(self._correct).float() if self._correct else torch.empty(0)
