"""What users hand over as a calibration set: tensors, arrays, frames, loaders of inputs with or without labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from conversion.arguments import as_tensor, named
from conversion.errors import InvalidInput
from conversion.simulation.frames import Frames, NetworkInput

TAKEN = "give tensors of shape (N, ...) or Frames, a list of them, or a DataLoader of inputs or of (inputs, labels)"


def in_own_order(inputs: Tensor) -> Tensor:
    """Samples in an order of their own, so that the same are drawn whatever the order of the calibration set."""
    return inputs[inputs.flatten(1).sum(1, dtype=torch.float64).argsort()]


def input_batches(batches: Any) -> list[NetworkInput]:
    """The batches of a calibration set, without labels.

    Raises:
        InvalidInput: it is something else; the message names what came and says what to pass.
    """
    if isinstance(batches, (Tensor, Frames, np.ndarray)):
        return [network_input(batches, "The calibration set")]
    if isinstance(batches, Dataset) and not isinstance(batches, Iterable):
        raise InvalidInput(
            f"The calibration set is a {named(batches)}, whose items are single samples; pass batches: "
            "DataLoader(dataset, batch_size=32)."
        )
    if not isinstance(batches, Iterable) or isinstance(batches, (Mapping, str, bytes)):
        raise InvalidInput(f"The calibration set is a {named(batches)}; {TAKEN}.")
    # A list of two tensors is two batches, and what a loader gives as a list of two is inputs and labels.
    return [network_input(_without_labels(batch), "A calibration batch") for batch in batches]


def network_input(value: Any, what: str) -> NetworkInput:
    """One batch as a tensor or frames.

    Raises:
        InvalidInput: it is something else.
    """
    if isinstance(value, np.ndarray):
        value = as_tensor(value, what)
    if isinstance(value, Tensor) and not value.dim():
        raise InvalidInput(f"{what} is a single number; {TAKEN}.")
    if isinstance(value, (Tensor, Frames)):
        return value
    content = f" with the keys {', '.join(map(repr, value))}" if isinstance(value, Mapping) else ""
    hint = "; take its inputs out: (batch['inputs'] for batch in loader)" if isinstance(value, Mapping) else ""
    raise InvalidInput(f"{what} is a {named(value)}{content}{hint}; {TAKEN}.")


def _without_labels(batch: Any) -> Any:
    pair = isinstance(batch, Sequence) and not isinstance(batch, str) and len(batch) in (1, 2)
    return batch[0] if pair and isinstance(batch[0], (Tensor, Frames, np.ndarray)) else batch
