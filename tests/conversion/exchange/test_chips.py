"""Reasons why networks do not fit a chip of convolution cores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from conversion.exchange.chips import Limits, reasons_against
from tests.conversion.toys import Net, captured, seeded, with_thresholds


def _network(model: nn.Module, shape: tuple[int, ...], **options: Any) -> Any:
    graph = captured(model, seeded((1, *shape)))
    return with_thresholds(graph, 4, [1.0] * len(graph.firing), **options)


def test_a_network_of_a_few_plain_convolutions_fits() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 4, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(4, 3),
    )  # fmt: skip
    assert reasons_against(_network(model, (2, 8, 8))) == []


def test_every_limit_is_a_reason_by_the_name_of_its_layer() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 17, padding=8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, stride=3, dilation=2),
        nn.ReLU(), nn.Conv2d(4, 9, 1), nn.ReLU(),
    )  # fmt: skip
    network = _network(model, (2, 16, 16), phi=4)
    found = {(reason.layer, reason.needs) for reason in reasons_against(network, Limits(cores=2, features=8))}
    assert found == {
        ("the network", "3 layers of weights"), ("0", "a kernel of 17 x 17"), ("3", "a stride of 3"),
        ("3", "a dilated kernel"), ("5", "9 output channels"), ("2", "an operation that is not linear"),
        ("0 -> 1", "bursts of up to 4 spikes"), ("3 -> 4", "bursts of up to 4 spikes"),
        ("5 -> 6", "bursts of up to 4 spikes"),
    }  # fmt: skip


def test_a_layer_that_three_others_read_has_too_many_destinations() -> None:
    def function(net: Any, x: Tensor) -> Tensor:
        x = net.a(x).relu()
        return (net.b(x).relu() + net.c(x).relu() + net.d(x).relu()).flatten(1)

    model = Net(function, **{name: nn.Conv2d(2, 2, 1) for name in "abcd"})
    reasons = reasons_against(_network(model, (2, 4, 4)))
    assert [(reason.needs, reason.limit) for reason in reasons] == [("3 layers that it sends to", "at most 2")]


def test_analog_activations_and_negative_spikes_are_reasons() -> None:
    network = _network(nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.ReLU()), (2, 4, 4))
    first, second = network.neurons
    signed = replace(network.neurons[first], signed=True, threshold=torch.ones(1))
    found = {reason.needs for reason in reasons_against(network.with_neurons({first: signed}))}
    assert second is not first and found == {"negative spikes", "analog values"}


def test_weights_behind_weights_and_values_that_are_moved_are_reasons() -> None:
    def function(net: Any, x: Tensor) -> Tensor:
        x = net.pointwise(net.depthwise(net.first(x).relu())).relu()
        return net.last(nn.functional.interpolate(x[:, [1, 0]], scale_factor=2)).flatten(1)

    model = Net(
        function, first=nn.Conv2d(2, 2, 1), depthwise=nn.Conv2d(2, 2, 3, groups=2), pointwise=nn.Conv2d(2, 2, 1),
        last=nn.Conv2d(2, 2, 1),
    )  # fmt: skip
    found = {(reason.layer, reason.needs) for reason in reasons_against(_network(model, (2, 6, 6)))}
    assert ("pointwise", "the analog values of 'depthwise'") in found and len(found) == 3
    assert {needs for _, needs in found if needs.startswith("the operation")} == {
        "the operation index", "the operation upsample_nearest2d",
    }  # fmt: skip
