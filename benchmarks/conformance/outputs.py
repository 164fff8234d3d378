"""Outputs of networks of any structure: a tensor, or tensors in tuples and dictionaries."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


def flat(output: Any) -> Tensor:
    """All of a network's outputs, one row for each sample."""
    return torch.cat([part.flatten(1) for part in pytree.tree_leaves(output)], 1)


def relative_error(found: Any, expected: Any) -> float:
    """The relative error ||found - expected|| / ||expected||."""
    return float((flat(found) - flat(expected)).norm() / flat(expected).norm())
