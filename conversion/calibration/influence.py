"""How much an error of a layer changes the network's answer: the Fisher information of its activations."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from conversion.capture.graph import ConversionGraph, Values, evaluate
from conversion.capture.roles import Role

logger = logging.getLogger(__name__)


@torch.enable_grad()
def influences(
    graph: ConversionGraph, batches: Iterable[Tensor], generator: torch.Generator
) -> Mapping[fx.Node, float]:
    """E[g^2] E[a^2] of every firing layer, means over samples, positions and channels.

    a is an activation and g the derivative of -log p(y) by it, with a class y drawn from the probabilities p that the
    network itself gives: no label is looked at. Errors of the same size relative to a then cost, to second order and
    taken as independent, this much for each neuron. Where the output is no scores of classes, of shape (N, classes),
    g is that of its scalar product with normal noise, whose mean square is the squared norm of the Jacobian's column.

    Args:
        graph: the captured ANN.
        batches: of its inputs, each of shape (N, ...).
        generator: draws classes or noise.

    Returns:
        The products, or 1 for every layer, with a warning, where gradients cannot be computed.
    """
    squares = {node: torch.zeros(2, dtype=torch.float64) for node in graph.firing}
    try:
        for batch in batches:
            for node, (value, gradient) in _gradients(graph, batch, generator).items():
                sums = [part.double().nan_to_num(0, 0, 0).square().sum().cpu() for part in (gradient, value.detach())]
                squares[node] += torch.stack(sums) / value.numel()
    except RuntimeError as error:  # An operation without a derivative; no gradient, as in inference mode.
        logger.warning("layers are weighed alike, since gradients cannot be computed: %s", str(error).splitlines()[0])
        return dict.fromkeys(graph.firing, 1.0)
    return {node: float(gradient * value) for node, (gradient, value) in squares.items()}


def _gradients(
    graph: ConversionGraph, batch: Tensor, generator: torch.Generator
) -> dict[fx.Node, tuple[Tensor, Tensor]]:  # fmt: skip
    """The activations of a batch and their gradients, by layer."""
    values: Values = graph.start(graph.cast(batch))
    for node in graph.body:
        values[node] = evaluate(node, values)
        if graph.rules[node].role is Role.FIRING and not values[node].requires_grad:
            values[node] = values[node].detach().requires_grad_()
    layers = [values[node] for node in graph.firing]
    # Not all layers lead to the output.
    gradients = torch.autograd.grad(_drawn(graph.finish(values), generator), layers, allow_unused=True)
    return {
        node: (value, torch.zeros(1) if gradient is None else gradient)
        for node, value, gradient in zip(graph.firing, layers, gradients, strict=True)
    }


def _drawn(output: object, generator: torch.Generator) -> Tensor:
    """-log p of classes drawn from the network's own probabilities, or the output's scalar product with noise."""
    if isinstance(output, Tensor) and output.dim() == 2 and output.shape[1] > 1:
        likelihood = output.float().log_softmax(1)
        drawn = torch.multinomial(likelihood.detach().exp().cpu(), 1, generator=generator)
        return -likelihood.gather(1, drawn.to(output.device)).sum()
    leaves = [leaf.float() for leaf in pytree.tree_leaves(output) if leaf.requires_grad]
    noise = [torch.randn(leaf.shape, generator=generator).to(leaf.device) for leaf in leaves]
    products = [(leaf * drawn).sum() for leaf, drawn in zip(leaves, noise, strict=True)]
    return torch.stack(products).sum() if products else torch.zeros(())
