"""Baselines that need no training: toys by hand, and for each paper a property that it proves."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from conversion import Calibration, ConversionGraph, InvalidInput, SpikingNetwork, convert, make_method, simulate
from conversion.report.layers import explain
from conversion.simulation.exit_rules import SettledRule
from conversion.simulation.neuron import Layer, Neuron
from conversion.simulation.transfer import mean_output
from conversion.stages import LocalThresholdBalancing, OutputNeurons, Quantise
from conversion.stages.robustnorm import quantile
from tests.conversion.toys import Net, captured, captured_architecture, seeded, with_thresholds


def identity(x: Tensor) -> ConversionGraph:
    """One linear neuron of weight one, whose output is the network's."""
    layer = nn.Linear(x.shape[1], x.shape[1], bias=False)
    nn.init.eye_(layer.weight)
    return captured(nn.Sequential(layer, nn.ReLU()), x)


def sent(neuron: Neuron, currents: list[float]) -> list[int]:
    layer = Layer(neuron, len(currents), axis=1)
    amplitude = float(neuron.threshold)
    return [round(float(layer.step(torch.tensor([[c]], dtype=torch.float64))[0]) / amplitude) for c in currents]


# ----------------------------------------------------------------------------------------------------------- robustnorm


def test_robustnorm_averages_batches() -> None:
    """Maxima 1, 3 and 2 of three batches: 1, then 1 + 0.1 (3 - 1) = 1.2, then 1.2 + 0.1 (2 - 1.2) = 1.28."""
    x = torch.tensor([1.0, 0.5, 3.0, 0.25, 2.0], dtype=torch.float64)[:, None]
    graph = identity(x)
    network = convert(graph, x, "robustnorm", T=4, statistic="maximum", batch=2)
    (neuron,) = network.neurons.values()
    assert neuron.threshold.tolist() == pytest.approx([1.28])
    assert (neuron.start, neuron.phi, neuron.signed, float(neuron.bias.abs().max())) == ("none", 1, False, 0)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999, 1.0])
def test_quantile_is_that_of_torch(share: float) -> None:
    values = seeded((7, 5, 11))
    assert float(quantile(values, share)) == pytest.approx(float(torch.quantile(values, share)), rel=1e-12)


def test_robustnorm_of_a_layer_that_is_hardly_ever_active() -> None:
    """The 99.9 % quantile of 5,000 values of which one is not zero is zero: the threshold is that one."""
    x = torch.zeros(50, 100, dtype=torch.float64)
    x[7, 3] = 0.75
    (neuron,) = convert(identity(x), x, "robustnorm", T=4).neurons.values()
    assert neuron.threshold.tolist() == [0.75]


def test_rates_without_half_a_threshold_fall_short_by_less_than_one_spike() -> None:
    """Rueckauer et al.: a neuron that starts at zero sends a - V/T < output <= a, for a in 0..V."""
    x = torch.linspace(0, 0.999, 1000, dtype=torch.float64)[:, None]
    graph = identity(x)
    for T in (1, 3, 8):
        short = x - simulate(with_thresholds(graph, T, [1.0], start="none"), x, count=False).mean(T)
        assert float(short.min()) >= -1e-12 and float(short.max()) < 1 / T


# ------------------------------------------------------------------------------------------------------------------ opt


def test_shift_halves_the_largest_error() -> None:
    """Deng & Gu: with V/(2T) at every step the error of the output is V/(2T) at most, and zero on average."""
    T, x = 8, (torch.arange(1, 801, dtype=torch.float64)[:, None] - 0.5) / 800
    x = torch.cat([x, torch.ones_like(x[:1])])
    graph = identity(x)
    shifted = convert(graph, x, "opt", T=T)
    assert [(n.start, n.threshold.tolist()) for n in shifted.neurons.values()] == [("shift", [1.0])]
    errors = [
        simulate(network, x, count=False).mean(T)[:-1] - x[:-1]
        for network in (shifted, with_thresholds(graph, T, [1.0], start="none"))
    ]
    largest = [float(error.abs().max()) for error in errors]
    assert largest[0] <= 1 / (2 * T) + 1e-12 < 1.9 / (2 * T) < largest[1]
    assert abs(float(errors[0].mean())) < 1e-3 and float(errors[1].mean()) < -0.9 / (2 * T)


def one_layer(x: Tensor) -> ConversionGraph:
    """A neuron that passes its input on, and three outputs of 1/2, -1/2 and 1/4 of it."""
    hidden, head = nn.Linear(1, 1, bias=False), nn.Linear(1, 3, bias=False)
    nn.init.ones_(hidden.weight)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.5], [-0.5], [0.25]]))
    return captured(nn.Sequential(hidden, nn.ReLU(), head), x)


def test_spiking_output_of_opt_by_hand() -> None:
    """Calibrated on 1: V = 1 and 1/2 at the output. T = 4, so that shifts are 1/8 and 1/16; the input is 1/2.

    Hidden: v = 5/8, 10/8 fires, 7/8, 12/8 fires. Output 1: v = 1/16, 10/16 fires, 3/16, 12/16 fires: 1/2 twice in four
    steps. Output 2 is never positive. Output 3: v = 1/16, 6/16, 7/16, 12/16 fires once. Five spikes; those of the
    hidden neuron go over three connections each, those of the output are read out.
    """
    x = torch.tensor([[1.0]], dtype=torch.float64)
    graph = one_layer(x)
    network = convert(graph, x, "opt", T=4)
    assert [neuron.threshold.tolist() for neuron in network.neurons.values()] == [[1.0], [0.5]]
    readout = simulate(network, x / 2)
    sums = [(readout.mean(t) * t).flatten().tolist() for t in (1, 2, 3, 4)]
    assert sums == [[0, 0, 0], [0.5, 0, 0], [0.5, 0, 0], [1, 0, 0.5]]
    assert readout.counts is not None
    assert readout.counts.total("spikes", 4).tolist() == [5]
    assert readout.counts.total("synops_unary", 4).tolist() == [2 * 3 + 3]
    # Without them the same hidden spikes are read out as they are.
    analog = simulate(convert(graph, x, "opt", T=4, output=False), x / 2).mean(4)
    assert analog.flatten().tolist() == [0.25, -0.25, 0.125]


def test_what_neurons_at_the_output_cannot_send_is_clipping() -> None:
    x = torch.tensor([[1.0], [0.5]], dtype=torch.float64)
    graph = one_layer(x)
    calibration = Calibration(graph, x)
    *_, output = explain(make_method("opt").convert(graph, calibration, 4), calibration)
    assert output.errors is not None and output.threshold == (0.5, 0.5)
    assert output.name.endswith("output") and output.neurons == 3
    # -1/2 and -1/4 of six outputs.
    assert output.errors.clipping.mean * output.activation == pytest.approx((0.5 + 0.25) / 6)  # type: ignore[operator]


def test_a_network_that_ends_in_an_activation_has_spikes_at_its_output_already() -> None:
    x = torch.ones(1, 1, dtype=torch.float64)
    graph = identity(x)
    assert convert(graph, x, "opt", T=2).neurons.keys() == set(graph.firing)


# ------------------------------------------------------------------------------------------------------------------ snm


@given(st.lists(st.integers(-40, 40), min_size=1, max_size=20))
def test_neuron_with_memory_by_its_rule(currents: list[int]) -> None:
    """+1 at v >= 1; -1 at v <= -1 and a total above zero; in sixteenths, which are exact."""
    v, total, expected = Fraction(0), 0, []
    for current in currents:
        v += Fraction(current, 16)
        n = 1 if v >= 1 else -1 if v <= -1 and total > 0 else 0
        v, total = v - n, total + n
        expected.append(n)
    neuron = Neuron(torch.ones(1), 1, torch.zeros(1), "none", signed=True, takes_back="at_threshold")
    assert sent(neuron, [current / 16 for current in currents]) == expected


def test_spikes_fired_too_early_are_taken_back() -> None:
    """SNM's case: currents 1, 1, -1, -1 sum to zero. A neuron without memory has sent two spikes for good."""
    currents = [1.0, 1.0, -1.0, -1.0]
    plain = Neuron(torch.ones(1), 1, torch.zeros(1), "none")
    memory = replace(plain, signed=True, takes_back="at_threshold")
    assert sent(plain, currents) == [1, 1, 0, 0]
    assert sent(memory, currents) == [1, 1, -1, -1]
    # Half a threshold below zero is no reason, unlike for the eager neuron.
    assert sent(memory, [1.0, -0.5, 0.0]) == [1, 0, 0]
    assert sent(replace(plain, signed=True), [1.0, -0.5, 0.0]) == [1, -1, 0]


def test_memory_refuses_negative_outputs() -> None:
    with pytest.raises(InvalidInput, match="memory is for outputs above zero"):
        Neuron(torch.ones(1), 1, torch.zeros(1), signed=True, slope=0.5, takes_back="at_threshold")


def test_every_neuron_of_snm_has_its_own_maximum() -> None:
    graph, x = captured_architecture("residual", samples=6)
    network = convert(graph, x, "snm", T=3)
    seen: dict[object, Tensor] = {}
    output = graph.run(x, observe=seen.__setitem__)
    *hidden, last = network.neurons.items()
    for node, neuron in hidden:
        largest = seen[node].amax(0)
        assert neuron.threshold.shape == largest.shape and largest.dim() == 3
        assert torch.equal(neuron.threshold, torch.where(largest > 0, largest, largest.max()))
        assert (neuron.start, neuron.signed, neuron.takes_back) == ("none", True, "at_threshold")
    assert torch.equal(last[1].threshold, output.amax(0).clamp(min=0).where(output.amax(0) > 0, output.max()))
    step, swept = (simulate(network, x, schedule=schedule) for schedule in ("step", "sweep"))
    assert step.counts is not None and swept.counts is not None
    assert torch.equal(step.counts.tally, swept.counts.tally)
    assert step.counts.layers[-1] == last[0].name and bool((step.counts.tally[-1] > 0).any())
    # Every output is one of T + 1 values.
    levels = step.mean(3) * 3 / last[1].threshold
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("signed", [False, True])
def test_equal_thresholds_by_neuron_are_one_by_channel(signed: bool) -> None:
    """The same spikes, and the same transfer function, from shapes (C,) and (C, H, W)."""
    currents, channels = seeded((4, 5, 3, 2, 2)), torch.tensor([0.5, 1.0, 0.25], dtype=torch.float64)
    by_channel = Neuron(channels, 2, torch.zeros(3), signed=signed, potential=channels / 8)
    by_neuron = replace(by_channel, threshold=channels.view(3, 1, 1).expand(3, 2, 2))
    layers = [Layer(neuron, 4, axis=1) for neuron in (by_channel, by_neuron)]
    for current in currents:
        one, other = (layer.step(current)[0] for layer in layers)
        assert torch.equal(one, other)
    one, other = (mean_output(neuron, currents[0], 4, axis=1) for neuron in (by_channel, by_neuron))
    assert torch.equal(one, other)


def test_output_neurons_have_a_neuron_before_them() -> None:
    x = torch.ones(1, 1, dtype=torch.float64)
    graph = one_layer(x)
    with pytest.raises(InvalidInput, match="put a stage that sets thresholds before it"):
        OutputNeurons("layer", "shift")(SpikingNetwork(graph, 4), Calibration(graph, x))


# ------------------------------------------------------------------------------------------------------------------ ltb


def test_balancing_is_descent_on_the_squared_clipping_error() -> None:
    """Bu et al.: V + 2 mean(max(a - V, 0)) is V - d/dV mean((a - min(a, V))^2), by autograd here."""
    x = torch.cat([seeded((40, 1)).abs(), torch.zeros(40, 1)], 1)
    graph = identity(x)
    calibration, threshold, errors = Calibration(graph, x), torch.zeros(2, dtype=torch.float64), []
    for batches in range(1, 6):
        threshold.requires_grad_()
        error = (x - torch.minimum(x, threshold)).square().mean(0)
        (gradient,) = torch.autograd.grad(error.sum(), threshold)
        threshold = (threshold - gradient).detach().clamp(min=1e-6)
        stage = LocalThresholdBalancing(batches)
        (neuron,) = stage(SpikingNetwork(graph, 4), calibration).neurons.values()
        torch.testing.assert_close(neuron.threshold, threshold, rtol=0, atol=1e-12)
        errors.append(float(error.detach()[0]))
    assert errors == sorted(errors, reverse=True) and len(set(errors)) == 5


def test_balancing_saturates_where_the_ann_does() -> None:
    """A ReLU6 of 10 is 6 in the ANN; two steps from zero would reach 12."""
    x = torch.full((4, 2), 10.0, dtype=torch.float64)
    graph = captured(Net(lambda net, x: net.head(F.relu6(x)), head=nn.Linear(2, 2)), x)
    (neuron,) = LocalThresholdBalancing(2)(SpikingNetwork(graph, 4), Calibration(graph, x)).neurons.values()
    assert neuron.threshold.tolist() == [6, 6]


@pytest.mark.parametrize("method", ["opt", "snm"])
def test_neurons_at_the_output_need_channels(method: str) -> None:
    x = seeded((4, 3))
    graph = captured(Net(lambda net, x: net.head(x.relu())[:, 0], head=nn.Linear(3, 2)), x)
    with pytest.raises(InvalidInput, match="one number for each sample"):
        convert(graph, x, method, T=2)


def test_delayed_readout_by_hand() -> None:
    """V = 1, v(0) = 0, a current of 1/2: spikes at t = 2, 4, 6, 8. The mean leaves out steps 1 to 3 from t = 4 on."""
    x = torch.full((2, 1), 0.5, dtype=torch.float64)
    network = replace(with_thresholds(identity(x), 8, [1.0], start="none"), readout_start=3)
    for schedule in ("step", "sweep"):
        readout = simulate(network, x, schedule=schedule)
        means = [float(readout.mean(t)[0]) for t in range(1, 9)]
        assert means == pytest.approx([0, 1 / 2, 1 / 3, 1, 1 / 2, 2 / 3, 2 / 4, 3 / 5])
        # Charged for all steps.
        assert readout.counts is not None and readout.counts.total("spikes", 8).tolist() == [4, 4]
    assert Quantise()(network, Calibration(network.graph, x)).readout_start == 0


def test_delayed_readout_refuses_what_leaves_nothing_to_read() -> None:
    x = torch.ones(1, 1, dtype=torch.float64)
    network = with_thresholds(identity(x), 4, [1.0])
    with pytest.raises(InvalidInput, match="leaves out 4 steps of 4"):
        replace(network, readout_start=4)
    with pytest.raises(InvalidInput, match="use one of the two"):
        replace(network, readout_start=1, exit=SettledRule(0.1))


# ----------------------------------------------------------------------------------------------------------- LIPooling


@pytest.mark.parametrize("phi", [1, 4])
def test_pooling_of_burst_is_lateral_inhibition(phi: int) -> None:
    """Li & Zeng: what a window sends is taken off each of its members; each step sends the largest that is left."""
    x = seeded((4, 2, 6, 6))
    graph = captured(nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.MaxPool2d(2)), x)
    (node,) = graph.firing
    threshold = torch.tensor([0.5, 1.0, 0.25], dtype=torch.float64)
    network = with_thresholds(graph, 6, [threshold], phi=phi)
    spikes = simulate(network, x, count=False)
    sums = [torch.zeros(4, 3, 3, 3, dtype=torch.float64)] + [t * spikes.mean(t) for t in range(1, 7)]
    layer, held = Layer(network.neurons[node], 6, axis=1), torch.zeros(4, 3, 6, 6, dtype=torch.float64)
    current = node.all_input_nodes[0]
    constants = graph.start(x)
    weight, bias = (constants[source] for source in current.all_input_nodes[1:])
    for earlier, now in itertools.pairwise(sums):
        held = held + layer.step(F.conv2d(x, weight, bias))[0]
        pooled = F.max_pool2d(held, 2)
        held = held - F.interpolate(pooled, scale_factor=2, mode="nearest")
        torch.testing.assert_close(now - earlier, pooled, rtol=0, atol=1e-9)
    assert float(sums[-1].max()) > 0
