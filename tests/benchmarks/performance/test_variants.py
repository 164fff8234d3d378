"""Variants of codes: what they change, and the figures that they are compared by."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.performance.variants import VARIANTS, Refitted, SomeWait, alike, compared, method
from conversion import Calibration, SpikingNetwork, capture
from conversion.codes import OneHot, Phase
from conversion.stages import CodedNeurons

T = 4


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 5),
    )  # fmt: skip
    inputs = torch.randn(64, 3, 8, 8)
    return Calibration(capture(model.eval(), inputs[:1]), inputs)


def test_the_ann_is_like_itself(calibration: Calibration) -> None:
    same, divergence, distance, energy = compared(SpikingNetwork(calibration.graph, 1), calibration)
    assert (same, energy) == (100, 100) and divergence == pytest.approx(0, abs=1e-9) and distance == 0


def test_refitted_weights_make_up_for_coarse_codes(calibration: Calibration) -> None:
    """On the samples that they are fitted to, with six amplitudes an octave apart."""
    start, coarse = SpikingNetwork(calibration.graph, T), CodedNeurons(Phase(1, 1), "window")
    plain, refitted = coarse(start, calibration), Refitted(coarse)(start, calibration)
    assert len(refitted.weights) == 2  # Of the convolutions behind neurons.
    assert compared(refitted, calibration)[2] < 0.9 * compared(plain, calibration)[2]


def test_some_layers_wait(calibration: Calibration) -> None:
    stage = SomeWait(OneHot(4), waits=lambda place: place > 0.4)
    network = stage(SpikingNetwork(calibration.graph, 2), calibration)
    assert [neuron.wait for neuron in network.neurons.values()] == [0, 1, 1]


def test_layers_alike_have_no_influence_of_their_own(calibration: Calibration) -> None:
    convert = method("sigma_delta", 2, energy=0.5)
    graph = calibration.graph
    found, plain = (variant(graph, calibration) for variant in (convert, alike(convert)))
    assert any(not torch.equal(found.neurons[node].threshold, plain.neurons[node].threshold) for node in graph.firing)
    assert calibration.influences != dict.fromkeys(graph.firing, 1.0)


def test_variants_have_a_method_to_compare_with() -> None:
    names = list(VARIANTS)
    for name in names:
        assert name.split(",")[0] in names[: names.index(name) + 1]
