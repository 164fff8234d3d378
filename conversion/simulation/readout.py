"""The values that a network's output is computed from: their mean over time, or the last ones.

Rate codes have a mean of all steps, or of those after a delay; of values that receivers hold the last one counts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from conversion.capture.graph import Values
from conversion.capture.layout import keep


class RunningMean:
    """The mean of the readout nodes over the steps so far, of which the first and the last ones may be left out.

    Args:
        start: number of steps that a delayed readout leaves out. After more of them the mean is over steps start + 1 to
            t; until then, where nothing else could be read out, it is over steps 1 to t.
        end: last step that the mean takes; None takes all.
    """

    def __init__(self, start: int = 0, end: int | None = None) -> None:
        self.start, self.end = start, end
        self.t = 0
        self.sums: Values = {}

    def add(self, values: Values) -> None:
        """Takes the values of the next step."""
        if self.t == self.end:
            return
        if self.t == self.start:
            self.sums = {}
        self.t += 1
        self.sums = {node: add(self.sums.get(node), value) for node, value in values.items()}

    def value(self) -> Values:
        """The mean after the steps so far, by node."""
        steps = self.t - self.start if self.t > self.start else self.t
        return {node: total / steps for node, total in self.sums.items()}

    def keep(self, samples: Tensor) -> None:
        """Continues with the samples at the given indices alone."""
        self.sums = {node: keep(node, total, samples) for node, total in self.sums.items()}


class LastValue:
    """The values of the readout nodes after the steps so far, in networks whose receivers hold them."""

    def __init__(self) -> None:
        self.values: Values = {}

    def add(self, values: Values) -> None:
        """Takes the values of the next step."""
        self.values = values

    def value(self) -> Values:
        """The values held."""
        return self.values

    def keep(self, samples: Tensor) -> None:
        """Continues with the samples at the given indices alone."""
        self.values = {node: keep(node, value, samples) for node, value in self.values.items()}


def add(total: Tensor | None, value: Tensor) -> Tensor:
    """Adds one more value to a sum over steps, in float32 at least: bfloat16 is too coarse for sums."""
    value = value.to(torch.promote_types(value.dtype, torch.float32))
    return value if total is None else total + value
