"""Nonlinear operations in time: the difference of the running mean.

A nonlinear f cannot be applied step by step: the mean of f(x_t) is not f of the mean. Its output is instead

    y_t = t f(mean of x_1..x_t) - (t - 1) f(mean of x_1..x_(t-1)),

whose mean over steps 1..t is f of the mean input, exactly, at every t. A maximum needs no mean: t max(sum / t) is
max(sum), and where the sum is one of spikes, the output is spikes too.
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
        self.total: Any = None

    def step(self, values: Values) -> Any:
        """The node's output at the next timestep, given the values of its inputs at that step.

        Only the first of several results is a signal: the others of a pooling are positions.
        """
        self.t += 1
        # Sums of many bfloat16 values need more than bfloat16, and so do small differences of large sums.
        for source in self.changing:
            self.sums[source] = self._added(self.sums.get(source), values[source])
        constant = {node: _widened(values[node]) for node in self.node.all_input_nodes if node not in self.sums}
        result = evaluate(self.node, constant | self._means())
        several = isinstance(result, (tuple, list))
        total = result[0] if several else result
        if not self.homogeneous:
            total = self.t * total
        output: Tensor = (total if self.t == 1 else total - self.total).to(values[self.changing[0]].dtype)
        # The output as it was rounded: the next step makes up for the rounding.
        self.total = self._added(self.total, output)
        return (output,) if several else output

    def _means(self) -> Values:
        """The running means of its inputs, or their sums where f of these is as good."""
        return self.sums if self.homogeneous else {source: summed / self.t for source, summed in self.sums.items()}

    def _added(self, total: Any, value: Any) -> Any:
        """The sum over the steps so far. That of the first is the value itself, which others may hold, too."""
        if self.t == 1:
            return _widened(value)
        # Autograd needs the sums of earlier steps as they were.
        return total + value if self.t == 2 or value.requires_grad else total.add_(value)

    def keep(self, samples: Tensor) -> None:
        """Continues with the samples at the given indices alone."""
        self.sums = {source: keep(source, summed, samples) for source, summed in self.sums.items()}
        self.total = keep(self.node, self.total, samples)


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.to(torch.promote_types(value.dtype, torch.float32))
    return value
