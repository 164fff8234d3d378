"""Conversion of a captured ANN by a method's name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from conversion.calibration.statistics import Calibration
from conversion.capture.graph import ConversionGraph
from conversion.methods import make_method
from conversion.simulation.frames import NetworkInput
from conversion.simulation.network import SpikingNetwork


def convert(
    graph: ConversionGraph, batches: Iterable[NetworkInput] | NetworkInput, method: str = "auto", *, T: int,
    held_out: tuple[NetworkInput, Tensor] | None = None, seed: int = 0, **options: Any,
) -> SpikingNetwork:  # fmt: skip
    """Converts a captured ANN into a spiking network.

    Args:
        graph: the ANN, captured by `capture`.
        batches: calibration inputs from the training set, each of shape (N, ...), or frames in time.
        method: a name in METHODS; "auto" tries several on samples held out and takes the best.
        T: number of timesteps.
        held_out: other training samples with their classes, for methods that stop early.
        seed: seed of the random draws of the method.
        options: options of the method.

    Raises:
        UnknownName: there is no such method or option.
        InvalidInput: T or phi below 1, no calibration sample, or a value that is not finite.
        UnsupportedOp: the network holds an operation that cannot be applied step by step.
    """
    return make_method(method, **options).convert(graph, Calibration(graph, batches, held_out, seed), T)
