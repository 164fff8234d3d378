"""Potentials, weights, biases by step, energy-aware thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from conversion import Calibration, ConversionGraph, InvalidInput, SpikingNetwork, convert, make_method, simulate
from conversion.simulation.neuron import Layer, Neuron
from conversion.stages import DelayedReadout, PotentialCorrection, Quantise, StepBias, TemporalBias, WeightCalibration
from conversion.stages.weights import LayerObjective
from tests.conversion.toys import (
    Net,
    captured,
    captured_architecture,
    relative_error,
    seeded,
    with_thresholds,
)

pytestmark = pytest.mark.slow


def identity(samples: Tensor) -> ConversionGraph:
    """One linear neuron of weight one."""
    fc = nn.Linear(1, 1, bias=False)
    nn.init.ones_(fc.weight)
    return captured(nn.Sequential(fc, nn.ReLU()), samples)


def only(network: SpikingNetwork) -> Neuron:
    (neuron,) = network.neurons.values()
    return neuron


def sent_by(neuron: Neuron, currents: list[float], T: int) -> list[float]:
    layer = Layer(neuron, T, axis=1)
    return [float(layer.step(torch.tensor([[current]], dtype=torch.float64))[0]) for current in currents]


# -------------------------------------------------------------------------------------------------- potentials by hand


def test_potential_by_hand() -> None:
    """Inputs 1/4, 1, 5/8, V = 1, T = 2: means 5/8 and 2/3; v(0) = 1/2 + 2 (5/8 - 2/3) = 5/12.

    v = 5/12 + 2/4 = 11/12 stays silent; 5/12 + 2 fires at t = 1 and 2; 5/12 + 10/8 fires once.
    """
    x = torch.tensor([[0.25], [1.0], [0.625]], dtype=torch.float64)
    graph = identity(x)
    network = PotentialCorrection()(with_thresholds(graph, 2, [1.0]), Calibration(graph, x))
    potential = only(network).potential
    assert potential is not None
    assert potential.tolist() == pytest.approx([2 * (5 / 8 - 2 / 3)])
    assert simulate(network, x).mean(2).flatten().tolist() == [0, 1, 0.5]


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("T", [2, 8])
def test_one_sweep_equals_correcting_potentials_layer_after_layer(T: int, by_channel: bool) -> None:
    """v(0) <- v(0) + T (mean(ANN) - mean(SNN)), all earlier layers corrected; here with a simulation per layer."""
    graph, x = open_graph(40)
    network = convert(graph, x, "burst", T=T, phi=1, light=False)
    corrected = dict(network.neurons)
    over = (0, 2, 3) if by_channel else (0,)
    for layer, node in enumerate(graph.firing):
        outputs = simulate(network.with_neurons(corrected), x, count=False).mean(T)
        error = graph.run(x)[layer].mean(over) - outputs[layer].mean(over)
        corrected[node] = replace(corrected[node], potential=T * error)
    swept = PotentialCorrection(by_channel)(network, Calibration(graph, x))
    for node in graph.firing:
        found, expected = swept.neurons[node].potential, corrected[node].potential
        assert found is not None and expected is not None
        assert found.shape == ((6,) if by_channel else (6, 6, 6))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def open_network() -> nn.Module:
    """A residual block that shows its activations, all of the same shape."""

    def function(net: Any, x: Tensor) -> tuple[Tensor, ...]:
        a = net.stem(x).relu()
        b = (net.two(a) + a).relu()
        return a, b, net.head(b.mean((2, 3)))

    return Net(
        function, stem=nn.Conv2d(3, 6, 3, padding=1), two=nn.Conv2d(6, 6, 3, padding=1), head=nn.Linear(6, 4)
    )  # fmt: skip


@cache
def open_graph(samples: int) -> tuple[ConversionGraph, Tensor]:
    """Its graph, with the same weights whatever ran before, and inputs."""
    x = seeded((samples, 3, 6, 6))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return captured(open_network(), x), x


def test_potential_makes_up_for_a_missing_half_threshold() -> None:
    """Uniform inputs that never saturate, flooring neurons: V / 2 is lacking on average, and is what they get."""
    x = (torch.arange(1000, dtype=torch.float64)[:, None] + 0.5) / 1000
    graph = identity(x)
    plain = with_thresholds(graph, 4, [1.0], start="none")
    network = PotentialCorrection()(plain, Calibration(graph, x))
    potential = only(network).potential
    assert potential is not None
    assert float(potential) == pytest.approx(0.5, abs=1e-3)
    lacking = [float((graph.run(x) - simulate(one, x).mean(4)).mean()) for one in (plain, network)]
    assert lacking == pytest.approx([0.125, 0], abs=1e-3)


def test_potentials_by_channel_and_by_neuron_add_up() -> None:
    """In either order; the second finds what the first left, so both are in the sum."""
    graph, x = open_graph(40)
    calibration = Calibration(graph, x)
    network = convert(graph, x, "burst", T=4, phi=1, light=False)
    first = graph.firing[0]
    for order in ([True, False], [False, True]):
        once = PotentialCorrection(order[0])(network, calibration)
        twice = PotentialCorrection(order[1])(once, calibration)
        second = PotentialCorrection(order[1])(once.with_neurons(
            {**once.neurons, first: replace(once.neurons[first], potential=None)}), calibration)  # fmt: skip
        start, both = once.neurons[first].potential, twice.neurons[first].potential
        assert start is not None and both is not None
        assert both.shape == (6, 6, 6)
        assert second.neurons[first].potential is not None
        sent = simulate(once, x, count=False).mean(4)[0]
        over = (0, 2, 3) if order[1] else (0,)
        lacking = 4 * (graph.run(x)[0].mean(over) - sent.mean(over))
        start, lacking = (value[:, None, None] if value.dim() == 1 else value for value in (start, lacking))
        torch.testing.assert_close(both, start + lacking, rtol=0, atol=1e-6)


# ------------------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize(
    "function",
    [
        lambda net, x: net.c(net.b(net.a(x).relu().flatten(1)).relu()),
        lambda net, x: net.c(net.b(net.a(x).relu().view(x.size(0), -1)).relu()),
        lambda net, x: net.c(net.b(net.a(x).relu().transpose(0, 1).flatten(2).transpose(0, 1).flatten(1)).relu()),
        lambda net, x: net.c(net.d(net.a(x).transpose(0, 1).relu()).relu().transpose(0, 1).reshape(-1, 24)),
    ],
)
def test_weight_calibration_finds_the_samples_wherever_the_batch_lies(
    function: Callable[[Any, Tensor], Tensor],
) -> None:
    x = seeded((40, 4, 5))
    parts = {"a": nn.Linear(5, 6), "b": nn.Linear(24, 24), "c": nn.Linear(24, 3), "d": nn.Linear(6, 6)}
    graph = captured(Net(function, **parts), x)
    calibration = Calibration(graph, x)
    network = convert(graph, x, "burst", T=4, phi=4, light=False)
    (second,) = LayerObjective(network, graph.firing[1], calibration).weights
    damaged = replace(network, weights={second: network.start(x)[second].detach() * 2 / 3})
    tuned = WeightCalibration(iterations=100, learning_rate=1e-2)(damaged, calibration)
    layer, everyone = LayerObjective(tuned, graph.firing[1], calibration), torch.arange(len(x))
    with torch.no_grad():
        before, after = (float(layer.error({second: source.weights[second]}, everyone)) for source in (damaged, tuned))
    assert after < 0.7 * before


@pytest.mark.parametrize("name", ["plain", "residual", "concat", "linear", "leaky"])
def test_weight_calibration_repairs_weights_and_leaves_the_graph(name: str) -> None:
    """Weights that were made a third smaller: its own error falls in every layer, each fed by the tuned ones before."""
    graph, x = captured_architecture(name, samples=32)
    calibration = Calibration(graph, x)
    untouched = {key: value.clone() for key, value in graph.module.state_dict().items()}
    network = convert(graph, x, "burst", T=4, phi=4, light=False)
    values = graph.start(x)
    weights = [weight for node in graph.firing for weight in LayerObjective(network, node, calibration).weights]
    damaged = replace(network, weights={weight: values[weight].detach() * 2 / 3 for weight in weights})
    tuned = WeightCalibration(iterations=100, learning_rate=1e-2)(damaged, calibration)
    assert tuned.weights.keys() == damaged.weights.keys()
    assert all(torch.equal(value, untouched[key]) for key, value in graph.module.state_dict().items())
    samples = torch.arange(len(x))
    for node in graph.firing:
        layer = LayerObjective(tuned, node, calibration)
        before = {weight: damaged.weights[weight] for weight in layer.weights}
        with torch.no_grad():
            assert float(layer.error({}, samples)) < 0.5 * float(layer.error(before, samples))


def test_a_residual_block_tunes_its_last_convolution_and_its_projection() -> None:
    graph, x = captured_architecture("residual")
    network = convert(graph, x, "burst", T=2, phi=1, light=False)
    shapes = []
    for node in graph.firing:
        layer = LayerObjective(network, node, Calibration(graph, x))
        shapes.append(sorted(tuple(weight.meta["val"].shape) for weight in layer.weights))
    conv, strided, last, projection = (6, 6, 3, 3), (8, 6, 3, 3), (8, 8, 3, 3), (8, 6, 1, 1)
    assert shapes == [[(6, 3, 3, 3)], [conv], [conv], [strided], [projection, last]]


def test_a_shared_weight_is_tuned_for_the_first_layer_that_reads_it() -> None:
    fc = nn.Linear(5, 5)
    model = nn.Sequential(fc, nn.ReLU(), fc, nn.ReLU())
    x = seeded((40, 5))
    graph = captured(model, x)
    network = convert(graph, x, "burst", T=4, phi=1, light=False)
    stage = WeightCalibration(iterations=20, learning_rate=1e-3)
    both = stage(network, Calibration(graph, x))
    alone = convert(captured(nn.Sequential(fc, nn.ReLU()), x), x, "burst", T=4, phi=1, light=False)
    first = stage(alone, Calibration(alone.graph, x))
    (found,), (expected,) = both.weights.values(), first.weights.values()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_the_seed_draws_the_batches_of_weight_calibration_and_nothing_else() -> None:
    graph, x = open_graph(80)
    options: dict[str, Any] = {"weights": True, "potential": False, "iterations": 5, "learning_rate": 1e-3}

    def tuned(seed: int) -> list[Tensor]:
        return list(convert(graph, x, "calibration_advanced", T=2, seed=seed, **options).weights.values())

    zero, again, one = tuned(0), tuned(0), tuned(1)
    assert all(torch.equal(first, second) for first, second in zip(zero, again, strict=True))
    assert not any(torch.equal(first, second) for first, second in zip(zero, one, strict=True))
    plain = [list(convert(graph, x, "burst", T=2, phi=2, seed=seed).neurons.values()) for seed in (0, 1)]
    for first, second in zip(*plain, strict=True):
        assert torch.equal(first.threshold, second.threshold) and torch.equal(first.bias, second.bias)


# ------------------------------------------------------------------------------------------------------------- methods


@given(st.lists(st.integers(-32, 32), min_size=1, max_size=12))
def test_signed_neuron_with_memory_by_its_formula(currents: list[int]) -> None:
    """v(0) = 0; +1 where v >= V; -1 where v < 0 and more was sent than taken back; in exact arithmetic."""
    v, total, expected = Fraction(0), 0, []
    for current in currents:
        v += Fraction(current, 16)
        n = 1 if v >= 1 else -1 if v < 0 and total > 0 else 0
        v, total = v - n, total + n
        expected.append(n)
    neuron = Neuron(torch.ones(1), 1, torch.zeros(1), "none", signed=True)
    assert sent_by(neuron, [current / 16 for current in currents], len(currents)) == expected


def test_eager_snm_puts_thresholds_at_the_maximum_and_corrects_nothing() -> None:
    graph, x = open_graph(40)
    network = convert(graph, x, "snm", T=4, form="eager")
    for node, a in zip(graph.firing, graph.run(x), strict=False):
        neuron = network.neurons[node]
        assert torch.equal(neuron.threshold, a.amax((0, 2, 3)))
        assert (neuron.start, neuron.signed, neuron.phi, neuron.potential) == ("none", True, 1, None)
        assert not neuron.bias.any()


def test_advanced_calibration_is_the_baseline_with_potentials_for_biases() -> None:
    graph, x = open_graph(40)
    light, advanced = (convert(graph, x, name, T=4) for name in ("calibration", "calibration_advanced"))
    for node in graph.firing:
        one, other = light.neurons[node], advanced.neurons[node]
        assert torch.equal(one.threshold, other.threshold)
        assert (other.start, other.phi) == (one.start, one.phi)
        assert bool(one.bias.any()) and not bool(other.bias.any())
        assert other.potential is not None and bool(other.potential.any())
    weighted = convert(graph, x, "calibration_advanced", T=4, weights=True, potential=False, iterations=3)
    assert len(weighted.weights) == 2
    assert all(neuron.potential is None for neuron in weighted.neurons.values())


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("calibration_advanced", {}), ("calibration_advanced", {"weights": True, "iterations": 5}), ("ftbc", {}),
        ("ftbc", {"phi": 3, "signed": True, "deviation": "running_mean"}), ("snm", {"form": "eager"}),
        ("robustnorm", {}), ("opt", {"output": False}), ("ltb", {}), ("energy_aware", {"energy": 0}),
        ("energy_aware", {"energy": 0, "phi": 2, "signed": True, "per_step_bias": True}),
    ],
)  # fmt: skip
def test_methods_approach_the_ann(method: str, options: dict[str, Any]) -> None:
    graph, x = captured_architecture("residual", samples=32)
    calibration = Calibration(graph, x)
    errors = []
    for T in (2, 32):
        network = make_method(method, **options).convert(graph, calibration, T)
        output, ann = simulate(network, x, at=[T], count=False).mean(T), graph.run(x)
        errors.append(relative_error(output - output.mean(0), ann - ann.mean(0)))
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("name", ["residual", "leaky", "linear", "depthwise"])
@pytest.mark.parametrize("signed", [False, True])
def test_everything_together_is_the_same_in_both_schedules(name: str, signed: bool) -> None:
    graph, x = captured_architecture(name, samples=12)
    calibration = Calibration(graph, x)
    network = make_method("energy_aware", signed=signed, per_step_bias=True, phi=3).convert(graph, calibration, 3)
    for stage in (WeightCalibration(3, 1e-3), PotentialCorrection(), PotentialCorrection(by_channel=True)):
        network = stage(network, calibration)
    step, swept = (simulate(network, x, schedule=schedule) for schedule in ("step", "sweep"))
    for t in (1, 2, 3):
        torch.testing.assert_close(step.mean(t), swept.mean(t), rtol=0, atol=1e-12)
    assert step.counts is not None and swept.counts is not None
    assert torch.equal(step.counts.tally, swept.counts.tally)


def test_the_twin_keeps_what_corrections_add_up_to() -> None:
    """A static current c: T steps of biases b_t from v(0) = V / 2 + p are one step of mean(b) from V / 2T + p / T."""
    x = torch.linspace(-0.5, 2, 101, dtype=torch.float64)[:, None]
    graph = identity(x)
    bias = torch.tensor([[0.25], [-0.125], [0.0], [0.125]], dtype=torch.float64)
    potential = torch.tensor([0.0625], dtype=torch.float64)
    plain = with_thresholds(graph, 4, [0.5], phi=3)
    corrected = plain.with_neurons({graph.firing[0]: replace(only(plain), bias=bias, potential=potential)})
    twin = Quantise()(corrected, Calibration(graph, x))
    expected = torch.floor((4 * x + 0.25 + 0.25 + 0.0625) / 0.5).clamp(0, 12) * 0.125
    torch.testing.assert_close(simulate(twin, x).mean(1), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "stage", [PotentialCorrection(), WeightCalibration(), TemporalBias(), StepBias(), DelayedReadout()]
)
def test_corrections_say_that_they_miss_neurons(stage: Any) -> None:
    graph, x = open_graph(4)
    with pytest.raises(InvalidInput, match="put a stage that sets thresholds before it"):
        stage(SpikingNetwork(graph, 4), Calibration(graph, x))
