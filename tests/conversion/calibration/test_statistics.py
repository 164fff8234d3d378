"""Light calibration, the quantised twin, and methods as a whole."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from conversion import (
    METHODS,
    BenchmarkError,
    Calibration,
    ConversionGraph,
    InvalidInput,
    SpikingNetwork,
    UnknownName,
    convert,
    make_method,
    simulate,
)
from conversion.simulation.neuron import Neuron
from conversion.stages import BiasCorrection, Quantise, Thresholds
from tests.conversion.toys import (
    Net,
    architecture,
    captured,
    captured_architecture,
    randomise_norms,
    relative_error,
    seeded,
    with_thresholds,
)

pytestmark = pytest.mark.slow

# More than one batch of the sweep and of the statistics.
IMAGES = seeded((75, 3, 6, 6))


def open_network() -> nn.Module:
    """A network that shows all its activations: a residual block, a strided and a depthwise convolution, a linear."""

    def function(net: Any, x: Tensor) -> tuple[Tensor, ...]:
        a = net.stem_norm(net.stem(x)).relu()
        b = net.one(a).relu()
        c = (net.two(b) + a).relu()
        d = net.depthwise(net.three(c)).relu()
        e = net.hidden(d.flatten(1)).relu()
        return a, b, c, d, e, net.head(e)

    return randomise_norms(
        Net(
            function, stem=nn.Conv2d(3, 6, 3, padding=1), stem_norm=nn.BatchNorm2d(6),
            one=nn.Conv2d(6, 6, 3, padding=1), two=nn.Conv2d(6, 6, 3, padding=1),
            three=nn.Conv2d(6, 8, 3, stride=2), depthwise=nn.Conv2d(8, 8, 2, groups=8), hidden=nn.Linear(8, 12),
            head=nn.Linear(12, 5),
        )
    )  # fmt: skip


@cache
def open_graph() -> ConversionGraph:
    """Its graph, with the same weights whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return captured(open_network(), IMAGES)


def channel_means(value: Tensor) -> Tensor:
    return value.mean([0, *range(2, value.dim())])


def ann_means(graph: ConversionGraph) -> list[Tensor]:
    return [channel_means(value) for value in graph.run(IMAGES)[:-1]]


def spiking_means(network: SpikingNetwork) -> list[Tensor]:
    """Mean of each layer's output over samples, positions and T steps, from one full simulation."""
    return [channel_means(value) for value in simulate(network, IMAGES, count=False).mean(network.T)[:-1]]


@pytest.mark.parametrize("options", [{"phi": 1}, {"phi": 4}, {"phi": 2, "signed": True, "channelwise": False}])
@pytest.mark.parametrize("T", [2, 8])
def test_one_sweep_equals_correcting_layer_after_layer(T: int, options: dict[str, Any]) -> None:
    """b_l <- b_l + mean(ANN) - mean(SNN), all earlier layers corrected; here with a full simulation per layer."""
    graph = open_graph()
    network = convert(graph, IMAGES, "burst", T=T, light=False, **options)
    corrected: dict[fx.Node, Neuron] = dict(network.neurons)
    for layer, node in enumerate(graph.firing):
        error = ann_means(graph)[layer] - spiking_means(network.with_neurons(corrected))[layer]
        corrected[node] = replace(corrected[node], bias=corrected[node].bias + error)
    swept = convert(graph, IMAGES, "burst", T=T, **options)
    for node in graph.firing:
        torch.testing.assert_close(swept.neurons[node].bias, corrected[node].bias, rtol=0, atol=1e-6)
        assert float(swept.neurons[node].bias.abs().max()) > 1e-4
        assert torch.equal(swept.neurons[node].threshold, network.neurons[node].threshold)


def test_every_layer_comes_closer_to_the_ann() -> None:
    """Per-channel means over the calibration samples, T = 4, phi = 1."""
    graph = open_graph()
    before = spiking_means(convert(graph, IMAGES, "burst", T=4, phi=1, light=False))
    after = spiking_means(convert(graph, IMAGES, "burst", T=4, phi=1))
    for ann, plain, light in zip(ann_means(graph), before, after, strict=True):
        assert (light - ann).norm() < 0.75 * (plain - ann).norm()


def test_bias_by_hand() -> None:
    """Inputs 1/4, 1, 5/8 through an identity; V = 1, T = 2: 1, 2 and 1 spikes, mean 2/3; the ANN's mean is 5/8."""
    fc = nn.Linear(1, 1, bias=False)
    nn.init.ones_(fc.weight)
    x = torch.tensor([[0.25], [1.0], [0.625]], dtype=torch.float64)
    graph = captured(nn.Sequential(fc, nn.ReLU()), x)
    network = convert(graph, x, "burst", T=2, phi=1, thresholds="max")
    (neuron,) = network.neurons.values()
    assert neuron.threshold.tolist() == [1]
    assert neuron.bias.tolist() == pytest.approx([5 / 8 - 2 / 3])
    # v = 1/2 + 2 (1/4 - 1/24) = 11/12 stays silent; 1/2 + 2 (1 - 1/24): at t = 1 and 2; 1/2 + 2 (5/8 - 1/24): once.
    assert simulate(network, x).mean(2).flatten().tolist() == [0, 1, 0.5]


def test_a_second_correction_is_added_to_the_first() -> None:
    graph = open_graph()
    once = convert(graph, IMAGES, "burst", T=4, phi=2)
    twice = BiasCorrection()(once, Calibration(graph, IMAGES))
    first, second = (network.neurons[graph.firing[0]].bias for network in (once, twice))
    torch.testing.assert_close(second - first, ann_means(graph)[0] - spiking_means(once)[0], rtol=0, atol=1e-12)


@cache
def closed_graph() -> ConversionGraph:
    """The graph of its last output alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return captured(Net(lambda net, x: net.open(x)[-1], open=open_network()), IMAGES)


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in METHODS if not METHODS[name].trained])
def test_graph_is_left_as_it_was(method: str) -> None:
    """Weights, calibration inputs and the ANN's outputs; conversion keeps its results in neurons."""
    graph = closed_graph()
    weights = {name: value.clone() for name, value in graph.module.state_dict().items()}
    inputs, outputs = IMAGES.clone(), graph.run(IMAGES)
    few: dict[str, Any] = {"phi": 2, "phi_init": 3, "samples": 8, "iterations": 2}
    options = {name: value for name, value in few.items() if name in METHODS[method].model_fields}
    convert(graph, IMAGES, method, T=4, held_out=(IMAGES, outputs.argmax(1)), **options)
    after = graph.module.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], value) for name, value in weights.items())
    assert torch.equal(IMAGES, inputs)
    assert torch.equal(graph.run(IMAGES), outputs)


def test_statistics_do_not_depend_on_how_inputs_are_batched() -> None:
    graph = open_graph()
    whole, parts = (convert(graph, inputs, "burst", T=4, phi=2) for inputs in (IMAGES, IMAGES.split(20)))
    for node in graph.firing:
        assert torch.equal(whole.neurons[node].threshold, parts.neurons[node].threshold)
        assert torch.equal(whole.neurons[node].bias, parts.neurons[node].bias)


# ------------------------------------------------------------------------------------------------------- quantised twin


@pytest.mark.parametrize("name", ["plain", "residual", "leaky"])
def test_at_one_step_the_burst_network_is_its_twin(name: str) -> None:
    graph, x = captured_architecture(name)
    burst, twin = (convert(graph, x, method, T=1, phi=5) for method in ("burst", "quantised_ann"))
    for node in graph.firing:
        assert torch.equal(burst.neurons[node].threshold, twin.neurons[node].threshold)
        assert torch.equal(burst.neurons[node].bias, twin.neurons[node].bias)
    assert torch.equal(simulate(burst, x).mean(1), simulate(twin, x).mean(1))


@pytest.mark.parametrize(("T", "phi"), [(1, 1), (4, 1), (4, 3), (8, 2)])
def test_twin_has_the_levels_of_T_steps(T: int, phi: int) -> None:
    """T phi + 1 of them, V / T apart, at the burst network's thresholds, in one step."""
    fc = nn.Linear(1, 1, bias=False)
    nn.init.ones_(fc.weight)
    x = torch.linspace(-1, 3, 4001, dtype=torch.float64)[:, None]
    graph = captured(nn.Sequential(fc, nn.ReLU()), x)
    burst, twin = (convert(graph, x, name, T=T, phi=phi, light=False) for name in ("burst", "quantised_ann"))
    assert (burst.T, twin.T) == (T, 1)
    V = float(burst.neurons[graph.firing[0]].threshold)
    output = simulate(twin, x).mean(1).flatten()
    levels = output.unique() / (V / T)
    assert len(levels) == T * phi + 1
    torch.testing.assert_close(levels, torch.arange(T * phi + 1, dtype=torch.float64), rtol=0, atol=1e-9)
    # Under a static input one layer of bursts reaches the same level (Eq. 7, rounded), but for ties in rounding.
    different = (simulate(burst, x).mean(T).flatten() - output).abs() > 1e-9
    ties = ((x.flatten() * T / V + 0.5) - (x.flatten() * T / V + 0.5).round()).abs() < 1e-9
    assert not bool((different & ~ties).any())


def test_twin_is_the_ann_with_rounded_activations() -> None:
    """Activation by activation: clip(round(a T / V), 0, T phi) V / T, written out for two layers."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20, 3))
    T, phi, thresholds = 4, 2, (0.7, 0.3)
    x = IMAGES[:8]
    graph = captured(model, x)
    twin = Quantise()(with_thresholds(graph, T, thresholds, phi, start="shift"), Calibration(graph, x))
    value = x
    with torch.no_grad():
        for conv, V in zip((model[0], model[2]), thresholds, strict=True):
            value = torch.floor(conv(value) * T / V + 0.5).clamp(0, T * phi) * V / T
        torch.testing.assert_close(simulate(twin, x).mean(1), model[4:](value), rtol=0, atol=1e-12)


# --------------------------------------------------------------------------------------------------------- convergence


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "residual", "depthwise", "concat", "leaky", "transposed"])
def test_the_network_approaches_the_ann(name: str) -> None:
    """phi = 4, each T its own conversion: the error falls, and at T = 64 is below 2 % of the output's norm.

    Without the mean over samples, so that a network which forgot its input would not pass.
    """
    graph, x = captured_architecture(name, samples=32)
    calibration = Calibration(graph, x)
    errors = []
    for T in (1, 4, 16, 64):
        network = make_method("burst", phi=4).convert(graph, calibration, T)
        output, ann = simulate(network, x, at=[T], count=False).mean(T), graph.run(x)
        errors.append(relative_error(output - output.mean(0), ann - ann.mean(0)))
    assert errors[-1] < 0.02
    assert errors == sorted(errors, reverse=True)


def test_more_than_one_spike_per_step_helps() -> None:
    graph, x = captured_architecture("residual", samples=32)
    errors = [
        relative_error(simulate(convert(graph, x, "burst", T=4, phi=phi), x).mean(4), graph.run(x)) for phi in (1, 4)
    ]
    assert errors[1] < 0.7 * errors[0]


def test_ann_is_the_ann() -> None:
    model, x = architecture("residual")
    network = convert(captured(model, x), x, "ann", T=7)
    readout = simulate(network, x)
    with torch.no_grad():
        torch.testing.assert_close(readout.mean(7), model(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(readout.mean(1), readout.mean(7), rtol=0, atol=1e-12)


# ------------------------------------------------------------------------------------------------------------- methods


def test_calibration_baseline() -> None:
    """SNN Calibration: phi = 1, one flooring threshold per layer, half a threshold as a current, light by default."""
    graph = open_graph()
    T = 8
    network = convert(graph, IMAGES, "calibration", T=T)
    seen: list[Tensor] = []
    graph.run(IMAGES, observe=lambda node, value: seen.append(value))
    for node, a in zip(graph.firing, seen, strict=True):
        neuron = network.neurons[node]
        assert (neuron.phi, neuron.start, neuron.signed, len(neuron.threshold)) == (1, "shift", False, 1)
        grid = a.max() * torch.linspace(1, 0.06, 95, dtype=torch.float64)
        errors = torch.stack([((torch.floor(a * T / V).clamp(0, T) * V / T - a) ** 2).sum() for V in grid])
        chosen = int((grid - neuron.threshold).abs().argmin())
        assert errors[chosen] < 1.01 * errors.min()
        assert len(neuron.bias) == a.shape[1]


def test_leaky_layers_are_signed_in_every_method() -> None:
    graph, x = captured_architecture("leaky")
    every: tuple[tuple[str, dict[str, Any]], ...] = (("burst", {"phi": 2}), ("calibration", {}))
    for name, options in every:
        network = convert(graph, x, name, T=4, **options)
        assert [(neuron.signed, neuron.slope) for neuron in network.neurons.values()] == [(True, 0.1), (True, 0.2)]


def test_labels_name_what_differs_from_the_default() -> None:
    assert make_method("ann").label == "ann"
    assert make_method("burst", phi=4).label == "burst:phi=4"
    assert make_method("calibration", light=False, channelwise=True).label == "calibration:channelwise=True,light=False"


GRAPH_INPUT = torch.ones(2, 3, 6, 6, dtype=torch.float64)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"T": 0}, InvalidInput, "T is 0, but a simulation has at least 1 step"),
        ({"phi": 0}, InvalidInput, r"option 'phi' = 0: .*greater than or equal to 1"),
        ({"phi": None}, InvalidInput, "option 'phi' = None"),
        ({"batches": []}, InvalidInput, "calibration set is empty"),
        ({"batches": GRAPH_INPUT[:0]}, InvalidInput, "calibration set is empty"),
        ({"batches": [GRAPH_INPUT, GRAPH_INPUT[:, :, 1:]]}, InvalidInput, r"shape \(2, 3, 5, 6\)"),
        ({"batches": GRAPH_INPUT * math.nan}, InvalidInput, "not finite"),
        ({"batches": [GRAPH_INPUT, GRAPH_INPUT * math.inf]}, InvalidInput, "not finite"),
        ({"method": "brust"}, UnknownName, "no method called 'brust'; did you mean burst"),
        ({"method": "x"}, UnknownName, "known: .*ann, .*burst, .*calibration, .*quantised_ann"),
        (
            {"chanelwise": True},
            UnknownName,
            "no option of method 'burst' called 'chanelwise'; did you mean channelwise",
        ),
        ({"thresholds": "median"}, InvalidInput, "option 'thresholds' = 'median'"),
    ],
)
def test_impossible_conversions_are_refused(
    arguments: dict[str, Any], error: type[BenchmarkError], message: str
) -> None:
    graph = open_graph()
    with pytest.raises(error, match=message):
        convert(graph, **{"batches": GRAPH_INPUT, "method": "burst", "T": 4, "phi": 2, **arguments})


def test_a_method_says_which_option_it_needs() -> None:
    with pytest.raises(InvalidInput, match="Method 'burst' needs the option 'phi'"):
        make_method("burst")
    with pytest.raises(InvalidInput, match='here options are keywords: "burst", phi=4, light=False'):
        convert(open_graph(), GRAPH_INPUT, "burst:phi=4,light=False", T=4)
    with pytest.raises(UnknownName, match=r"known: \(none\)"):
        make_method("ann", phi=2)


def test_stages_say_what_they_miss() -> None:
    graph = open_graph()
    calibration = Calibration(graph, IMAGES)
    for stage in (BiasCorrection(), Quantise()):
        with pytest.raises(InvalidInput, match="put a stage that sets thresholds before it"):
            stage(SpikingNetwork(graph, 4), calibration)
    assert set(Thresholds()(SpikingNetwork(graph, 4), calibration).neurons) == set(graph.firing)


def test_calibration_of_another_graph_is_refused() -> None:
    """Statistics belong to the nodes of one graph; those of its twin would go unused without a word."""
    model, x = architecture("plain")
    graph, twin = captured(model, x), captured(model, x)
    with pytest.raises(InvalidInput, match="measured on another network"):
        Thresholds()(SpikingNetwork(graph, 4), Calibration(twin, x))
