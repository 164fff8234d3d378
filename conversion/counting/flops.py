"""Floating-point operations of nonlinear nodes: one rule for each family (docs/operations.md).

An elementary function (exponential, root, error function ...) counts as one operation, like an addition. Firing nodes
cost nothing here: a ReLU is what a neuron is, and its updates are counted.
"""

from __future__ import annotations

from math import prod

from torch import Tensor, fx

from conversion.capture.graph import Values
from conversion.capture.roles import ATTENTION, NORMS, PRODUCTS, SOFTMAXES, SYNAPSES, aten, packet

SOFTMAX = 5
"""Per element: comparison for the maximum, subtraction, exponential, addition, division."""
NORM = 5
"""Per element: addition for the mean, subtraction, square, addition for the variance, product with its root."""
# Per element; what is not listed is one elementary function.
FUNCTIONS = {
    aten.sigmoid: 4, aten.log_sigmoid: 4, aten.tanh: 1, aten.silu: 5, aten.mish: 5, aten.gelu: 5, aten.hardsigmoid: 4,
    aten.hardswish: 5, aten.elu: 3, aten.selu: 4, aten.celu: 4, aten.softplus: 3, aten.clamp: 2, aten.hardtanh: 2,
}  # fmt: skip


def flops(node: fx.Node, values: Values, reads: Tensor | None) -> int:
    """Operations of one evaluation of a nonlinear node for one sample.

    Args:
        node: the operation.
        values: its inputs and its own value, of one sample.
        reads: number of inputs of each output of a maximum or a product of matrices.
    """
    op = packet(node)
    if reads is not None:
        # A sum of k products is k multiplications and k additions; a maximum of k is k - 1 comparisons.
        return round(float(2 * reads.sum() if op in (*PRODUCTS, *SYNAPSES) else (reads - 1).sum()))
    if op in ATTENTION:
        query, key, value = (values[source].shape for source in node.args[:3])  # type: ignore[index]
        scores = prod(query[:-1]) * key[-2]
        return int(scores * (2 * query[-1] + SOFTMAX + 2 * value[-1]))
    size = values[node].numel()
    if op in SOFTMAXES:
        return int(SOFTMAX * size)
    if op in NORMS:
        affine = sum(isinstance(argument, fx.Node) for argument in node.args[1:])
        return int((NORM + affine) * size)
    return int(FUNCTIONS.get(op, 1) * size)
