"""Nonlinear operations in time: the difference of the running mean (methods.md, section 2.10).

A nonlinear f cannot be applied step by step: the mean of f(x_t) is not f of the mean. What it sends instead is

    y_t = t f(mean of x_1..x_t) - (t - 1) f(mean of x_1..x_(t-1)),

whose mean over steps 1..t is f of the mean input, exactly, at every t.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from conversion.graph import Values, evaluate


class RunningDifference:
    """The state of one nonlinear node while it is simulated.

    Args:
        node: the operation.
        changing: its inputs that change from step to step; the others are constant in time.
    """

    def __init__(self, node: fx.Node, changing: list[fx.Node]) -> None:
        self.node = node
        self.changing = changing
        self.t = 0
        self.sums: Values = {}
        self.sent: Any = None

    def step(self, values: Values) -> Tensor:
        """What the node sends at the next step, given the values of its inputs at that step."""
        self.t += 1
        for source in self.changing:
            # Sums of many bfloat16 values need more than bfloat16.
            value = values[source].to(torch.promote_types(values[source].dtype, torch.float32))
            self.sums[source] = value if self.t == 1 else self.sums[source] + value
        means = {source: (total / self.t).to(values[source].dtype) for source, total in self.sums.items()}
        due = self.t * evaluate(self.node, values | means)
        sent: Tensor = due if self.t == 1 else due - self.sent
        self.sent = due
        return sent

    def keep(self, samples: Tensor) -> None:
        """Forgets all samples but those with the given indices along the first axis."""
        self.sums = {source: total[samples] for source, total in self.sums.items()}
        self.sent = self.sent[samples]
