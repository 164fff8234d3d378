"""Inputs that change in time: frames of equal length, grouped exactly to the steps of a simulation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conversion.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class Frames:
    """A sequence of frames for each sample. The ANN takes their mean, step t of a spiking network the frames of step t.

    Attributes:
        values: shape (N, F, ...), scaled as the network takes its inputs.
        event: what one event adds to a frame, where frames hold whole numbers of events: they are then counted as
            spikes, and what they meet as synaptic operations. None where values are analog.
    """

    values: Tensor
    event: float | None = None

    def __post_init__(self) -> None:
        if self.values.dim() < 3 or not self.values.shape[1]:
            raise InvalidInput(f"Frames have shape {tuple(self.values.shape)}; give (N, F, ...) with at least 1 frame.")
        if self.event is not None and not self.event > 0:
            raise InvalidInput(f"An event adds {self.event} to a frame; give a positive number.")

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.values)

    def __getitem__(self, samples: slice) -> Frames:
        """A slice of the samples."""
        return Frames(self.values[samples], self.event)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the input of one step, (N, ...)."""
        return len(self.values), *self.values.shape[2:]

    @property
    def mean(self) -> Tensor:
        """The mean over frames, which the ANN sees: shape (N, ...)."""
        return self.values.mean(1)

    def steps(self, T: int) -> list[Tensor]:
        """One input for each of T steps, shapes (N, ...); their mean is `mean`.

        A step takes the mean of F / T frames; or, where T is a multiple of F, every frame is the input of T / F steps.

        Raises:
            InvalidInput: neither T nor the number of frames is a multiple of the other.
        """
        count = self.values.shape[1]
        if count % T and T % count:
            raise InvalidInput(
                f"{count} frames cannot be spread over T = {T} steps so that all count the same; take a T that divides "
                f"{count}, or a multiple of it."
            )
        if count >= T:
            return list(self.values.unflatten(1, (T, count // T)).mean(2).unbind(1))
        return [frame for frame in self.values.unbind(1) for _ in range(T // count)]

    def events(self, T: int) -> list[Tensor]:
        """Numbers of events in each of T steps, like `steps`; a frame that lasts several steps counts in each.

        Raises:
            InvalidInput: frames are analog.
        """
        if self.event is None:
            raise InvalidInput("Events are counted in frames of events; these are analog.")
        grouped = max(1, self.values.shape[1] // T)
        return [(step * (grouped / self.event)).round() for step in self.steps(T)]


NetworkInput = Tensor | Frames
"""A constant input, shape (N, ...), or one that changes in time."""


def input_steps(inputs: NetworkInput, T: int) -> list[Tensor]:
    """The input of every step: one for all where it is constant, else one for each of T steps."""
    return [inputs] if isinstance(inputs, Tensor) else inputs.steps(T)


def running_means(steps: Sequence[Tensor]) -> list[Tensor]:
    """The mean of the inputs up to each step: what a network whose neurons hold values is to answer by then.

    The last one is the ANN's input.
    """
    sums = list(itertools.accumulate(steps, torch.add))
    return [total / t if t > 1 else total for t, total in enumerate(sums, start=1)]


def mean_input(inputs: NetworkInput) -> Tensor:
    """The input of the ANN, shape (N, ...): the mean over frames."""
    return inputs if isinstance(inputs, Tensor) else inputs.mean


def concatenate(batches: Sequence[NetworkInput]) -> NetworkInput:
    """Joins several batches into one.

    Raises:
        InvalidInput: some are constant and some change in time, or events count differently.
    """
    tensors = [batch for batch in batches if isinstance(batch, Tensor)]
    frames = [batch for batch in batches if isinstance(batch, Frames)]
    if (tensors and frames) or len({batch.event for batch in frames}) > 1:
        raise InvalidInput("Batches are of different kinds; give all of them constant, or as the same kind of frames.")
    if frames:
        return Frames(torch.cat([batch.values for batch in frames]), frames[0].event)
    return torch.cat(tensors)


def split_batches(inputs: NetworkInput, size: int) -> list[NetworkInput]:
    """Splits inputs into batches of at most `size` samples."""
    return [inputs[first : first + size] for first in range(0, len(inputs), size)]
