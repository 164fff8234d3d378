"""The report of roles: what stays analog in a spiking network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from conversion import Calibration, SpikingNetwork
from conversion.report.layers import explain
from conversion.report.roles import roles
from tests.conversion.toys import Net, captured, captured_architecture, neurons, seeded, with_thresholds

IMAGES = seeded((75, 3, 6, 6))


def test_what_stays_analog_is_listed() -> None:
    graph, _ = captured_architecture("depthwise")
    # The convolutions of 4 and 8 channels have no activation in between: the second multiplies a current.
    found = {group.role: group for group in roles(with_thresholds(graph, 2, [1.0, 1.0, 1.0]))}
    assert found["constant"].ops == {"conv2d": 1}
    assert found["analog"].names == ("8",)
    assert found["linear"].names == ("3", "6")
    assert found["spiking"].ops == {"hardtanh": 3}
    assert list(found["readout"].ops)[-1] == "linear"
    assert sum(sum(group.ops.values()) for group in found.values()) == len(graph.body) - len(graph.output_encoders)


def test_nonlinear_operations_and_activations_without_neurons_are_listed() -> None:
    def function(net: Any, x: Tensor) -> Tensor:
        x = net.pool(net.one(x).relu())
        return net.three(net.two(x).relu()).relu()

    model = Net(
        function, one=nn.Conv2d(3, 4, 3), pool=nn.MaxPool2d(2), two=nn.Conv2d(4, 4, 1), three=nn.Conv2d(4, 2, 1)
    )
    graph = captured(model, IMAGES)
    first, second, third = graph.firing
    placed = neurons(graph, [1.0, 1.0, 1.0])
    network = SpikingNetwork(graph, 2).with_neurons({first: placed[first], third: replace(placed[third], signed=True)})
    found = {group.role: group.names for group in roles(network)}
    assert found["nonlinear"] == ("pool",)
    # A maximum of spikes passes spikes on; an activation without neurons does not.
    assert found["analog"] == ("two -> relu", "three")
    report = explain(network, Calibration(graph, IMAGES), samples=8)
    assert [layer.role for layer in report] == ["spiking", "analog", "signed"]
    assert report[1].errors is None and report[1].threshold is None
    assert second.name not in found["spiking"]
