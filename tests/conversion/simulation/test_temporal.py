"""Nonlinear operations between neurons: exact means, encoders, folded batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from conversion import (
    Calibration,
    ConversionGraph,
    SpikingNetwork,
    UnsupportedOp,
    capture,
    convert,
    make_method,
    simulate,
)
from conversion.capture.graph import evaluate
from conversion.capture.roles import Role
from conversion.simulation.neuron import Neuron
from conversion.simulation.schedules import StepSchedule
from conversion.simulation.simulate import LayerStates
from conversion.simulation.temporal import RunningDifference
from tests.conversion.toys import NONLINEAR, Net, captured, captured_architecture, relative_error, seeded

pytestmark = pytest.mark.slow

EVERY = pytest.mark.parametrize("name", NONLINEAR)
T = 6


def sent(graph: ConversionGraph, trains: Tensor) -> Tensor:
    """The output of the last node of a graph at every step for a train of inputs, shape (T, N, ...)."""
    states: dict[Any, RunningDifference] = {}
    steps = []
    for inputs in trains:
        values = graph.start(graph.cast(inputs))
        for node in graph.body:
            if graph.rules[node].role is Role.NONLINEAR:
                sources = [source for source in node.all_input_nodes if source.meta["signal"]]
                values[node] = states.setdefault(node, RunningDifference(node, sources)).step(values)
            else:
                values[node] = evaluate(node, values)
        (result,) = graph.output.all_input_nodes
        steps.append(values[result])
    return torch.stack(steps)


def assert_exact(function: Callable[[Any, Tensor], Tensor], trains: Tensor, **parts: Any) -> None:
    """The mean of what is sent in steps 1..t is f of the mean input, at every t."""
    graph = captured(Net(function, **parts), trains[0])
    found = sent(graph, trains)
    for t in range(1, len(trains) + 1):
        expected = graph.run(trains[:t].mean(0))
        torch.testing.assert_close(found[:t].mean(0), expected, rtol=1e-12, atol=1e-12)


# -------------------------------------------------------------------------------------------------- exact at every step

FUNCTIONS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "max_pool1d": lambda net, x: F.max_pool1d(x.flatten(2), 3, 2),
    "max_pool2d": lambda net, x: F.max_pool2d(x, 3, 2, padding=1, ceil_mode=True),
    "max_pool3d": lambda net, x: F.max_pool3d(x.unsqueeze(1), 2),
    "adaptive_max_pool1d": lambda net, x: F.adaptive_max_pool1d(x.flatten(2), 5),
    "adaptive_max_pool2d": lambda net, x: F.adaptive_max_pool2d(x, (2, 4)),
    "amax": lambda net, x: x.amax((2, 3)),
    "amin": lambda net, x: x.amin(1, keepdim=True),
    "max over a dimension": lambda net, x: x.max(1)[0],
    "min over a dimension": lambda net, x: x.min(2, keepdim=True).values,
    "maximum": lambda net, x: torch.maximum(x, x.flip(1)),
    "abs": lambda net, x: x.abs(),
    "softmax": lambda net, x: x.softmax(1),
    "log_softmax": lambda net, x: x.log_softmax(3),
    "layer_norm": lambda net, x: net.layer_norm(x),
    "group_norm": lambda net, x: net.group_norm(x),
    "instance_norm": lambda net, x: F.instance_norm(x),
    "rms_norm": lambda net, x: F.rms_norm(x, (6,)),
    "sigmoid": lambda net, x: x.sigmoid(),
    "tanh": lambda net, x: x.tanh(),
    "silu": lambda net, x: F.silu(x),
    "gelu": lambda net, x: F.gelu(x),
    "gelu, tanh": lambda net, x: F.gelu(x, approximate="tanh"),
    "mish": lambda net, x: F.mish(x),
    "hardswish": lambda net, x: F.hardswish(x),
    "hardsigmoid": lambda net, x: F.hardsigmoid(x),
    "elu": lambda net, x: F.elu(x),
    "softplus": lambda net, x: F.softplus(x),
    "clamp of both signs": lambda net, x: x.clamp(-0.5, 0.5),
    "exp": lambda net, x: x.exp(),
    "pow": lambda net, x: x**3,
    "square root of a square": lambda net, x: (x**2 + 1).sqrt(),
    "rsqrt": lambda net, x: (x**2 + 1).rsqrt(),
    "log": lambda net, x: (x**2 + 1).log(),
    "reciprocal": lambda net, x: 1 / (x**2 + 1),
    "mul": lambda net, x: x * x.flip(2),
    "div": lambda net, x: x / (x.flip(2) ** 2 + 1),
    "square": lambda net, x: x * x,
    "matmul": lambda net, x: x @ x.transpose(2, 3),
    "bmm": lambda net, x: torch.bmm(x[:, 0], x[:, 1]),
    "einsum": lambda net, x: torch.einsum("nchw,ndhw->ncd", x, x),
    "attention": lambda net, x: F.scaled_dot_product_attention(x, x.flip(1), x.flip(2)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_mean_of_what_is_sent_is_f_of_the_mean_input(name: str) -> None:
    torch.manual_seed(1)
    layer_norm, group_norm = nn.LayerNorm((6, 6)), nn.GroupNorm(3, 3)
    for norm in (layer_norm, group_norm):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    assert_exact(FUNCTIONS[name], seeded((5, 2, 3, 6, 6)), layer_norm=layer_norm, group_norm=group_norm)


@pytest.mark.slow
@settings(max_examples=15)
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(4, 7), st.integers(4, 7), st.integers(1, 3), st.integers(1, 3),
    st.booleans(), st.integers(1, 6),
)  # fmt: skip
def test_max_pooling_of_any_shape_is_exact(
    samples: int, channels: int, height: int, width: int, kernel: int, stride: int, ceil: bool, steps: int
) -> None:
    trains = seeded((steps, samples, channels, height, width), seed=height * width)
    assert_exact(lambda net, x: F.max_pool2d(x, kernel, stride, kernel // 2, ceil_mode=ceil), trains)


@pytest.mark.slow
@settings(max_examples=10)
@given(st.integers(1, 3), st.integers(2, 4), st.integers(2, 5), st.integers(2, 4), st.integers(1, 6))
def test_products_of_any_shape_are_exact(samples: int, rows: int, inner: int, columns: int, steps: int) -> None:
    trains = seeded((steps, samples, inner, rows + columns), seed=rows * inner)
    assert_exact(lambda net, x: x[..., :rows].transpose(1, 2) @ x[..., rows:], trains)


def test_difference_by_hand() -> None:
    """Inputs 1, 3 of a square: means 1 and 2, 1 f = 1 and 2 f = 8, sent 1 and 7; of one step each, 1 and 9."""
    graph = captured(Net(lambda net, x: x**2), torch.ones(1, 1))
    assert sent(graph, torch.tensor([[[1.0]], [[3.0]]])).flatten().tolist() == [1, 7]


def test_the_maximum_of_spike_trains_is_a_spike_train() -> None:
    """Sums of multiples of V have a maximum that is one: what is sent are whole spikes (LIPooling)."""
    spikes = torch.randint(0, 4, (12, 2, 3, 6, 6)).double() * 0.25
    found = sent(captured(Net(lambda net, x: F.max_pool2d(x, 2)), spikes[0]), spikes)
    assert torch.equal(found / 0.25, (found / 0.25).round())
    assert torch.equal(found.sum(0), F.max_pool2d(spikes.sum(0), 2))


@pytest.mark.parametrize("name", ["layer_norm", "gelu", "square", "max_pool2d"])
def test_bfloat16_differences_come_from_float32_sums(name: str) -> None:
    """Rounding does not add up: after 128 steps the mean is as exact as one rounding of one step, 128 times smaller."""
    trains = (seeded((128, 2, 3, 6, 6)) + 1).bfloat16()
    graph = capture(Net(FUNCTIONS[name], layer_norm=nn.LayerNorm((6, 6))).eval(), trains[0].float())
    expected = graph.run(trains.float().mean(0)).double()
    found = sent(graph.to(torch.bfloat16), trains)
    assert found.dtype == torch.bfloat16
    largest = float(found.detach().abs().max())
    assert (found.double().mean(0) - expected).abs().max() < 2**-8 * largest / 128 + 1e-5 * expected.abs().max()


# ------------------------------------------------------------------------------------------------ networks with neurons


@cache
def burst(name: str) -> tuple[SpikingNetwork, Tensor]:
    graph, x = captured_architecture(name)
    return convert(graph, x, "burst", T=T, phi=3), x


@EVERY
def test_sweep_equals_step(name: str) -> None:
    network, x = burst(name)
    for variant in (network, replace(network, nonlinear="instantaneous")):
        step, sweep = simulate(variant, x, schedule="step"), simulate(variant, x, schedule="sweep")
        assert step.counts is not None and sweep.counts is not None
        assert step.counts.tally[:, -1, :, 0].sum(1).min() > 0
        assert torch.equal(step.counts.tally, sweep.counts.tally)
        assert all(torch.equal(step.mean(t), sweep.mean(t)) for t in range(1, T + 1))


@EVERY
def test_samples_are_independent(name: str) -> None:
    network, x = burst(name)
    whole = simulate(network, x)
    assert whole.counts is not None
    for i in (0, 3):
        alone = simulate(network, x[i : i + 1])
        assert alone.counts is not None
        assert torch.equal(alone.counts.tally[:, :, 0], whole.counts.tally[:, :, i])
        torch.testing.assert_close(alone.mean(T)[0], whole.mean(T)[i], rtol=0, atol=1e-12)


@EVERY
@pytest.mark.parametrize("static", [True, False])
def test_samples_that_stay_go_on_as_if_they_were_alone(name: str, static: bool) -> None:
    """Wherever attention, windows and reshapes have put the batch."""
    network, x = burst(name)
    stay = torch.tensor([6, 0, 3])
    frames = [x] if static else [x + 0.1 * t * x.flip(0) for t in range(T)]

    def run(parts: list[Tensor], leave_after: int) -> list[Tensor]:
        layers = LayerStates(network, network.connectivity, count=False, fast=False)
        steps = StepSchedule(network, parts, layers.spike)
        found = []
        for t in range(T):
            sums = steps.advance()
            found.append(network.decode(sums, steps.frames[0]))
            if t + 1 == leave_after:
                steps.keep(stay)
                layers.keep(stay)
        return found

    left, alone = run(frames, leave_after=3), run([frame[stay] for frame in frames], leave_after=T + 1)
    for t in range(3, T):
        torch.testing.assert_close(left[t], alone[t], rtol=0, atol=1e-11)


@pytest.mark.slow
@EVERY
def test_error_falls_with_T_and_the_twin_is_near(name: str) -> None:
    graph, x = captured_architecture(name)
    calibration = Calibration(graph, x)
    expected = graph.run(x)
    errors = []
    for steps in (8, 64):
        network = make_method("burst", phi=16, thresholds="max").convert(graph, calibration, steps)
        errors.append(relative_error(simulate(network, x, at=[steps], count=False).mean(steps), expected))
    assert errors[1] < 0.02 and errors[1] < errors[0] / 2
    twin = make_method("quantised_ann", phi=16, thresholds="max").convert(graph, calibration, 64)
    assert relative_error(simulate(twin, x, count=False).mean(1), expected) < 0.02


def transparent(graph: ConversionGraph, steps: int, first: float) -> SpikingNetwork:
    """Neurons of one spike in the first layer; the others follow their input closely."""
    neurons = {}
    for i, node in enumerate(graph.firing):
        threshold = torch.tensor([first if i == 0 else 1e-3], dtype=torch.float64)
        neurons[node] = Neuron(threshold, 1 if i == 0 else 60000, torch.zeros_like(threshold))
    return SpikingNetwork(graph, steps).with_neurons(neurons)


def test_the_maximum_of_instantaneous_spikes_overestimates() -> None:
    """E max >= max E; the difference has the maximum of the means."""
    model = Net(lambda net, x: F.max_pool2d(x.relu(), 2).relu())
    x = seeded((4, 3, 8, 8)).abs().clamp(max=0.9)
    network = transparent(captured(model, x), 16, first=1.0)
    exact = simulate(network, x).mean(16)
    over = simulate(replace(network, nonlinear="instantaneous"), x).mean(16)
    rates = simulate(transparent(captured(Net(lambda net, x: x.relu()), x), 16, first=1.0), x).mean(16)
    torch.testing.assert_close(exact, F.max_pool2d(rates, 2), rtol=0, atol=1e-3)
    assert (over >= exact - 1e-3).all() and over.mean() > 1.05 * exact.mean()


@pytest.mark.parametrize("method", ["burst", "calibration", "quantised_ann"])
def test_methods_take_the_switch(method: str) -> None:
    """The option has the effect of the network's field."""
    model = Net(lambda net, x: F.max_pool2d(net.conv(x).relu(), 2).relu(), conv=nn.Conv2d(3, 4, 3))
    x = seeded((4, 3, 8, 8))
    options: dict[str, Any] = {} if method == "calibration" else {"phi": 2}
    plain, switched = (
        convert(captured(model, x), x, method, T=4, light=False, nonlinear=nonlinear, **options)
        for nonlinear in ("difference", "instantaneous")
    )
    expected = simulate(replace(plain, nonlinear="instantaneous"), x)
    assert torch.equal(simulate(switched, x).mean(switched.T), expected.mean(plain.T))
    # In a single step there is no difference.
    assert torch.equal(simulate(plain, x).mean(plain.T), expected.mean(plain.T)) == (method == "quantised_ann")


# ------------------------------------------------------------------------------------------------------------- encoders


def encoders(function: Callable[[Any, Tensor], Any], shape: tuple[int, ...] = (4, 6)) -> list[str]:
    """Names of the operations of a network that spike encoders follow."""
    graph = captured(Net(function, fc=nn.Linear(6, 6), norm=nn.LayerNorm(6)), seeded((2, *shape)))
    sources = [node.all_input_nodes[0] for node in graph.firing if node.name.startswith("encoder_")]
    return [str(source.target).split(".")[1] for source in sources]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda net, x: net.fc(F.gelu(net.fc(x))), ["gelu"]),
        # Through views and sums up to the next weights.
        (lambda net, x: net.fc((F.silu(x) + x).transpose(1, 2).reshape(-1, 4, 6)), ["silu"]),
        # No weights follow before the output, or the next nonlinear operation.
        (lambda net, x: net.fc(x).softmax(-1), []),
        (lambda net, x: net.fc(F.gelu(net.norm(x))), ["gelu"]),
        # Before a product of two signals, and behind it.
        (lambda net, x: net.fc(x * x.sigmoid()), ["sigmoid", "mul"]),
        (lambda net, x: (x @ x.transpose(1, 2)).softmax(-1) @ x, ["softmax"]),
        # Maxima of spikes are spikes; what reaches weights through one was encoded before it.
        (lambda net, x: net.fc(F.max_pool1d(net.fc(x).relu(), 3, 1, 1).amax(1)), []),
        (lambda net, x: net.fc(F.gelu(x).amax(1)), ["gelu"]),
    ],
)
def test_encoders_stand_between_nonlinear_operations_and_weights(
    function: Callable[[Any, Tensor], Any], expected: list[str]
) -> None:
    assert encoders(function) == expected


def test_an_encoder_sends_values_of_both_signs() -> None:
    """A network without any ReLU spikes, and follows negative values as well as positive ones."""
    model = Net(lambda net, x: net.b(net.a(x).tanh()), a=nn.Linear(4, 8), b=nn.Linear(8, 8))
    nn.init.eye_(model.b.weight)
    nn.init.zeros_(model.b.bias)
    x = seeded((16, 4))
    graph = captured(model, x)
    network = convert(graph, x, "burst", T=64, phi=4)
    (neuron,) = network.neurons.values()
    assert neuron.signed and neuron.slope == 1
    output = simulate(network, x).mean(64)
    expected = graph.run(x)
    assert expected.min() < -0.5
    assert (output - expected).abs().max() < 0.02


def test_light_calibration_corrects_an_encoders_mean_of_either_sign() -> None:
    """Channels whose mean is negative are shifted down to it."""
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5))
    x = seeded((64, 4))
    graph = captured(model, x)
    encoder = graph.firing[0]
    plain, light = (convert(graph, x, "burst", T=2, phi=2, channelwise=False, light=light) for light in (False, True))
    assert plain.neurons[encoder].bias.abs().max() == 0
    bias = light.neurons[encoder].bias
    assert bias.min() < 0 < bias.max()


# ------------------------------------------------------------------------------------------------------------- channels


@pytest.mark.parametrize(
    ("function", "shape", "expected"),
    [
        (lambda net, x: net.fc(x).relu(), (5, 6), (2, 6)),
        (lambda net, x: F.gelu(net.fc(x)) @ net.w, (5, 6), (2, 6)),
        (lambda net, x: net.conv1(x).relu(), (4, 9), (1, 4)),
        (lambda net, x: net.conv(x).permute(0, 2, 3, 1).relu(), (3, 6, 6), (3, 4)),
        (lambda net, x: net.conv(x).flatten(2).transpose(1, 2).relu(), (3, 6, 6), (2, 4)),
        (lambda net, x: F.pad(net.conv(x), (1, 1, 0, 2)).relu(), (3, 6, 6), (1, 4)),
        (lambda net, x: F.avg_pool2d(net.conv(x), 2, 2, 1).mean((2, 3)).relu(), (3, 6, 6), (1, 4)),
        # What the input's own axes are is a guess that the weights' labels overrule.
        (lambda net, x: (x + net.fc(x)).relu(), (5, 6), (2, 6)),
        # Channels of several layers, side by side.
        (lambda net, x: torch.cat([net.conv(x), net.conv(x)], 1).relu(), (3, 6, 6), (1, 8)),
        (lambda net, x: net.norm(x @ x.transpose(1, 2)) @ net.w, (6, 5), (2, 6)),
        # Split into heads, or merged with positions: one channel for all.
        (lambda net, x: net.fc(x).view(-1, 5, 2, 3).relu(), (5, 6), (4, 1)),
        (lambda net, x: net.conv(x).flatten(1).relu(), (3, 6, 6), (2, 1)),
    ],
)  # fmt: skip
def test_channels_are_followed_through_views(
    function: Callable[[Any, Tensor], Any], shape: tuple[int, ...], expected: tuple[int, int]
) -> None:
    parts = {"conv": nn.Conv2d(3, 4, 3), "conv1": nn.Conv1d(4, 4, 3), "fc": nn.Linear(6, 6), "norm": nn.LayerNorm(6)}
    graph = captured(Net(function, **parts, w=torch.ones(6, 6, dtype=torch.float64)), seeded((2, *shape)))
    (node,) = graph.firing
    assert (graph.channel_axis(node), graph.channels(node)) == expected


def test_the_positions_of_a_maximum_are_no_signal() -> None:
    with pytest.raises(UnsupportedOp, match=r"positions that aten\.max\.dim at .* finds are used"):
        captured(Net(lambda net, x: x.max(1)[1] + x.max(1)[0]), seeded((2, 3, 4)))
