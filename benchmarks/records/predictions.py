"""What a network predicted, kept in the table of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.target import Target


class Predictions:
    """The predictions after the last step, gathered batch by batch.

    Args:
        target: says what is kept of them.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._batches: list[dict[str, NDArray[Any]]] = []
        self._samples = 0

    def add(self, predictions: Any, targets: Any) -> None:
        """Predictions and targets of a batch, as the task's metric takes them."""
        self._batches.append(self._target.columns(predictions, targets, self._samples))
        self._samples += len(predictions)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Those of the target, with a value for each sample in the order in which they came."""
        return {name: np.concatenate([batch[name] for batch in self._batches]) for name in self._target.kept}
