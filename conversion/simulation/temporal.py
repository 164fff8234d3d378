"""Nonlinear operations in time: the difference of the running mean.

A nonlinear f cannot be applied step by step: the mean of f(x_t) is not f of the mean. What it sends instead is

    y_t = t f(mean of x_1..x_t) - (t - 1) f(mean of x_1..x_(t-1)),

whose mean over steps 1..t is f of the mean input, exactly, at every t. A maximum needs no mean: t max(sum / t) is
max(sum), and if the sum is one of spikes, so is what is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from conversion.capture.graph import Values, evaluate
from conversion.capture.layout import keep
from conversion.capture.roles import HOMOGENEOUS, packet


class RunningDifference:
    """The state of one nonlinear node while it is simulated.

    Args:
        node: the operation, of one or more signals.
        changing: its inputs that change from step to step; the others are constant in time.
    """

    def __init__(self, node: fx.Node, changing: Sequence[fx.Node]) -> None:
        self.node = node
        self.changing = changing
        self.homogeneous = packet(node) in HOMOGENEOUS
        self.t = 0
        self.sums: Values = {}
        self.sent: Any = None

    def step(self, values: Values) -> Any:
        """What the node sends at the next step, given the values of its inputs at that step.

        Only the first of several results is a signal: the others of a pooling are positions.
        """
        self.t += 1
        # Sums of many bfloat16 values need more than bfloat16, and so do small differences of large sums.
        inputs = {source: _widened(values[source]) for source in self.node.all_input_nodes}
        for source in self.changing:
            self.sums[source] = inputs[source] if self.t == 1 else self.sums[source] + inputs[source]
        scale = 1 if self.homogeneous else self.t
        result = evaluate(self.node, inputs | {source: total / scale for source, total in self.sums.items()})
        several = isinstance(result, (tuple, list))
        due = scale * (result[0] if several else result)
        sent: Tensor = (due if self.t == 1 else due - self.sent).to(values[self.changing[0]].dtype)
        # What was sent is what counts: the next step makes up for its rounding.
        self.sent = sent.to(due.dtype) + (0 if self.t == 1 else self.sent)
        return (sent,) if several else sent

    def keep(self, samples: Tensor) -> None:
        """Forgets all samples but those with the given indices."""
        self.sums = {source: keep(source, total, samples) for source, total in self.sums.items()}
        self.sent = keep(self.node, self.sent, samples)


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.to(torch.promote_types(value.dtype, torch.float32))
    return value
