"""The predictions of a network, stored in the table of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.target import Target


class Predictions:
    """The predictions after the last step, gathered batch by batch.

    Args:
        target: the type of target, which makes the stored columns.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._batches: list[dict[str, NDArray[Any]]] = []
        self._samples = 0

    def add(self, predictions: Any, targets: Any) -> None:
        """Adds predictions and targets of a batch, as the task's metric takes them."""
        self._batches.append(self._target.columns(predictions, targets, self._samples))
        self._samples += len(predictions)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The stored columns, with a value for each sample in order."""
        return {name: np.concatenate([batch[name] for batch in self._batches]) for name in self._target.kept}
