"""Neurons between linear layers: where they go, what they change, and what stays as it is."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conversion import Calibration, ConversionGraph, InvalidInput, convert, load, make_method, save, simulate
from conversion.capture.between import encode_between
from conversion.methods import Burst, choose
from conversion.methods.auto import candidates
from conversion.report.layers import explain
from conversion.stages import EncodersBetween
from tests.conversion.toys import Net, captured, relative_error, seeded

IMAGES = seeded((12, 1, 4, 4)).abs()


def separable(net: Any, x: Tensor) -> Tensor:
    """A depthwise and a pointwise convolution with no activation between, as in ShuffleNetV2."""
    y: Tensor = net.pointwise(net.depthwise(net.stem(x).relu())).relu()
    return y.mean((2, 3))


def separable_graph() -> ConversionGraph:
    torch.manual_seed(0)
    parts = {
        "stem": nn.Conv2d(1, 2, 1), "depthwise": nn.Conv2d(2, 2, 3, padding=1, groups=2),
        "pointwise": nn.Conv2d(2, 3, 1),
    }  # fmt: skip
    for part in parts.values():
        assert part.bias is not None
        nn.init.uniform_(part.bias, 0.1, 0.3)
    return captured(Net(separable, **parts), IMAGES)


def encoders(graph: ConversionGraph) -> list[str]:
    """The nodes that encoders between linear layers read."""
    new = [node for node in encode_between(graph).firing if node.name.startswith("between_")]
    return [node.all_input_nodes[0].name for node in new]


def test_they_stand_before_weights_that_read_sums() -> None:
    graph = separable_graph()
    assert encoders(graph) == ["conv2d_1"]
    encoded = encode_between(graph)
    assert torch.equal(encoded.run(IMAGES), graph.run(IMAGES))
    assert len(encoded.firing) == len(graph.firing) + 1
    assert encode_between(graph) is encoded and encode_between(encoded) is encoded and encoded.origin is graph


def test_a_sum_goes_on_beside_its_encoder_and_readers_share_one() -> None:
    """As in a linear bottleneck: what is added to later is the sum itself."""

    def bottleneck(net: Any, x: Tensor) -> Tensor:
        low = net.reduce(net.stem(x).relu())
        out: Tensor = low + net.second(net.expand(low).relu()) + net.again(net.pool(low))
        return out

    parts = {
        "stem": nn.Conv2d(1, 4, 1), "reduce": nn.Conv2d(4, 2, 1), "expand": nn.Conv2d(2, 4, 1),
        "second": nn.Conv2d(4, 2, 1), "again": nn.Conv2d(2, 2, 1), "pool": nn.AvgPool2d(3, 1, 1),
    }  # fmt: skip
    graph = captured(Net(bottleneck, **parts), IMAGES)
    assert encoders(graph) == ["conv2d_1", "avg_pool2d"]
    first = next(node for node in encode_between(graph).firing if node.name == "between_conv2d_1")
    assert [user.name for user in first.users] == ["conv2d_2"]

    def twice(net: Any, x: Tensor) -> Tensor:
        low = net.reduce(net.stem(x).relu())
        out: Tensor = net.expand(low).relu() + net.other(low).relu()
        return out

    parts |= {"other": nn.Conv2d(2, 4, 1)}
    assert encoders(captured(Net(twice, **parts), IMAGES)) == ["conv2d_1"]


@pytest.mark.parametrize(
    "function",
    [
        lambda net, x: net.second(net.first(x)).relu(),  # Computed once, before the first neurons.
        lambda net, x: net.second(net.first(x).relu()).relu(),
        lambda net, x: net.second(net.first(x).relu()),
        lambda net, x: net.second((net.first(x).relu() + 1).mean((2, 3), keepdim=True)).relu(),
    ],
)
def test_networks_with_nothing_between_are_left_as_they_are(function: Any) -> None:
    graph = captured(Net(function, first=nn.Conv2d(1, 2, 1), second=nn.Conv2d(2, 2, 1)), IMAGES)
    assert encode_between(graph) is graph
    inputs = Calibration(graph, IMAGES)
    assert make_method("burst", phi=4, between=True).convert(graph, inputs, 2).graph is graph


def test_weights_then_read_spikes_alone() -> None:
    """Multiplications by hand: the stem once, 1 x 2 x 16; the pointwise convolution, 2 x 3 x 16, at every step."""
    graph, T = separable_graph(), 4
    without, with_encoder = (convert(graph, IMAGES, "burst", T=T, phi=4, between=between) for between in (False, True))
    for network, expected in ((without, 32 + T * 96), (with_encoder, 32)):
        counts = simulate(network, IMAGES).counts
        assert counts is not None
        assert counts.macs(T).tolist() == [expected] * len(IMAGES)
    encoder = next(node for node in with_encoder.neurons if node.name.startswith("between_"))
    assert (with_encoder.connectivity.fan_out[encoder] == 3).all()
    assert with_encoder.neurons[encoder].signed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "options", "T"), [("burst", {"phi": 4, "light": False}, 512), ("held", {"energy": 0.0, "exit": None}, 3)]
)
def test_the_network_still_approaches_the_ann(method: str, options: dict[str, Any], T: int) -> None:
    """Rate neurons err by a threshold over T, so some 1 / (phi T); of held values three bursts of 7 are left."""
    graph = separable_graph()
    network = convert(graph, IMAGES, method, T=T, between=True, **options)
    assert relative_error(simulate(network, IMAGES).mean(T), graph.run(IMAGES)) < 0.02


def test_a_stage_behind_neurons_is_refused() -> None:
    graph = separable_graph()
    network = convert(graph, IMAGES, "burst", T=2, phi=4)
    with pytest.raises(InvalidInput, match="make this the first stage"):
        EncodersBetween()(network, Calibration(graph, IMAGES))


def test_one_calibration_set_serves_both_graphs() -> None:
    graph = separable_graph()
    calibration = Calibration(graph, IMAGES, (IMAGES[:4], torch.zeros(4, dtype=torch.long)), seed=3)
    encoded = calibration.on(encode_between(graph))
    assert encoded is calibration.on(encode_between(graph)) and calibration.on(graph) is calibration
    assert encoded.seed == 3 and encoded.held_out is not None
    assert calibration.on(separable_graph()) is calibration
    network = Burst(phi=4, between=True).convert(graph, calibration, 2)
    assert len(explain(network, calibration)) == len(encode_between(graph).firing)


def test_both_graphs_move_together() -> None:
    for moved in (0, 1):
        graph = separable_graph()
        pair = (graph, encode_between(graph))
        pair[moved].to(torch.float32)
        assert [each.dtype for each in pair] == [torch.float32] * 2
        assert torch.equal(pair[0].run(IMAGES), pair[1].run(IMAGES))


def test_copies_pickles_and_files_keep_the_encoders(tmp_path: Path) -> None:
    graph = separable_graph()
    network = convert(graph, IMAGES, "burst", T=3, phi=4, between=True)
    expected = simulate(network, IMAGES).mean(3)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert other.graph.plain is not None
        assert torch.equal(simulate(other, IMAGES).mean(3), expected)
    save(network, tmp_path / "network.safetensors")
    for onto in (separable_graph(), encode_between(graph)):
        loaded = load(onto, tmp_path / "network.safetensors")
        assert torch.equal(simulate(loaded, IMAGES).mean(3), expected)
    save(convert(graph, IMAGES, "burst", T=3, phi=4), tmp_path / "plain.safetensors")
    assert load(encode_between(graph), tmp_path / "plain.safetensors").graph is graph


@pytest.mark.slow
def test_auto_tries_them_where_there_is_something_between() -> None:
    graph = separable_graph()
    choice = choose(graph, Calibration(graph, IMAGES), 4, error=0.5)
    tried = {trial.method.label: trial for trial in choice.trials}
    assert len([label for label in tried if "between=True" in label]) >= len(candidates("causal", graph)) / 2
    assert choice.best.share == min(trial.share for trial in choice.trials if trial.error <= 0.5)
