"""Activations by what they compute: PReLU as the signed leaky neuron of each channel, names of ReLUs, jumps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conversion import Calibration, SpikingNetwork, UnsupportedOp, capture, convert, load, save, simulate
from conversion.capture.roles import Activation, Role, packet
from conversion.report.layers import explain
from tests.conversion.toys import Net, captured, seeded

SLOPES = (0.5, 0.0, 0.25)


def prelu(*slopes: float) -> nn.PReLU:
    made = nn.PReLU(len(slopes))
    made.weight.data = torch.tensor(slopes)
    return made


def network(*slopes: float) -> nn.Module:
    return (
        nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), prelu(*slopes), nn.Conv2d(3, 4, 1), nn.Flatten()).double().eval()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        (nn.RReLU(0.1, 0.3), Activation(slope=0.2)),
        (nn.RReLU(), Activation(slope=(1 / 8 + 1 / 3) / 2)),
        (nn.Threshold(0.0, 0.0), Activation()),
        (prelu(0.3), Activation(slope=float(torch.tensor(0.3)))),
        (prelu(*SLOPES), Activation(slope=SLOPES)),
        (nn.Hardtanh(0.0, 3.0), Activation(ceiling=3.0)),
    ],
)
def test_activations_that_are_neurons(layer: nn.Module, wanted: Activation) -> None:
    graph = captured(nn.Sequential(nn.Conv2d(2, 3, 1), layer).eval(), seeded((2, 2, 4, 4)))
    assert [graph.activation(node) for node in graph.firing] == [
        Activation(wanted.ceiling, pytest.approx(wanted.slope), wanted.levels)  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize(
    "layer",
    [prelu(-0.5, 0.2, 0.1), nn.Threshold(0.5, 0.0), nn.Hardtanh(-1, 2), nn.GLU(1)],
    ids=lambda layer: type(layer).__name__,
)
def test_activations_that_are_functions_of_the_mean(layer: nn.Module) -> None:
    """After T steps of a constant input they are exactly what the network computes."""
    model = nn.Sequential(nn.Conv2d(2, 4 if isinstance(layer, nn.GLU) else 3, 1), layer, nn.Flatten()).double().eval()
    x = seeded((2, 2, 4, 4)).double()
    graph = capture(model, x)
    assert not graph.firing and Role.NONLINEAR in {rule.role for rule in graph.rules.values()}
    readout = simulate(SpikingNetwork(graph, T=4), x)
    torch.testing.assert_close(readout.mean(4), model(x).detach(), rtol=1e-9, atol=1e-9)


def test_rrelu_in_training_is_random_and_refused() -> None:
    random = Net(lambda net, x: torch.rrelu(x, 0.1, 0.3, training=True))
    with pytest.raises(UnsupportedOp, match="rrelu"):
        capture(random.eval(), seeded((2, 3)))


@pytest.mark.parametrize("method", ["burst", "held", "bit_serial"])
def test_every_channel_of_a_prelu_has_its_slope(method: str) -> None:
    """Signed neurons of many steps approach the network, the channel whose slope is zero among them."""
    model, x = network(*SLOPES), seeded((4, 2, 5, 5)).double()
    options: dict[str, Any] = {"phi": 8} if method == "burst" else {}
    graph = capture(model, x)
    converted = convert(graph, x, method, T=32 if method == "burst" else 8, **options)
    (neuron,) = converted.neurons.values()
    assert neuron.slope == SLOPES and neuron.leaky
    found, wanted = simulate(converted, x).mean(converted.T), model(x).detach()
    assert float((found - wanted).norm() / wanted.norm()) < 0.05
    assert explain(converted, Calibration(graph, x))[0].role == "signed"


def test_a_constant_current_by_hand() -> None:
    """Slopes 1/2, 0 and 1/4 of -1 in thresholds of 1/4 are -2, 0 and -1 spikes."""
    model = nn.Sequential(nn.Flatten(), prelu(*SLOPES)).double().eval()
    x = torch.full((1, 3), -1.0, dtype=torch.float64)
    converted = convert(capture(model, x), torch.cat([x, -x]), "burst", T=1, phi=4, thresholds="max")
    assert simulate(converted, x).mean(1).tolist() == [[-0.5, 0.0, -0.25]]


def test_slopes_are_kept_in_files(tmp_path: Path) -> None:
    x = seeded((4, 2, 5, 5)).double()
    graph = capture(network(*SLOPES), x)
    converted = convert(graph, x, "burst", T=4, phi=4)
    save(converted, tmp_path / "c.snn")
    (neuron,) = load(graph, tmp_path / "c.snn").neurons.values()
    assert neuron.slope == SLOPES


def test_slopes_stay_where_the_channels_of_a_prelu_are() -> None:
    """On axis 1, also where weights would put the channels on the last."""
    tokens = nn.Sequential(nn.Linear(4, 5), prelu(0.5, 0.25, 0.1)).double().eval()
    graph = capture(tokens, seeded((2, 3, 4)))
    (node,) = graph.firing
    assert graph.channel_axis(node) == 1 and graph.channels(node) == 3

    def folded(net: Any, x: Tensor) -> Tensor:
        return net.act(x.flatten(0, 1)).unflatten(0, (-1, 2))

    with pytest.raises(UnsupportedOp, match="has a slope for each channel, and its samples are not on its first axis"):
        capture(Net(folded, act=prelu(*SLOPES).double()).eval(), seeded((2, 2, 3)))
    assert math.isinf(graph.activation(node).ceiling) and packet(node) is torch.ops.aten.prelu
