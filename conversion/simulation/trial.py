"""Neurons that look at spikes of their own before the run that counts: SRP and COS, for constant inputs.

A neuron that fired too often ends the trial with a potential below zero, one that fired too seldom with a threshold or
more. Both come from currents that were not the same at every step. SRP silences the former (Hao et al., AAAI 2023). COS
starts each anew from a potential with which it sends one spike fewer, or one more, for the same currents (Hao et al.,
ICLR 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from conversion.errors import InvalidInput

# In thresholds. A potential above zero has to exceed the first; the others keep a potential from lying on the edge
# between a spike more and a spike less. All are those of the releases.
ABOVE_ZERO, JUST_BELOW, JUST_ABOVE = 1e-3, 0.999, 1.001


@dataclass(frozen=True)
class Trial:
    """What a neuron tries before it runs, and what follows from it.

    Attributes:
        steps: length of the trial.
        then: "silence" (SRP): all layers try together, in the first steps of the simulation, and send what they fire.
            After them potentials are reset, and neurons whose potential was not above zero send nothing any more.
            "shift" (COS): layer after layer. A layer tries the first steps of its input, sends nothing meanwhile, and
            then starts from a corrected potential; so it answers as many steps later than its input. What it needs
            again after the trial, the layer before sends again.
    """

    steps: int
    then: Literal["silence", "shift"]

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InvalidInput(f"A trial has {self.steps} steps; give at least 1.")


def lasting(potential: Tensor, threshold: Tensor) -> Tensor:
    """One where a neuron may send after a trial that left it a potential, else zero."""
    return (potential > ABOVE_ZERO * threshold).to(potential.dtype)


def shifted_start(currents: Sequence[Tensor], threshold: Tensor) -> Tensor:
    """The potential that corrects the number of spikes that currents cause from half a threshold on, by one.

    A neuron that ends below zero and has fired starts lower by its lowest potential at a spike less a threshold, one
    that ends at a threshold or above starts higher by what its highest potential in a silent step lacked of one; by one
    threshold at least in either case. Where no step was silent there is no spike to add.

    Args:
        currents: of the steps of the trial, biases included.
        threshold: in a shape that fits.
    """
    potential = start = (threshold / 2).expand_as(currents[0])
    lowest = torch.full_like(potential, torch.inf)
    highest = -lowest
    for current in currents:
        potential = potential + current
        fired = potential >= threshold
        lowest = torch.where(fired, lowest.minimum(potential), lowest)
        highest = torch.where(fired, highest, highest.maximum(potential))
        potential = potential - fired * threshold
    fewer = (lowest - JUST_BELOW * threshold).maximum(threshold)
    more = (JUST_ABOVE * threshold - highest).maximum(threshold)
    start = torch.where((potential < 0) & lowest.isfinite(), start - fewer, start)
    return torch.where((potential >= threshold) & highest.isfinite(), start + more, start)
