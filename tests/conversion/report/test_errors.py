"""The conversion report: how the error of a layer splits into its causes, by hand and against the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor, nn

from conversion import Calibration, InvalidInput, SpikingNetwork, convert, make_method, simulate
from conversion.capture.roles import Activation
from conversion.report.errors import PARTS, ErrorSplit, LayerReport, explain, roles, split_error, worst
from conversion.simulation.neuron import Neuron, Start
from conversion.stages.base import fire_train
from tests.conversion.toys import ARCHITECTURES, Net, architecture, captured, neurons, seeded, with_thresholds

# More than one batch of the sweep.
IMAGES = seeded((75, 3, 6, 6))

RELU = Activation()


def one_neuron(
    currents: Sequence[float], V: float = 1.0, phi: int = 1, activation: float = 0.0, start: Start = "potential",
    signed: bool = False, function: Activation = RELU, bias: float = 0.0,
) -> ErrorSplit:  # fmt: skip
    """The error of one neuron that got these currents, one a step."""
    threshold = torch.tensor([V], dtype=torch.float64)
    neuron = Neuron(threshold, phi, torch.full_like(threshold, bias), start, signed, function.slope)
    train = [torch.tensor([[current]], dtype=torch.float64) for current in currents]
    target = torch.tensor([[activation]], dtype=torch.float64)
    return split_error(neuron, len(currents), 1, train, function, target)[1]


def parts(split: ErrorSplit) -> tuple[float, ...]:
    return tuple(float(getattr(split, part)) for part in PARTS)


# ------------------------------------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize("start", ["potential", "shift"])
@pytest.mark.parametrize(
    ("currents", "V", "phi", "activation", "expected"),
    [
        # Above phi V all of the error is clipping: 3 spikes of 0.5 a step are the most.
        ([2.0] * 4, 0.5, 3, 2.0, (0.0, -0.5, 0.0, 0.0)),
        # On a multiple of V / T = 1/4 there is none.
        ([0.75] * 4, 1.0, 1, 0.75, (0.0, 0.0, 0.0, 0.0)),
        # Between two levels it is the distance to the nearer one.
        ([0.8] * 4, 1.0, 1, 0.8, (0.0, 0.0, -0.05, 0.0)),
        ([0.7] * 4, 1.0, 1, 0.7, (0.0, 0.0, 0.05, 0.0)),
        # What earlier layers got wrong; below zero the activation does not care.
        ([0.75] * 4, 1.0, 1, 0.25, (0.5, 0.0, 0.0, 0.0)),
        ([-3.0] * 4, 1.0, 1, 0.0, (0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_a_constant_current(
    currents: list[float], V: float, phi: int, activation: float, expected: tuple[float, ...], start: Start
) -> None:
    assert parts(one_neuron(currents, V, phi, activation, start)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("currents", "signed", "unevenness"),
    [
        # Mean 0: the spike at 1/2 + 1 is gone before -1 comes, unless it can be taken back.
        ([1.0, -1.0], False, 0.5),
        ([1.0, -1.0], True, 0.0),
        ([-1.0, 1.0], False, 0.0),
        # Mean 1, but both spikes become due in the last step, which fires one.
        ([0.0, 2.0], False, -0.5),
        ([2.0, 0.0], False, 0.0),
    ],
)
def test_the_order_of_the_currents_is_unevenness(currents: list[float], signed: bool, unevenness: float) -> None:
    mean = max(sum(currents) / 2, 0)
    assert parts(one_neuron(currents, activation=mean, signed=signed)) == (0, 0, 0, unevenness)


@pytest.mark.parametrize("start", ["potential", "shift"])
def test_a_calibrated_bias_is_part_of_the_current(start: Start) -> None:
    assert parts(one_neuron([0.25] * 4, activation=0.25, bias=0.5, start=start)) == (0.5, 0, 0, 0)


def test_the_ceiling_of_a_relu6_is_no_clipping_but_a_threshold_below_it_is() -> None:
    function = Activation(ceiling=6.0)
    assert parts(one_neuron([9.0] * 2, V=6.0, activation=6.0, function=function)) == (0, 0, 0, 0)
    assert parts(one_neuron([9.0] * 2, V=5.0, activation=6.0, function=function)) == (0, -1, 0, 0)
    # Thresholds that were enlarged beyond it let more through than the ANN does.
    assert parts(one_neuron([9.0] * 2, V=9.0, activation=6.0, function=function)) == (0, 0, 3, 0)


def test_a_leaky_relu_clips_on_both_sides() -> None:
    function = Activation(slope=0.5)
    assert parts(one_neuron([-4.0] * 2, signed=True, activation=-2.0, function=function)) == (0, 1, 0, 0)
    assert parts(one_neuron([-1.0] * 2, signed=True, activation=-0.5, function=function)) == (0, 0, 0, 0)


# ---------------------------------------------------------------------------------------------------------- properties

# Sixteenths add up exactly.
dyadic = st.integers(-64, 64).map(lambda value: value / 16)
layers = st.fixed_dictionaries(
    {
        "V": st.sampled_from([0.25, 0.5, 1.0, 2.0]), "phi": st.integers(1, 4), "activation": dyadic,
        "start": st.sampled_from(["potential", "shift"]), "bias": dyadic,
        "function": st.sampled_from([RELU, Activation(slope=0.25), Activation(ceiling=1.5)]),
    }
).map(lambda options: {**options, "signed": options["function"].slope > 0})  # fmt: skip


@given(st.lists(dyadic, min_size=1, max_size=8), layers)
def test_the_parts_sum_to_the_error_of_what_was_sent(currents: list[float], options: dict[str, Any]) -> None:
    split = one_neuron(currents, **options)
    V = torch.tensor([options["V"]], dtype=torch.float64)
    slope = options["function"].slope
    neuron = Neuron(V, options["phi"], torch.full_like(V, options["bias"]), options["start"], options["signed"], slope)
    train = [torch.tensor([[current]], dtype=torch.float64) for current in currents]
    mean = float(torch.stack(fire_train(neuron, len(currents), 1, train)).mean())
    x_bar = sum(currents) / len(currents) + options["bias"]
    ideal = min(max(x_bar, slope * x_bar), options["function"].ceiling)
    assert sum(parts(split)) == pytest.approx(mean - options["activation"], abs=1e-12)
    assert float(split.total) == pytest.approx(mean - options["activation"], abs=1e-12)
    assert float(split.inherited) == pytest.approx(ideal - options["activation"], abs=1e-12)


@given(dyadic, st.sampled_from([1, 2, 4, 8]), layers)
def test_a_constant_current_is_never_uneven(current: float, T: int, options: dict[str, Any]) -> None:
    split = one_neuron([current] * T, **options)
    assert float(split.unevenness) == 0
    if options["function"].ceiling > options["V"] * options["phi"]:
        # Half a level; a leaky ReLU scales the shift that rounds, which leaves it nearer to flooring.
        scaled = options["function"].slope > 0 and options["start"] == "shift"
        assert abs(float(split.quantisation)) <= options["V"] / T * (1 if scaled else 0.5) * (1 + 1e-12)


# ------------------------------------------------------------------------------------------------------ whole networks


def open_network() -> nn.Module:
    """A residual network that shows all its activations, one of its channels never active."""

    def function(net: Any, x: Tensor) -> tuple[Tensor, ...]:
        a = net.stem(x).relu()
        b = net.one(a).relu()
        c = (net.two(b) + a).relu()
        return a, b, c, net.head(c.flatten(1))

    net = Net(
        function, stem=nn.Conv2d(3, 4, 3, padding=1), one=nn.Conv2d(4, 8, 3, stride=2, padding=1),
        two=nn.ConvTranspose2d(8, 4, 2, stride=2), head=nn.Linear(4 * 36, 5),
    )  # fmt: skip
    with torch.no_grad():
        net.get_parameter("one.bias")[:2] = -1e3
    return net


def test_errors_rates_and_silence_agree_with_the_simulator() -> None:
    graph = captured(open_network(), IMAGES)
    calibration = Calibration(graph, IMAGES)
    network = make_method("burst", phi=2).convert(graph, calibration, T=3)
    report = explain(network, calibration, samples=75)
    readout = simulate(network, IMAGES)
    assert readout.counts is not None
    for i, (layer, sent, ann) in enumerate(zip(report, readout.mean(3)[:3], graph.run(IMAGES)[:3], strict=True)):
        error, scale = sent - ann, float(ann.square().mean().sqrt())
        assert layer.errors is not None
        assert layer.activation == pytest.approx(scale)
        assert layer.errors.total.rms == pytest.approx(float(error.square().mean().sqrt()) / scale)
        assert layer.errors.total.mean == pytest.approx(float(error.mean()) / scale, abs=1e-9)
        assert sum(getattr(layer.errors, part).mean for part in PARTS) == pytest.approx(layer.errors.total.mean)
        assert layer.neurons == readout.counts.neurons[i]
        spikes = float(readout.counts.tally[i, -1, :, 0].mean())
        assert layer.rate == pytest.approx(spikes / layer.neurons / 3)
        assert layer.silent == pytest.approx(1 - float((sent > 0).any(0).double().mean()))
    assert report[1].silent is not None
    assert report[1].silent >= 2 / 8


@pytest.mark.parametrize("start", ["potential", "shift", "none"])
def test_the_first_layer_inherits_nothing_however_neurons_start(start: Start) -> None:
    model, inputs = architecture("leaky")
    graph = captured(model, inputs)
    calibration = Calibration(graph, inputs)
    method = make_method("burst", phi=3, start=start, light=False)
    first = explain(method.convert(graph, calibration, T=4), calibration)[0].errors
    assert first is not None
    assert first.inherited.rms == pytest.approx(0, abs=1e-12)
    assert first.quantisation.rms > 0


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_first_layer_is_fed_evenly_and_the_twin_throughout(name: str) -> None:
    model, inputs = architecture(name)
    graph = captured(model, inputs)
    calibration = Calibration(graph, inputs)
    spiking = explain(make_method("calibration", light=False).convert(graph, calibration, T=4), calibration)
    twin = explain(make_method("quantised_ann", phi=2).convert(graph, calibration, T=4), calibration)
    assert len(spiking) == len(twin) == len(graph.firing)
    first = spiking[0].errors
    assert first is not None
    assert (first.inherited.rms, first.unevenness.rms) == pytest.approx((0, 0), abs=1e-12)
    assert first.quantisation.rms > 0
    assert all(layer.errors is not None and layer.errors.unevenness.rms < 1e-12 for layer in twin)


def test_more_steps_leave_the_clipping() -> None:
    model, inputs = architecture("plain")
    graph = captured(model, inputs)
    calibration = Calibration(graph, inputs)
    network = with_thresholds(graph, 256, [0.3, 50.0])
    first, second = explain(network, calibration)
    assert first.errors is not None and second.errors is not None
    assert first.errors.clipping.rms > 50 * first.errors.quantisation.rms
    assert second.errors.inherited.rms > 0
    assert (second.errors.clipping.rms, first.threshold, second.threshold) == (0, (0.3, 0.3), (50.0, 50.0))
    assert worst([first, second]).startswith("0 -> 2 adds most error")
    assert "mainly clipping" in worst([first, second])


def test_layers_are_named_by_the_modules_they_stand_for() -> None:
    model, inputs = architecture("residual")
    graph = captured(model, inputs)
    calibration = Calibration(graph, inputs)
    report = explain(convert(graph, inputs, "burst", T=2, phi=2), calibration)
    assert [layer.name for layer in report] == [
        "stem -> relu", "a -> relu", "b -> relu", "c -> relu", "d + projection -> relu"
    ]  # fmt: skip
    assert report[2].source.endswith("x = (self.b_norm(self.b(self.a_norm(self.a(x)).relu())) + x).relu()")
    assert "/" not in report[2].source.split(":")[0]
    assert {layer.role for layer in report} == {"spiking"}


def test_what_stays_analog_is_listed() -> None:
    model, inputs = architecture("depthwise")
    graph = captured(model, inputs)
    # The convolutions of 4 and 8 channels have no activation in between: the second multiplies a current.
    found = {group.role: group for group in roles(with_thresholds(graph, 2, [1.0, 1.0, 1.0]))}
    assert found["constant"].ops == {"conv2d": 1}
    assert found["analog"].names == ("8",)
    assert found["linear"].names == ("3", "6")
    assert found["spiking"].ops == {"hardtanh": 3}
    assert list(found["readout"].ops)[-1] == "linear"
    assert sum(sum(group.ops.values()) for group in found.values()) == len(graph.body)


def test_nonlinear_operations_and_activations_without_neurons_are_listed() -> None:
    def function(net: Any, x: Tensor) -> Tensor:
        x = net.pool(net.one(x).relu())
        return net.three(net.two(x).relu()).relu()

    model = Net(
        function, one=nn.Conv2d(3, 4, 3), pool=nn.MaxPool2d(2), two=nn.Conv2d(4, 4, 1), three=nn.Conv2d(4, 2, 1)
    )
    graph = captured(model, IMAGES)
    first, second, third = graph.firing
    placed = neurons(graph, [1.0, 1.0, 1.0])
    network = SpikingNetwork(graph, 2).with_neurons({first: placed[first], third: replace(placed[third], signed=True)})
    found = {group.role: group.names for group in roles(network)}
    assert found["nonlinear"] == ("pool",)
    # A maximum of spikes passes spikes on; an activation without neurons does not.
    assert found["analog"] == ("two -> relu", "three")
    report = explain(network, Calibration(graph, IMAGES), samples=8)
    assert [layer.role for layer in report] == ["spiking", "analog", "signed"]
    assert report[1].errors is None and report[1].threshold is None
    assert second.name not in found["spiking"]


def test_an_ann_has_no_layer_that_adds_an_error() -> None:
    model, inputs = architecture("plain")
    graph = captured(model, inputs)
    report = explain(SpikingNetwork(graph, 1), Calibration(graph, inputs))
    assert [layer.role for layer in report] == ["analog", "analog"]
    assert worst(report) == "No layer spikes, so none adds an error."


def test_a_report_survives_json() -> None:
    model, inputs = architecture("leaky")
    graph = captured(model, inputs)
    report = explain(convert(graph, inputs, "burst", T=2, phi=2), Calibration(graph, inputs))
    adapter = TypeAdapter(list[LayerReport])
    assert adapter.validate_json(adapter.dump_json(report)) == report
    assert {layer.role for layer in report} == {"signed"}


def test_what_cannot_be_explained_is_refused() -> None:
    model, inputs = architecture("plain")
    graph, other = captured(model, inputs), captured(model, inputs)
    network = convert(graph, inputs, "burst", T=2, phi=1)
    with pytest.raises(InvalidInput, match="another network"):
        explain(network, Calibration(other, inputs))
    with pytest.raises(InvalidInput, match="looks at 0 samples; give at least 1"):
        explain(network, Calibration(graph, inputs), samples=0)
