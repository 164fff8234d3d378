"""Method `qcfs`: the spikes of trained thresholds, what its paper proves, and other methods on such a network."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from adapters.images.qcfs import Qcfs
from conversion import Calibration, ConversionGraph, InvalidInput, SpikingNetwork, convert, simulate
from conversion.capture.qcfs import qcfs
from conversion.report.layers import explain
from conversion.simulation.neuron import Neuron
from conversion.simulation.transfer import mean_output
from tests.conversion.toys import Net, captured, randomise_norms, seeded

LEVELS = 4
IMAGES = 2 * seeded((6, 2, 8, 8))


def residual() -> nn.Module:
    """Two convolutions with batch norm, a shortcut, average pooling, three QCFS activations; the same each time."""
    torch.manual_seed(0)

    def function(net: Any, x: Tensor) -> Tensor:
        x = net.act1(net.norm1(net.conv1(x)))
        x = net.act3(x + net.norm2(net.conv2(net.act2(net.down(x)))))
        return net.head(net.pool(x).flatten(1))

    parts = {
        "conv1": nn.Conv2d(2, 6, 3, padding=1), "norm1": nn.BatchNorm2d(6), "act1": Qcfs(LEVELS, 0.9),
        "down": nn.Conv2d(6, 6, 1), "act2": Qcfs(LEVELS, 0.6), "conv2": nn.Conv2d(6, 6, 3, padding=1, bias=False),
        "norm2": nn.BatchNorm2d(6), "act3": Qcfs(LEVELS, 1.3), "pool": nn.AvgPool2d(4), "head": nn.Linear(24, 5),
    }  # fmt: skip
    return randomise_norms(Net(function, **parts)).double().eval()


@cache
def captured_residual() -> ConversionGraph:
    return captured(residual(), IMAGES)


@cache
def one_neuron() -> ConversionGraph:
    """Threshold 2, a current that the neuron gets as it is, and an output that is what it sends."""
    first, last = nn.Linear(1, 1), nn.Linear(1, 1)
    for layer in (first, last):
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    return captured(nn.Sequential(first, Qcfs(LEVELS, 2.0), last), torch.zeros(1, 1, dtype=torch.float64))


def sent(network: SpikingNetwork, x: Tensor) -> list[float]:
    """What one neuron sends at each step."""
    readout = simulate(network, x)
    totals = [float(t * readout.mean(t)) for t in range(1, network.T + 1)]
    return [round(after - before, 9) for before, after in zip([0.0, *totals], totals, strict=False)]


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        # Potentials in units of the threshold, from 1/2: 1.1 fires, 0.7, 1.3 fires, 0.9, 1.5 fires.
        (1.2, [2, 0, 2, 0, 2]),
        # 0.75, 1 fires (the threshold itself is enough), 0.25, 0.5, 0.75.
        (0.5, [0, 2, 0, 0, 0]),
        # Never more than one spike; the rest stays in the potential.
        (5.0, [2, 2, 2, 2, 2]),
        (-0.3, [0, 0, 0, 0, 0]),
    ],
)
def test_a_spike_train_by_hand(current: float, expected: list[float]) -> None:
    """Threshold 2: spikes of 2."""
    x = torch.tensor([[current]], dtype=torch.float64)
    assert sent(convert(one_neuron(), x, "qcfs", T=5), x) == expected


def only_neuron() -> Neuron:
    (neuron,) = convert(one_neuron(), torch.zeros(1, 1), "qcfs", T=3).neurons.values()
    return neuron


def test_neurons_are_those_of_the_paper() -> None:
    neuron = only_neuron()
    assert neuron.threshold.tolist() == [2]
    assert (neuron.phi, neuron.start, neuron.signed, neuron.potential) == (1, "potential", False, None)
    assert neuron.bias.tolist() == [0]


@pytest.mark.parametrize("levels", [1, 3, 4, 8])
def test_with_as_many_steps_as_levels_a_neuron_sends_what_the_activation_gives(levels: int) -> None:
    """Under a constant input, for every value of it."""
    x = torch.linspace(-0.4, 2.6, 257, dtype=torch.float64)[:, None]
    activation = qcfs(x, torch.tensor([2.0], dtype=torch.float64), levels)
    torch.testing.assert_close(mean_output(only_neuron(), x, levels, axis=1), activation, rtol=0, atol=1e-12)
    spiking = simulate(convert(one_neuron(), x, "qcfs", T=levels), x, at=[levels]).mean(levels)
    torch.testing.assert_close(spiking, activation, rtol=0, atol=1e-12)


@pytest.mark.parametrize("T", [1, 2, 3, 4, 7, 16])
@pytest.mark.parametrize("levels", [4, 8])
def test_the_expected_error_is_zero_for_any_number_of_steps(T: int, levels: int) -> None:
    """Proved by the paper for inputs that are spread evenly over 0..th; simulated, not by the transfer function.

    The inputs are the middles of 2 T L n intervals, so that none lies at the edge of a level.
    """
    parts = 2 * T * levels * 3
    x = 2.0 * (torch.arange(parts, dtype=torch.float64)[:, None] + 0.5) / parts
    spiking = simulate(convert(one_neuron(), x, "qcfs", T=T), x, at=[T]).mean(T)
    activation = qcfs(x, torch.tensor([2.0], dtype=torch.float64), levels)
    assert float((spiking - activation).mean()) == pytest.approx(0, abs=1e-12)
    # Single errors are not zero, unless T and L are the same.
    assert bool((spiking - activation).abs().max() > 0.1) == (levels != T)


@torch.no_grad()
def test_a_small_network_against_a_simulation_of_a_few_lines() -> None:
    """Independent: the modules themselves, with their QCFS activations replaced by neurons of three lines."""
    T, graph = 7, captured_residual()
    readout = simulate(convert(graph, IMAGES, "qcfs", T=T), IMAGES)
    assert readout.counts is not None

    fired: dict[nn.Module, Tensor] = {}

    class Fire(nn.Module):
        def __init__(self, threshold: Tensor) -> None:
            super().__init__()
            self.threshold = threshold
            self.potential = threshold / 2

        def forward(self, current: Tensor) -> Tensor:
            self.potential = self.potential + current
            spike = (self.potential >= self.threshold).double()
            self.potential = self.potential - spike * self.threshold
            fired[self] = fired.get(self, torch.zeros(1)) + spike.flatten(1).sum(1)
            return spike * self.threshold

    model = residual()
    for name in ("act1", "act2", "act3"):
        setattr(model, name, Fire(getattr(model, name).thresh.detach()))
    total = torch.zeros(len(IMAGES), 5, dtype=torch.float64)
    for t in range(1, T + 1):
        total += model(IMAGES)
        torch.testing.assert_close(readout.mean(t), total / t, rtol=0, atol=1e-10)
    assert [spikes.tolist() for spikes in fired.values()] == readout.counts.tally[:, -1, :, 0].tolist()
    assert all(spikes.min() > 0 for spikes in fired.values())


def test_a_network_with_another_activation_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), Qcfs(LEVELS), nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Flatten()).double().eval()
    graph = captured(model, IMAGES)
    with pytest.raises(InvalidInput, match=r"aten\.relu\.default at .* was not trained to be converted; .* Train one"):
        convert(graph, IMAGES, "qcfs", T=4)


# --------------------------------------------------------------------------------- other methods on such a network


def test_statistics_are_those_of_the_quantised_activation() -> None:
    graph = captured_residual()
    seen: dict[Any, Tensor] = {}
    graph.run(IMAGES, observe=seen.__setitem__)
    for node, histogram in Calibration(graph, IMAGES).histograms.items():
        torch.testing.assert_close(histogram.mean, seen[node].mean((0, 2, 3)), rtol=0, atol=1e-12)
        assert histogram.maximum.max() <= graph.activation(node).ceiling + 1e-12


@torch.no_grad()
@pytest.mark.parametrize("T", [1, 2])
def test_a_burst_network_with_the_levels_of_the_activations_is_the_ann(T: int) -> None:
    """T phi = L, the layer's maximum is the threshold of its activation, and the twin has no error due to time."""
    graph = captured_residual()
    options: dict[str, Any] = {"thresholds": "max", "channelwise": False, "light": False, "phi": LEVELS // T}
    twin = convert(graph, IMAGES, "quantised_ann", T=T, **options)
    torch.testing.assert_close(simulate(twin, IMAGES).mean(1), graph.run(IMAGES), rtol=0, atol=1e-10)
    burst = convert(graph, IMAGES, "burst", T=T, **options)
    for node, neuron in burst.neurons.items():
        assert float(neuron.threshold * neuron.phi) == pytest.approx(graph.activation(node).ceiling)


@pytest.mark.parametrize("method", ["calibration", "burst"])
def test_calibrated_thresholds_stay_below_that_of_the_activation(method: str) -> None:
    graph = captured_residual()
    options: dict[str, Any] = {"phi": 2} if method == "burst" else {}
    network = convert(graph, IMAGES, method, T=8, **options)
    for node, neuron in network.neurons.items():
        assert float(neuron.threshold.max() * neuron.phi) <= graph.activation(node).ceiling + 1e-12


def test_with_as_many_steps_as_levels_the_first_layer_has_no_error() -> None:
    """The report compares with the quantised activation; later layers err because their currents are uneven."""
    graph = captured_residual()
    calibration = Calibration(graph, IMAGES)
    first, *later = explain(convert(graph, IMAGES, "qcfs", T=LEVELS), calibration)
    assert first.errors is not None
    assert max(getattr(first.errors, part).rms for part in ("inherited", "own")) < 1e-12
    assert all(layer.errors is not None and layer.errors.unevenness.rms > 0 for layer in later)
    assert all(layer.errors is not None and layer.errors.quantisation.rms < 1e-12 for layer in later)
