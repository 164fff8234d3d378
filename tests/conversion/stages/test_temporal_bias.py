"""A bias for each channel and step: as published by the error of the step, and by that of all steps so far."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from conversion import Calibration, convert, simulate
from conversion.simulation.neuron import Layer, Neuron, Start
from conversion.stages import StepBias, TemporalBias
from tests.conversion.stages.test_corrections import identity, only, open_graph, sent_by
from tests.conversion.toys import (
    seeded,
    with_thresholds,
)

pytestmark = pytest.mark.slow


def test_each_step_has_its_bias_and_the_last_stays() -> None:
    """V = 1, v(0) = 1/2, current 1/8, biases 3/8, 0, 1/2, then 1/2: 1 fires | 1/8 | 6/8 | 11/8 fires | 1 fires."""
    biases = torch.tensor([[0.375], [0.0], [0.5]])
    assert sent_by(Neuron(torch.ones(1), 1, biases), [0.125] * 5, T=3) == [1, 0, 0, 1, 1]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("start", ["potential", "shift", "none"])
def test_equal_biases_are_one_bias(start: Start, signed: bool) -> None:
    currents = seeded((6, 3, 4, 5))
    bias = torch.tensor([0.1, -0.2, 0.0, 0.3])
    one = Neuron(torch.full((4,), 0.7), 2, bias, start, signed)
    rows = replace(one, bias=bias.expand(4, 4))
    for first, second in zip(_train(one, currents), _train(rows, currents), strict=True):
        assert torch.equal(first, second)


def _train(neuron: Neuron, currents: Tensor) -> list[Tensor]:
    layer = Layer(neuron, 4, axis=1)
    return [layer.step(current)[0] for current in currents]


def test_bias_of_each_step_by_hand() -> None:
    """One current of 1/4, V = 1, rate 1, one pass; the ANN sends 1/4. b_t <- 1/4 - mean of what was sent up to t.

    t = 1: v = 3/4 is silent, so b = 1/4 and v = 1 fires. t = 2: v = 1/4 is silent, the mean is 1/2, so b = -1/4 and
    v = 0. t = 3: silent, mean 1/3, b = -1/12. t = 4: silent, mean 1/4, b = 0.
    """
    x = torch.full((1, 1), 0.25, dtype=torch.float64)
    graph = identity(x)
    network = TemporalBias(rate=1.0, passes=1)(with_thresholds(graph, 4, [1.0]), Calibration(graph, x))
    assert only(network).bias.flatten().tolist() == pytest.approx([1 / 4, -1 / 4, -1 / 12, 0])
    assert [float(simulate(network, x).mean(t)) * t for t in (1, 2, 3, 4)] == [1, 1, 1, 1]


def test_published_bias_of_each_step_by_hand() -> None:
    """The same current, threshold and rate: b_t <- 1/4 - what was sent at t, and what was sent before is forgotten.

    t = 1: v = 3/4 is silent, so b = 1/4 and v = 1 fires. t = 2: v = 1/4 is silent, so b = 1/4 and v = 1/2. t = 3: v =
    3/4 is silent, so b = 1/4 and v = 1 fires. t = 4: as t = 2. Two spikes, where the ANN's activation is worth one.
    """
    x = torch.full((1, 1), 0.25, dtype=torch.float64)
    graph = identity(x)
    network = StepBias(rate=1.0, passes=1)(with_thresholds(graph, 4, [1.0]), Calibration(graph, x))
    assert only(network).bias.flatten().tolist() == [1 / 4] * 4
    assert [float(simulate(network, x).mean(t)) * t for t in (1, 2, 3, 4)] == [1, 1, 2, 2]


def test_published_bias_goes_from_batch_to_batch() -> None:
    """32 samples of 1/4, then 32 of 3/4, V = 1, T = 1, rate 1/2: the second batch starts from the bias of the first.

    First batch: silent, b = 1/8, v = 7/8 is silent. Second: v = 1/2 + 3/4 + 1/8 fires, so b = 1/8 + (3/4 - 1) / 2 = 0.
    Pooled, the mean error is zero (1/2 - 1/2), and no bias would change.
    """
    x = torch.tensor([0.25] * 32 + [0.75] * 32, dtype=torch.float64)[:, None]
    graph = identity(x)
    calibration = Calibration(graph, x)
    plain = with_thresholds(graph, 1, [1.0])
    assert only(StepBias(0.5, 1)(plain, Calibration(graph, x[:32]))).bias.tolist() == [[1 / 8]]
    assert only(StepBias(0.5, 1)(plain, calibration)).bias.tolist() == [[0]]
    # Again: the first batch fires now, after 1/8 and 1/4 in two more passes.
    assert only(StepBias(0.5, 2)(plain, Calibration(graph, x[:32]))).bias.tolist() == [[1 / 4]]


@pytest.mark.parametrize("signed", [False, True])
def test_published_bias_brings_every_step_closer(signed: bool) -> None:
    """FTBC's property: the mean deviation of each step from the ANN, by channel and layer, shrinks."""
    graph, x = open_graph(64)
    plain = convert(graph, x, "burst", T=4, phi=1, signed=signed, light=False)
    corrected = StepBias()(plain, Calibration(graph, x))
    ann = graph.run(x)
    before, after = (simulate(network, x, count=False) for network in (plain, corrected))
    for layer in range(len(graph.firing)):
        deviations = []
        for run in (before, after):
            sums = [t * run.mean(t)[layer] if t else 0 for t in range(5)]
            steps = [(now - earlier - ann[layer]).mean((0, 2, 3)) for earlier, now in itertools.pairwise(sums)]
            deviations.append(float(torch.stack(steps).abs().mean()))
        assert deviations[1] < 0.5 * deviations[0]


@pytest.mark.parametrize("signed", [False, True])
def test_bias_of_each_step_brings_every_running_mean_closer(signed: bool) -> None:
    """Mean deviation from the ANN by channel, in every layer and at every t, before and after."""
    graph, x = open_graph(60)
    plain = convert(graph, x, "burst", T=4, phi=1, signed=signed, light=False)
    corrected = TemporalBias(passes=8)(plain, Calibration(graph, x))
    before, after = simulate(plain, x, count=False), simulate(corrected, x, count=False)
    ann = graph.run(x)
    for layer, node in enumerate(graph.firing):
        assert corrected.neurons[node].bias.shape == (4, 6)
        for t in (1, 2, 3, 4):
            deviation = [
                float((run.mean(t)[layer] - ann[layer]).mean((0, 2, 3)).abs().mean()) for run in (before, after)
            ]
            assert deviation[1] < 0.8 * deviation[0]
