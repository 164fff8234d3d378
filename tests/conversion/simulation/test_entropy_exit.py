"""IAT: the entropy score, the bars, and samples that really leave."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from conversion import InvalidInput, SpikingNetwork, convert, simulate
from conversion.calibration.statistics import Calibration
from conversion.simulation.exit_rules import EntropyRule, entropy_rule, normalised_entropy, position_entropy
from conversion.stages import EarlyExit, Thresholds
from tests.conversion.toys import (
    ARCHITECTURES,
    Net,
    captured,
    captured_architecture,
    seeded,
    with_thresholds,
)

EVERY = pytest.mark.parametrize("name", ARCHITECTURES)
T = 6


@cache
def burst(name: str) -> tuple[SpikingNetwork, Tensor]:
    graph, x = captured_architecture(name)
    return convert(graph, x, "burst", T=T, phi=2), x


def test_entropy_by_hand() -> None:
    """Equal classes give 1, a certain one 0; three to one in two classes 0.811 bits, and the sum sharpens with t."""
    certain = torch.tensor([[0.0, 0.0], [1000.0, 0.0], [math.log(3), 0.0]], dtype=torch.float64)
    torch.testing.assert_close(normalised_entropy(certain, 1), torch.tensor([1.0, 0.0, 0.8112781244591328]).double())
    # Two steps of the same logits: nine to one.
    expected = -(0.9 * math.log2(0.9) + 0.1 * math.log2(0.1))
    assert float(normalised_entropy(certain[2:], 2)) == pytest.approx(expected)


@given(st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=1, max_size=4), st.integers(1, 64))
def test_entropy_is_finite_and_between_zero_and_one(logits: list[list[float]], t: int) -> None:
    entropy = normalised_entropy(torch.tensor(logits, dtype=torch.float64), t)
    assert bool(((entropy >= 0) & (entropy <= 1 + 1e-12)).all())


def test_bars_by_hand_in_both_readings() -> None:
    """Falling entropy raises the bar as the code reads it, up to base + scale; the paper's text lowers it."""
    code = entropy_rule([0.5, 0.3, 0.1], base=0.6, scale=0.4, delta=0.5).alpha
    assert code == pytest.approx((0.6 + 0.4 * math.exp(-0.8), 0.6 + 0.4 * math.exp(-0.4), 1.0))
    text = entropy_rule([0.5, 0.3, 0.1], base=0.6, scale=0.4, delta=0.5, sign="paper_text").alpha
    assert text == pytest.approx(code[::-1])


@pytest.mark.slow
@EVERY
def test_bars_never_reached_equal_fixed_steps(name: str) -> None:
    network, x = burst(name)
    fixed, patient = simulate(network, x), simulate(replace(network, exit=EntropyRule((2.0,) * T)), x)
    assert fixed.counts is not None and patient.counts is not None
    assert torch.equal(fixed.counts.tally, patient.counts.tally)
    assert all(torch.equal(fixed.mean(t), patient.mean(t)) for t in range(1, T + 1))
    assert patient.steps.tolist() == [T] * len(x)
    assert torch.equal(patient.counts.macs(T), fixed.counts.macs(T))


def _leaving(network: SpikingNetwork, x: Tensor | list[Tensor]) -> tuple[SpikingNetwork, Tensor]:
    """The network with a bar that half of the samples pass before the end, and the steps at which they should."""
    fixed = simulate(network, x)
    scores = torch.stack([1 - normalised_entropy(fixed.mean(t), t) for t in range(1, T + 1)])
    bar = float(scores[: T - 1].amax(0).median())
    passed = scores > bar
    first = torch.where(passed.any(0), passed.int().argmax(0) + 1, T)
    return replace(network, exit=EntropyRule((bar,) * T)), first


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("changing", [False, True])
def test_a_sample_leaves_as_if_the_others_were_not_there(name: str, changing: bool) -> None:
    """Outputs and counts are those of the fixed simulation up to the step at which the sample leaves."""
    network, x = burst(name)
    inputs = [x * (1 + 0.1 * t) for t in range(T)] if changing else x
    leaving, expected = _leaving(network, inputs)
    assert len(expected.unique()) > 1, "the toy must lose samples at more than one step"
    fixed, early = simulate(network, inputs), simulate(leaving, inputs)
    assert torch.equal(early.steps, expected)
    assert fixed.counts is not None and early.counts is not None
    assert torch.equal(early.counts.steps, expected.double())
    for i, step in enumerate(expected.tolist()):
        torch.testing.assert_close(early.mean(T)[i], fixed.mean(step)[i], rtol=0, atol=1e-12)
        torch.testing.assert_close(early.counts.tally[:, -1, i], fixed.counts.tally[:, step - 1, i])
        assert float(early.counts.macs(T)[i]) == float(fixed.counts.macs(step)[i])


def test_all_may_leave_at_once() -> None:
    network, x = burst("plain")
    readout = simulate(replace(network, exit=EntropyRule((-1.0,))), x)
    assert readout.steps.tolist() == [1] * len(x)
    assert torch.equal(readout.mean(T), readout.mean(1))
    assert readout.counts is not None
    assert torch.equal(readout.counts.tally[:, -1], readout.counts.tally[:, 0])


def test_a_longer_simulation_goes_on_with_the_last_bar() -> None:
    network, x = burst("plain")
    readout = simulate(replace(network, exit=EntropyRule((2.0, -1.0))), x, T=4)
    assert readout.steps.tolist() == [2] * len(x)


def test_statistics_are_of_correct_predictions_alone() -> None:
    """A neuron that fires x every step, and logits (x, 0): entropy of step t is that of t x, where class 0 is right."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 2, bias=False)).double()
    x = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    with torch.no_grad():
        first, last = (part for part in model if isinstance(part, nn.Linear))
        first.weight.fill_(1.0)
        last.weight.copy_(torch.tensor([[1.0], [0.0]]))
    graph = captured(model, x)
    network = with_thresholds(graph, 2, [1.0], phi=4)
    for classes, sample in (([0, 1], 0), ([1, 0], 1)):
        calibration = Calibration(graph, x, held_out=(x, torch.tensor(classes)))
        rule = EarlyExit(base=0.5, scale=0.25, delta=2.0)(network, calibration).exit
        output = torch.cat([x, torch.zeros_like(x)], dim=1)
        expected = [float(normalised_entropy(output, t)[sample]) for t in (1, 2)]
        assert isinstance(rule, EntropyRule)
        assert rule.alpha == pytest.approx(entropy_rule(expected, 0.5, 0.25, 2.0).alpha)


def test_a_map_has_the_mean_entropy_of_its_positions() -> None:
    """Three to one in two classes has 0.811 bits, a certain position none: half of it together."""
    map_ = torch.tensor([[[[math.log(3), 1000.0]], [[0.0, 0.0]]]], dtype=torch.float64)
    assert map_.shape == (1, 2, 1, 2)
    torch.testing.assert_close(position_entropy(map_, 1), torch.tensor([[[0.8112781244591328, 0.0]]]).double())
    assert float(normalised_entropy(map_, 1)) == pytest.approx(0.8112781244591328 / 2)


@given(st.integers(2, 5), st.integers(1, 4), st.integers(1, 9), st.integers(0, 99))
def test_every_position_is_a_sample_of_its_own(classes: int, n: int, positions: int, seed: int) -> None:
    """Positions taken out of their map and classified one by one have the same entropies, and one alone is its map."""
    maps = 5 * seeded((n, classes, positions, 1), seed)
    alone = maps.movedim(1, -1).reshape(-1, classes)
    torch.testing.assert_close(position_entropy(maps, 3).flatten(), normalised_entropy(alone, 3))
    torch.testing.assert_close(normalised_entropy(alone[:, :, None, None], 3), normalised_entropy(alone, 3))
    torch.testing.assert_close(normalised_entropy(maps, 3), normalised_entropy(alone, 3).view(n, -1).mean(1))


def test_bars_of_maps_are_those_of_their_positions_as_samples() -> None:
    """A network of 1x1 convolutions classifies each pixel by itself: bars learned on maps, void pixels left out, equal
    those learned on its pixels as images."""
    layers = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 4, 1)).double()
    x = seeded((3, 3, 4, 5))
    pixels = x.movedim(1, -1).reshape(-1, 3, 1, 1)
    with torch.no_grad():
        classes = layers(x).argmax(1)
    classes[:, 0] = (classes[:, 0] + 1) % 4
    classes[:, :, 2] = 255
    known = classes.flatten() != 255

    graph = captured(layers, x)
    flat = captured(nn.Sequential(layers, nn.Flatten()), pixels)
    whole = EarlyExit()(with_thresholds(graph, T, [0.7], phi=2), Calibration(graph, x, held_out=(x, classes)))
    held_out = (pixels[known], classes.flatten()[known])
    single = EarlyExit()(with_thresholds(flat, T, [0.7], phi=2), Calibration(flat, pixels, held_out=held_out))
    assert isinstance(whole.exit, EntropyRule) and isinstance(single.exit, EntropyRule)
    assert whole.exit.alpha == pytest.approx(single.exit.alpha)
    assert len(set(whole.exit.alpha)) > 1


def test_outputs_are_observed_at_every_step_and_none_need_be_kept() -> None:
    network, x = burst("transposed")
    seen: dict[int, Tensor] = {}
    kept = simulate(network, x, at=[T], observe=seen.__setitem__)
    whole = simulate(network, x)
    assert list(kept.outputs) == [T] and list(seen) == list(range(1, T + 1))
    assert all(torch.equal(seen[t], whole.mean(t)) for t in seen)


def test_a_step_without_a_correct_prediction_counts_as_unsure() -> None:
    network, x = burst("plain")
    wrong = simulate(network, x).mean(T).argmin(1)
    never = torch.stack([simulate(network, x).mean(t).argmax(1) != wrong for t in range(1, T + 1)]).all()
    assert bool(never)
    fitted = EarlyExit()(network, Calibration(network.graph, x, held_out=(x, wrong)))
    assert isinstance(fitted.exit, EntropyRule)
    assert fitted.exit.alpha == pytest.approx([1.0] * T)


def test_method_starts_from_the_potential_and_stops_early() -> None:
    graph, x = captured_architecture("plain")
    classes = graph.run(x).argmax(1)
    network = convert(graph, x, "calibration_iat", T=T, held_out=(x, classes), base=0.05, scale=0.0)
    assert {neuron.start for neuron in network.neurons.values()} == {"potential"}
    steps = simulate(network, x).steps
    assert int(steps.min()) >= 1 and int(steps.max()) <= T and float(steps.double().mean()) < T


def test_bad_input() -> None:
    network, x = burst("plain")
    calibration = Calibration(network.graph, x)
    with pytest.raises(InvalidInput, match="held_out="):
        EarlyExit()(network, calibration)
    with pytest.raises(InvalidInput, match="sets thresholds before"):
        EarlyExit()(SpikingNetwork(network.graph, T), calibration)
    with pytest.raises(InvalidInput, match="step schedule"):
        simulate(replace(network, exit=EntropyRule((0.5,))), x, schedule="sweep")
    with pytest.raises(InvalidInput, match="one class index for each sample"):
        Calibration(network.graph, x, held_out=(x, torch.zeros(len(x) - 1)))
    image = seeded((2, 3, 8, 8))
    dense = captured(Net(lambda m, v: m.conv(v).relu(), conv=nn.Conv2d(3, 4, 3)), image)
    labels = torch.zeros(2, dtype=torch.int64)
    placed = Thresholds()(SpikingNetwork(dense, T), Calibration(dense, image))
    with pytest.raises(InvalidInput, match=r"positions of shape \(2, 6, 6\), the held-out labels have shape \(2,\)"):
        EarlyExit()(placed, Calibration(dense, image, held_out=(image, labels)))
    flat = captured(Net(lambda m, v: m.conv(v).relu(), conv=nn.Conv2d(3, 1, 3)), image)
    placed = Thresholds()(SpikingNetwork(flat, T), Calibration(flat, image))
    with pytest.raises(InvalidInput, match=r"needs a network whose output has shape \(N, classes\)"):
        EarlyExit()(placed, Calibration(flat, image, held_out=(image, labels)))
    with pytest.raises(InvalidInput, match="while no sample leaves"):
        simulate(replace(network, exit=EntropyRule((0.5,))), x, observe=lambda t, output: None)
