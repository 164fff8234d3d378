"""Accumulations of two linear layers with neurons between, and of one composed layer, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.performance.pairs import pairs
from conversion import capture, convert


def test_a_depthwise_and_a_pointwise_layer() -> None:
    """Of 4 x 4 places in a frame of zeros a 3 x 3 kernel reads 100, 6.25 for each; a composed one for 5 outputs."""
    torch.manual_seed(0)
    depthwise, pointwise = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 5, 1)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 1), nn.ReLU(), depthwise, pointwise, nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)
    )
    images = torch.rand(4, 2, 4, 4)
    converted = convert(capture(network.eval(), images), images, "burst", T=2, phi=4, signed=True, between=True)
    first, between, _ = converted.graph.firing
    (pair,) = pairs(converted, {first.name: 100.0, between.name: 40.0})
    assert (pair.first, pair.first_fan, pair.second_fan, pair.composed_fan) == ("2", 6.25, 5.0, 31.25)
    assert (pair.apart, pair.composed) == (100 * 6.25 + 40 * 5, 3125)
    # (k x k) (1 - 1 / O), where borders make 6.25 of 9.
    assert pair.worthwhile == pytest.approx(6.25 * (1 - 1 / 5))


def test_a_bottleneck_that_is_widened_again() -> None:
    """B = 2 channels between 6 and 12: 1 - B / O."""
    torch.manual_seed(0)
    head = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(48, 3))
    network = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 2, 1), nn.Conv2d(2, 12, 1), head)
    images = torch.rand(4, 3, 2, 2)
    converted = convert(capture(network.eval(), images), images, "burst", T=2, phi=4, signed=True, between=True)
    first, between, _ = converted.graph.firing
    (pair,) = pairs(converted, {first.name: 1.0, between.name: 1.0})
    assert (pair.first_fan, pair.second_fan, pair.composed_fan) == (2.0, 12.0, 12.0)
    assert pair.worthwhile == pytest.approx(1 - 2 / 12)
