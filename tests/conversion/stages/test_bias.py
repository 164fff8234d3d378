"""Light calibration with compiled neurons."""

from __future__ import annotations

import shutil

import pytest
import torch

from conversion import Calibration, SpikingNetwork, convert
from conversion.simulation import compiling
from conversion.stages import BiasCorrection
from conversion.stages.base import compiles
from tests.conversion.toys import captured_architecture

pytestmark = pytest.mark.slow

T = 4


def uncorrected(name: str) -> tuple[SpikingNetwork, Calibration]:
    graph, x = captured_architecture(name, samples=6)
    return convert(graph, x, "burst", T=T, phi=3, light=False), Calibration(graph, x)


def test_neurons_are_compiled_from_enough_updates_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every neuron, at every step of every sample, once to find the error and once corrected."""
    network, calibration = uncorrected("plain")
    neurons = sum(fan_out.numel() for fan_out in network.connectivity.fan_out.values())
    monkeypatch.setattr(compiling, "_can_compile", lambda: True)
    for enough, expected in ((2 * 6 * T * neurons, True), (2 * 6 * T * neurons + 1, False)):
        monkeypatch.setattr(compiling, "WORTH_COMPILING", enough)
        assert compiles(network, calibration) is expected


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_compiled_neurons_are_corrected_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    network, calibration = uncorrected("residual")
    plain = BiasCorrection()(network, calibration)
    monkeypatch.setattr(compiling, "WORTH_COMPILING", 1)
    assert compiles(network, calibration)
    fast = BiasCorrection()(network, calibration)
    for node, neuron in plain.neurons.items():
        assert not torch.equal(neuron.bias, network.neurons[node].bias)
        assert torch.equal(neuron.bias, fast.neurons[node].bias)
