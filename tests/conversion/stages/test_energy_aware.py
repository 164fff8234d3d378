"""Thresholds that weigh error against energy: brute force, monotony, prices."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from conversion.calibration.histogram import ChannelHistogram
from conversion.calibration.thresholds import choose_threshold
from conversion.counting.fanout import connect
from conversion.stages import EnergyAwareThresholds
from conversion.stages.energy_aware import candidates, relative_fan_out
from tests.conversion.toys import captured, captured_architecture, seeded

# ---------------------------------------------------------------------------------------------- energy-aware thresholds


def rectified(channels: int = 4, seed: int = 0) -> ChannelHistogram:
    found = ChannelHistogram(channels)
    scale = torch.linspace(0.2, 3, channels, dtype=torch.float64)
    found.add((seeded((4000, channels), seed) * scale).relu(), 1)
    return found


@pytest.mark.parametrize(("T", "phi"), [(1, 15), (2, 8), (4, 1), (8, 2)])
def test_without_a_price_thresholds_are_those_of_least_error(T: int, phi: int) -> None:
    found = EnergyAwareThresholds(0.0, phi).threshold(rectified(), torch.ones(4, dtype=torch.float64), T)
    assert torch.equal(found, choose_threshold(rectified(), "mse", T, phi, channelwise=True))


def test_energy_aware_thresholds_equal_brute_force() -> None:
    """MSE(V) / E[a^2] + energy price E[spikes], on the raw activations of three channels; within 1 % of the least."""
    T, phi, energy = 2, 4, 0.1
    values = (seeded((3000, 3)) * torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64)).relu()
    price = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    histogram = ChannelHistogram(3)
    histogram.add(values, 1)
    found = EnergyAwareThresholds(energy, phi).threshold(histogram, price, T)
    for channel, a in enumerate(values.T):
        grid = a.max() * candidates(T, phi)
        costs = []
        for V in [*grid, found[channel]]:
            level = torch.floor(a * T / V + 0.5).clamp(0, T * phi)
            error = ((level * V / T - a) ** 2).mean() / values.square().mean()
            costs.append(float(error + energy * price[channel] * level.mean()))
        assert costs[-1] < 1.01 * min(costs)


@pytest.mark.slow
@settings(max_examples=30)
@given(
    low=st.floats(0, 1), more=st.floats(0, 10), T=st.integers(1, 4), phi=st.integers(1, 8), seed=st.integers(0, 9)
)  # fmt: skip
def test_a_higher_price_never_buys_more_spikes(low: float, more: float, T: int, phi: int, seed: int) -> None:
    """Whatever the distribution: if V is best at one price and V' at a higher, V' fires no more."""
    histogram, price = rectified(seed=seed), torch.ones(4, dtype=torch.float64)
    fired = []
    for energy in (low, low + more):
        V = EnergyAwareThresholds(energy, phi).threshold(histogram, price, T)[:, None]
        level = torch.floor(histogram.centres * T / V + 0.5).clamp(0, T * phi)
        fired.append((level * histogram.counts).sum(1))
    assert bool((fired[1] <= fired[0]).all())


def test_at_any_price_silence_can_be_chosen() -> None:
    """V beyond 2 T max: half a threshold and T times the largest activation stay below it."""
    histogram = rectified()
    for T, phi in ((1, 1), (4, 8)):
        V = EnergyAwareThresholds(1e6, phi).threshold(histogram, torch.ones(4, dtype=torch.float64), T)
        assert bool((V / 2 + T * histogram.maximum < V).all())


def test_dead_channels_and_layers_have_safe_thresholds() -> None:
    values = seeded((500, 3)).relu()
    values[:, 1] = 0
    histogram = ChannelHistogram(3)
    histogram.add(values, 1)
    price = torch.ones(3, dtype=torch.float64)
    found = EnergyAwareThresholds().threshold(histogram, price, 2)
    assert found[1] == found.max()
    dead = ChannelHistogram(3)
    dead.add(torch.zeros(5, 3), 1)
    assert EnergyAwareThresholds().threshold(dead, price, 2).tolist() == [1, 1, 1]


def test_prices_are_fan_outs_over_their_mean() -> None:
    """A 1 x 1 convolution to 5 channels, then one to 3: each neuron meets 5, then 3 weights; their mean is 4."""
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 5, 1), nn.ReLU(), nn.Conv2d(5, 3, 1))
    graph = captured(model, seeded((2, 2, 3, 3)))
    prices = relative_fan_out(graph)
    assert [prices[node].tolist() for node in graph.firing] == [[5 / 4] * 4, [3 / 4] * 5]


def test_prices_of_a_linear_layer_are_by_feature() -> None:
    graph, _ = captured_architecture("linear")
    fan_out = connect(graph, graph.firing).fan_out
    for node, price in relative_fan_out(graph).items():
        assert price.shape == fan_out[node].shape
