"""Arguments that users pass to the library, in the forms that they have at hand."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conversion.errors import InvalidInput


def whole_number(name: str, value: Any) -> int:
    """A whole number, of Python, numpy or torch.

    Raises:
        InvalidInput: it is none; a string or a fraction is not taken for one.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise InvalidInput(f"{name} is {value!r} (a {named(value)}); give a whole number.") from None


def number_of_steps(T: Any) -> int:
    """T, the number of steps of a simulation.

    Raises:
        InvalidInput: it is no whole number, or below 1.
    """
    steps = whole_number("T", T)
    if steps < 1:
        raise InvalidInput(f"T is {steps}, but a simulation has at least 1 step; give T >= 1.")
    return steps


def as_tensor(array: np.ndarray[Any, Any], what: str) -> Tensor:
    """A numpy array as a tensor that shares no memory with it.

    Raises:
        InvalidInput: torch has no such type.
    """
    try:
        return torch.tensor(array)
    except TypeError as error:
        raise InvalidInput(f"{what} is a numpy array of type {array.dtype}, which torch does not have.") from error


def named(value: Any) -> str:
    """The type of a value, as messages name it."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]} {kind.__name__}"
