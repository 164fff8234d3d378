"""The QCFS activation: its values, its gradient, and that capture finds one layer of neurons in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import InvalidInput, capture
from conversion.capture.qcfs import QCFS, qcfs
from conversion.capture.roles import Activation, Role
from tests.conversion.toys import Net, captured, seeded

X = seeded((5, 3, 8, 8))


class Floor(torch.autograd.Function):
    """Floor, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.floor()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def written_out(x: Tensor, threshold: Tensor, levels: int) -> Tensor:
    floor: Tensor = Floor.apply((x / threshold).clamp(0, 1) * levels + 0.5)
    return floor / levels * threshold


def network(thresholds: tuple[Tensor, ...] = (torch.tensor([0.75]), torch.tensor([1.5])), levels: int = 4) -> Net:
    parameters = {f"threshold{i}": value for i, value in enumerate(thresholds)}

    def function(net: Any, x: Tensor) -> Tensor:
        x = qcfs(net.norm(net.a(x)), net.threshold0, levels)
        return net.head(qcfs(x + net.b(x), net.threshold1, levels).mean((2, 3)))

    parts = {"a": nn.Conv2d(3, 4, 3), "norm": nn.BatchNorm2d(4), "b": nn.Conv2d(4, 4, 1), "head": nn.Linear(4, 2)}
    return Net(function, **parts, **parameters)


def test_values_by_hand() -> None:
    """Threshold 2 and 4 levels: 0.5 apart, rounded to the nearest, halves up, between 0 and 2."""
    x = torch.tensor([-1.0, 0.24, 0.25, 0.74, 0.9, 1.74, 1.75, 2.5, 100.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 0.0, 0.5, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0], dtype=torch.float64)
    assert torch.equal(qcfs(x, torch.tensor([2.0], dtype=torch.float64), 4), expected)


@pytest.mark.parametrize("threshold", [2.5, -0.5])
def test_the_gradient_passes_the_floor_and_stops_at_the_clip(threshold: float) -> None:
    """The same as autograd's through the written-out formula, also for a threshold that training drove below zero."""
    weight = seeded(X.shape, seed=1)
    found = []
    for function in (qcfs, written_out):
        x, th = X.clone().requires_grad_(), torch.tensor([threshold], dtype=torch.float64, requires_grad=True)
        output = function(x, th, 4)
        (weight * output).sum().backward()
        found.append((output.detach(), x.grad, th.grad))
    for mine, reference in zip(*found, strict=True):
        torch.testing.assert_close(mine, reference, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_torch_accepts_the_operation() -> None:
    threshold = torch.tensor([1.0], requires_grad=True)
    torch.library.opcheck(QCFS.default, (X.float().requires_grad_(), threshold, 4))


def test_each_activation_is_one_layer_that_knows_threshold_and_levels() -> None:
    graph = captured(network(), X)
    assert [graph.activation(node) for node in graph.firing] == [Activation(0.75, 0, 4), Activation(1.5, 0, 4)]
    assert [graph.channels(node) for node in graph.firing] == [4, 4]
    # Nothing but the two layers of neurons keeps the rest from being linear.
    assert {rule.role for rule in graph.rules.values()} >= {Role.FIRING, Role.LINEAR}
    assert Role.NONLINEAR not in {rule.role for rule in graph.rules.values()}


def test_the_graph_computes_what_the_module_computes() -> None:
    model = network()
    graph = captured(model, X)
    with torch.no_grad():
        torch.testing.assert_close(graph.run(X), model(X), rtol=0, atol=1e-12)
    seen: dict[Any, Tensor] = {}
    graph.run(X, observe=seen.__setitem__)
    for (node, value), level in zip(seen.items(), (0.75 / 4, 1.5 / 4), strict=True):
        assert node in graph.firing
        assert torch.equal(value, (value / level).round() * level)
        assert len(value.unique()) > 2


def test_a_threshold_may_be_computed_from_parameters() -> None:
    """TMA, for instance, trains a number u and takes a function of it, which is never negative."""
    model = Net(lambda net, x: net.head(qcfs(x, F.softplus(net.u), 4).flatten(1)), u=torch.tensor([-1.0]),
                head=nn.Linear(192, 2))  # fmt: skip
    graph = captured(model, X)
    assert [graph.activation(node).ceiling for node in graph.firing] == [pytest.approx(0.31326168751822286)]


def test_a_threshold_that_depends_on_the_input_is_no_neuron() -> None:
    model = Net(lambda net, x: net.head(qcfs(x, x.amax((1, 2, 3), keepdim=True), 4).flatten(1)),
                head=nn.Linear(192, 2))  # fmt: skip
    graph = captured(model, X)
    assert QCFS.default not in {node.target for node in graph.firing}
    torch.testing.assert_close(graph.run(X), model(X).detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        (torch.tensor([-0.25]), r"'threshold1', is -0\.25; neurons need one positive number for a layer\."),
        (torch.tensor([0.0]), r"'threshold1', is 0; "),
        (torch.ones(4, 1, 1), r"'threshold1', is 4 numbers; "),
    ],
)
def test_a_threshold_that_no_layer_of_neurons_can_have_is_refused(threshold: Tensor, message: str) -> None:
    model = network((torch.tensor([1.0]), threshold)).double().eval()
    with pytest.raises(InvalidInput, match=message):
        capture(model, X)


@pytest.mark.parametrize("levels", [0, -1])
def test_an_activation_without_levels_is_refused(levels: int) -> None:
    model = network(levels=levels).double().eval()
    with pytest.raises(InvalidInput, match=f"has {levels} levels; neurons need at least 1"):
        capture(model, X)
