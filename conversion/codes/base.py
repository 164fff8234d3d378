"""The interface of a neural code whose receivers hold a value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from conversion.registry import Registry

RATE = "rate"
"""The name of the rate code, which is that of no class here."""


class Sent(NamedTuple):
    """What a layer sends in one step.

    Attributes:
        value: the change of the values that receivers hold, of the shape of a current.
        spikes: the number of spikes that carry it, none negative; a burst of n is n.
    """

    value: Tensor
    spikes: Tensor


@dataclass(frozen=True)
class Code(ABC):
    """A code for one number a neuron: its receivers hold an estimate h, and each of T steps may change it.

    A neuron compares h with the value a that its activation function has by then, and sends a part of the error
    a - h. Codes differ in the amplitudes that a step offers and in the choice among them; amplitudes are given in units
    of the neuron's threshold.
    """

    name: ClassVar[str]
    signed: ClassVar[bool] = True
    """Whether it can say negative values."""

    @abstractmethod
    def send(self, error: Tensor, held: Tensor, threshold: Tensor, t: int, T: int, phi: int, rectified: bool) -> Sent:
        """The spikes of step t.

        Args:
            error: a - h, of shape (N, ...).
            held: h, what receivers hold before this step.
            threshold: of step t, in a shape that fits the error.
            t: the step, 1 to T.
            T: number of steps.
            phi: most spikes in a step.
            rectified: the value is never negative.
        """

    def spell(
        self, values: Sequence[Tensor], thresholds: Sequence[Tensor], phi: int, rectified: bool
    ) -> Iterator[tuple[Tensor, Tensor]]:  # fmt: skip
        """What is held after each step, and the spikes of that step.

        Args:
            values: a of every step, as far as the neuron knows it by then.
            thresholds: of every step.
            phi, rectified: as in `send`.
        """
        held = torch.zeros_like(values[0])
        for t, (value, threshold) in enumerate(zip(values, thresholds, strict=True), start=1):
            sent = self.send(value - held, held, threshold, t, len(values), phi, rectified)
            held = held + sent.value
            yield held, sent.spikes

    def outcome(self, value: Tensor, threshold: Tensor, T: int, phi: int, rectified: bool) -> tuple[Tensor, Tensor]:
        """What is held after T steps, and the number of spikes in all, where the value is known from the first step on.

        Args:
            value: a, of shape (N, ...).
            threshold: the same at every step.
            T: number of steps.
            phi, rectified: as in `send`.
        """
        spelt = list(self.spell([value] * T, [threshold] * T, phi, rectified))
        return spelt[-1][0], torch.stack([spikes for _, spikes in spelt]).sum(0)

    @abstractmethod
    def amplitudes(self, t: int, T: int, phi: int) -> tuple[float, float]:
        """Smallest and largest amplitude of one spike of step t, in units of that step's threshold."""

    @abstractmethod
    def reach(self, T: int, phi: int) -> float:
        """The largest value that a neuron can send in T steps, in thresholds, all of which are the same."""

    @abstractmethod
    def payload_bits(self, T: int, phi: int, rectified: bool) -> int:
        """Bits that an event carries besides its address."""

    def smallest(self, thresholds: Tensor, T: int, phi: int) -> Tensor:
        """The smallest amplitude of any spike, by channel: what machines that know one amplitude send it in units of.

        Args:
            thresholds: shape (T, channels).
        """
        by_step = [self.amplitudes(t, T, phi)[0] * thresholds[t - 1] for t in range(1, T + 1)]
        return torch.stack(by_step).amin(0)


class WindowCode(Code):
    """A code that chooses all spikes of a window at once, so that it needs its input complete."""

    @abstractmethod
    def encode(self, value: Tensor, threshold: Tensor, T: int) -> tuple[Tensor, Tensor]:
        """The step, 1 to T, in which each neuron fires its one spike (0 if it stays silent), and what it is worth."""

    def send(self, error: Tensor, held: Tensor, threshold: Tensor, t: int, T: int, phi: int, rectified: bool) -> Sent:
        step, value = self.encode(error + held, threshold, T)
        now = step == t
        return Sent(value * now, now.to(value.dtype))

    def spell(
        self, values: Sequence[Tensor], thresholds: Sequence[Tensor], phi: int, rectified: bool
    ) -> Iterator[tuple[Tensor, Tensor]]:  # fmt: skip
        step, value = self.encode(values[0], thresholds[0], len(values))
        held = torch.zeros_like(value)
        for t in range(1, len(values) + 1):
            now = step == t
            held = held + value * now
            yield held, now.to(value.dtype)

    def outcome(self, value: Tensor, threshold: Tensor, T: int, phi: int, rectified: bool) -> tuple[Tensor, Tensor]:
        step, sent = self.encode(value, threshold, T)
        return sent, (step > 0).to(sent.dtype)


CODES: Registry[type[Code]] = Registry("code")
