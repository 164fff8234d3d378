"""How much an error of a layer changes the answer: by hand, and what it does to a weight of energy."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from conversion import Calibration
from conversion.calibration.influence import influences
from conversion.codes import Held
from conversion.stages import CodedNeurons
from conversion.stages.energy_aware import relative_fan_out
from tests.conversion.toys import Net, captured


def test_of_classes_it_is_the_fisher_information() -> None:
    """Of activations that are the scores themselves g is p - onehot(y), and E[g^2] the mean of p (1 - p)."""
    model = Net(lambda net, x: torch.relu(net.linear(x)), linear=nn.Linear(3, 4))
    graph = captured(model, torch.rand(1, 3))
    inputs = torch.rand(1, 3).repeat(20_000, 1)
    scores = graph.run(inputs[:1])[0]
    alive = (scores > 0).double()
    probabilities = scores.double().softmax(0)
    wanted = (probabilities * (1 - probabilities)).mean() * scores.double().square().mean()
    assert float(alive.sum()) > 0
    (found,) = influences(graph, [inputs], torch.Generator().manual_seed(0)).values()
    # The mean of 20,000 draws of numbers between 0 and 1: a standard error of 0.0035 at the most.
    assert found == pytest.approx(float(wanted), abs=5 * 0.0035 * float(scores.double().square().mean()))


def test_of_other_outputs_it_is_the_squared_jacobian() -> None:
    """y = w a with one output: the mean over channels of w^2, times E[a^2]."""
    model = Net(
        lambda net, x: net.last(torch.relu(net.first(x))), first=nn.Linear(3, 4), last=nn.Linear(4, 1)
    )  # fmt: skip
    with torch.no_grad():
        model.first.weight.abs_(), model.first.bias.fill_(1.0)
    graph = captured(model, torch.rand(1, 3))
    inputs = torch.rand(20_000, 3)
    activations = model.first(inputs.to(graph.dtype)).detach().double()
    wanted = float(model.last.weight.detach().double().square().mean() * activations.square().mean())
    (found,) = influences(graph, [inputs], torch.Generator().manual_seed(0)).values()
    # Squares of 20,000 normal numbers: a standard error of 1 % of their mean.
    assert found == pytest.approx(wanted, rel=0.05)


def test_energy_weighs_less_where_errors_do_harm() -> None:
    """In inverse proportion, with a geometric mean of 1 over layers."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    graph = captured(model, torch.rand(1, 6))
    data = Calibration(graph, torch.rand(64, 6))
    first, second = data.influences.values()
    weighed, plain = CodedNeurons(Held(), energy=1.0).prices(data), relative_fan_out(graph)
    factors = [float((weighed[node] / plain[node]).mean()) for node in graph.firing]
    assert factors[0] / factors[1] == pytest.approx(second / first, rel=1e-6)
    assert math.prod(factors) == pytest.approx(1.0, rel=1e-6)
    # Without a weight of energy nothing is to be weighed, and no gradient computed.
    unseen = Calibration(graph, torch.rand(4, 6))
    CodedNeurons(Held()).prices(unseen)
    assert "influences" not in vars(unseen)


def test_a_layer_without_influence_keeps_a_finite_weight() -> None:
    model = Net(
        lambda net, x: net.last(torch.relu(net.first(x))) + 0 * net.other(torch.relu(net.second(x))),
        first=nn.Linear(3, 4), second=nn.Linear(3, 4), last=nn.Linear(4, 2), other=nn.Linear(4, 2),
    )  # fmt: skip
    graph = captured(model, torch.rand(1, 3))
    prices, plain = (
        CodedNeurons(Held(), energy=1.0).prices(Calibration(graph, torch.rand(8, 3))),
        relative_fan_out(graph),
    )
    for node, price in prices.items():
        assert float((price / plain[node]).max()) <= 8 * (1 + 1e-9)


def test_layers_are_weighed_alike_where_there_are_no_gradients(caplog: pytest.LogCaptureFixture) -> None:
    """As of inputs that were made in inference mode."""
    scores = captured(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval(), torch.rand(1, 3))
    with torch.inference_mode():
        found = influences(scores, [torch.rand(8, 3, dtype=scores.dtype)], torch.Generator().manual_seed(0))
    assert list(found.values()) == [1.0] and "weighed alike" in caplog.text


def test_gradients_that_are_not_finite_count_for_nothing() -> None:
    """The square root of an activation of zero has an infinite one."""
    model = Net(lambda net, x: net.last(torch.relu(net.first(x)).sqrt()), first=nn.Linear(3, 4), last=nn.Linear(4, 2))
    graph = captured(model, torch.rand(1, 3))
    found = influences(graph, [torch.randn(64, 3)], torch.Generator().manual_seed(0))
    assert all(math.isfinite(value) for value in found.values())
