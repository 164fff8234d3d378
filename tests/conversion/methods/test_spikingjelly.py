"""Robustnorm and ltb against SpikingJelly's recipes, spike for spike.

Both compute in float64, SpikingJelly in units of the threshold and we in those of the ANN. So they round differently,
by parts in 10^15, and agree wherever no potential is that near to a threshold; the tests demand parts in 10^9.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from spikingjelly.activation_based import ann2snn, functional
from spikingjelly.activation_based.neuron import BaseNode
from torch import Tensor, fx, nn

from conversion import Calibration, ConversionGraph, SpikingNetwork, simulate
from conversion.capture.channels import per_neuron
from conversion.methods import make_method
from conversion.simulation.neuron import Layer
from conversion.simulation.schedules import TimeSeries, sweep
from conversion.stages import DelayedReadout
from tests.conversion.toys import captured, randomise_norms, seeded

T = 12


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """SpikingJelly keeps its scales in torch's default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return randomise_norms(
            nn.Sequential(
                nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 6, 3, stride=2, bias=False),
                nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 7), nn.ReLU(),
                nn.Linear(7, 4),
            )
        ).eval()  # fmt: skip


BATCHES, X = seeded((3, 20, 2, 6, 6)), seeded((9, 2, 6, 6), seed=1)


def theirs(converted: nn.Module) -> tuple[list[Tensor], Tensor]:
    """Spikes of each layer, shape (T, N, ...), and logits of every step."""
    spikes: dict[nn.Module, list[Tensor]] = {}

    def record(module: Any, inputs: Any, output: Tensor) -> None:
        spikes.setdefault(module, []).append(output)
        # What the potential was before the spike, in thresholds.
        assert float((module.v + output - 1).abs().min()) > 1e-9

    for module in converted.modules():
        if isinstance(module, BaseNode):
            module.register_forward_hook(record)
    functional.reset_net(converted)
    with torch.no_grad():
        logits = torch.stack([converted(X) for _ in range(T)])
    return [torch.stack(train) for train in spikes.values()], logits


def ours(converted: SpikingNetwork) -> list[Tensor]:
    """Spikes of each layer, shape (T, N, ...)."""
    spikes: list[Tensor] = []

    def spike(node: fx.Node, currents: TimeSeries) -> TimeSeries:
        neuron, axis = converted.neurons[node], converted.graph.channel_axis(node)
        layer = Layer(neuron, T, axis)
        train = [layer.step(current)[0] for current in currents[0]]
        spikes.append(torch.stack(train) / per_neuron(neuron.threshold, axis, train[0].dim()))
        return [train]

    with torch.no_grad():
        sweep(converted, [[X]], T, spike)
    return spikes


def same_spikes(converted: SpikingNetwork, other: nn.Module) -> Tensor:
    """Demands the same spikes of both; returns the logits of every step of the other."""
    trains, logits = theirs(other)
    assert len(trains) == len(converted.neurons) == 3
    for mine, their in zip(ours(converted), trains, strict=True):
        assert torch.equal(mine.round(), their)
        assert 0.02 < float(their.mean()) < 0.9
    return logits


def calibrated() -> tuple[ConversionGraph, Calibration]:
    graph = captured(network(), X)
    return graph, Calibration(graph, list(BATCHES))


@pytest.mark.slow
@pytest.mark.parametrize(("statistic", "mode"), [("quantile", "99.9%"), ("maximum", "Max")])
def test_robustnorm(statistic: str, mode: str) -> None:
    graph, calibration = calibrated()
    converted = make_method("robustnorm", statistic=statistic, batch=20).convert(graph, calibration, T)
    other = ann2snn.Converter(ann2snn.RateCodingRecipe(dataloader=BATCHES, mode=mode)).convert(network())
    logits = same_spikes(converted, other)
    torch.testing.assert_close(simulate(converted, X).mean(T), logits.mean(0), rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore:estimate_delay_start")
def test_ltb_with_its_delayed_readout() -> None:
    graph, calibration = calibrated()
    rounds = [*BATCHES] * 8
    method = make_method("ltb", rounds=len(rounds), batch=20)
    converted = method.convert(graph, calibration, T)
    other = ann2snn.Converter(ann2snn.LocalThresholdBalancingRecipe(dataloader=rounds)).convert(network())
    logits = same_spikes(converted, other)

    def start(steps: int) -> int:
        return int(ann2snn.estimate_delay_start(other, rounds, "cpu", steps))

    assert DelayedReadout(20).delay(converted, calibration) > 1
    for steps in range(1, 40):
        delayed = DelayedReadout(20)(SpikingNetwork(graph, steps, converted.neurons), calibration)
        assert delayed.readout_start == start(steps)
    assert 0 < converted.readout_start == start(T) < T - 4
    torch.testing.assert_close(simulate(converted, X).mean(T), logits[start(T) :].mean(0), rtol=0, atol=1e-12)
