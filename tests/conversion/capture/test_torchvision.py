"""Networks as the field uses them, captured and converted at their full depth, max-pooling included."""

from __future__ import annotations

from functools import cache

import pytest
import torch
import torchvision.models as published
from torch import nn
from torchvision.models import vgg

from benchmarks.performance.models import settled
from conversion import ConversionGraph, capture, convert, simulate
from tests.conversion.toys import randomise_norms, relative_error, seeded

pytestmark = pytest.mark.slow

# In float64 no kernel rounds coarsely enough to move a spike across its threshold: all processors give the same spikes.
IMAGES = seeded((4, 3, 32, 32))
# VGG has a quarter of its channels, and hidden layers of 64: it is by far the widest.
ACTIVATIONS = {"vgg16_bn": 15, "resnet34": 33, "mobilenet_v2": 35, "squeezenet1_1": 26}


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module
    if name == "vgg16_bn":
        widths: list[str | int] = [width if isinstance(width, str) else width // 4 for width in vgg.cfgs["D"]]
        model = vgg.VGG(vgg.make_layers(widths, batch_norm=True))
        model.avgpool = nn.AdaptiveAvgPool2d(1)
        model.classifier = nn.Sequential(
            nn.Linear(128, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 64), nn.ReLU(True), nn.Dropout(),
            nn.Linear(64, 10),
        )  # fmt: skip
    else:
        model = getattr(published, name)(num_classes=10)
    return settled(randomise_norms(model).double(), seeded((16, 3, 32, 32), seed=1))[0]


@cache
def published_network(name: str) -> tuple[nn.Module, ConversionGraph]:
    model = build(name)
    return model, capture(model, IMAGES[:1])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_captured_graph_equals_the_module(name: str) -> None:
    model, graph = published_network(name)
    with torch.no_grad():
        expected = model(IMAGES)
    # Rounding of 1e-16 that depth magnifies; a term that folding forgot is larger than the values themselves.
    assert relative_error(graph.run(IMAGES), expected) < 1e-11
    assert len(graph.firing) == ACTIVATIONS[name]
    # Every batch norm was folded: nothing is left of it but convolutions.
    assert not [node for node in graph.body if "batch_norm" in str(node.target) or "mul" in str(node.target)]


@pytest.mark.parametrize("name", ["vgg16_bn", "resnet34", "mobilenet_v2"])
def test_converted_network_approaches_the_ann(name: str) -> None:
    """The error of the outputs falls as T grows, each T its own conversion with phi = 16.

    Not from T = 1 to 2: one step has no order of spikes to go wrong, so all its error is rounding. Over seeds of the
    weights and inputs (three to four of each network) the error at T = 24 is exp(-2.58 +- 0.25), each fall from T to T
    a factor of exp(0.75 +- 0.15): the bounds are three to four standard deviations away.
    """
    model, graph = published_network(name)
    with torch.no_grad():
        ann = model(IMAGES)
    errors = []
    for T in (2, 8, 24):
        # The search of least squared error takes most of the time and is tested elsewhere.
        network = convert(graph, IMAGES, "burst", T=T, phi=16, thresholds="max")
        output = simulate(network, IMAGES, at=[T], count=False).mean(T)
        # What all samples share is easy, their differences are what a network is for.
        errors.append(relative_error(output - output.mean(0), ann - ann.mean(0)))
    assert errors[0] > 1.4 * errors[1] > 1.4**2 * errors[2]
    assert errors[2] < 0.2
