"""Two schedules with one meaning, samples that do not know of each other, and means over time."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from conversion import InvalidInput, SpikingNetwork, convert, simulate
from tests.conversion.toys import (
    ARCHITECTURES,
    Net,
    captured,
    captured_architecture,
    seeded,
    with_thresholds,
)

pytestmark = pytest.mark.slow

EVERY = pytest.mark.parametrize("name", ARCHITECTURES)
T = 6


@cache
def burst(name: str, dtype: torch.dtype = torch.float64) -> tuple[SpikingNetwork, Tensor]:
    """An architecture converted with bursts of up to three, and inputs.

    It is calibrated on other samples: where one sample alone drives a channel, threshold and bias follow from that
    sample, and its potential then meets the threshold to the last digit, which any rounding decides.
    """
    graph, x = captured_architecture(name, dtype)
    return convert(graph, torch.randn_like(x), "burst", T=T, phi=3, signed=name == "concat"), x


def tally(network: SpikingNetwork, x: Tensor, **options: Any) -> Tensor:
    counts = simulate(network, x, **options).counts
    assert counts is not None
    return counts.tally


@EVERY
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_sweep_equals_step(name: str, dtype: torch.dtype) -> None:
    """The same operations on tensors of the same shape: the same spikes, to the last one, in either precision."""
    network, x = burst(name, dtype)
    step, sweep = simulate(network, x, schedule="step"), simulate(network, x, schedule="sweep")
    assert step.counts is not None and sweep.counts is not None
    assert step.counts.tally[-1, -1, :, 0].min() > 0
    assert torch.equal(step.counts.tally, sweep.counts.tally)
    assert all(torch.equal(step.mean(t), sweep.mean(t)) for t in range(1, T + 1))


@EVERY
def test_samples_are_independent(name: str) -> None:
    """Batch size and order change nothing: exactly in float64, in float32 but for rounding at a threshold.

    Other shapes have other kernels, which round otherwise, by 1e-7 in float32. Here 10,000 to 100,000 potentials meet
    thresholds, so one in a hundred of these networks has a sample in which a spike moves; it moves few others.
    """
    order = torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])
    for dtype, most in ((torch.float64, 0), (torch.float32, 1)):
        network, x = burst(name, dtype)
        whole = simulate(network, x)
        assert whole.counts is not None
        shuffled = torch.cat([tally(network, part) for part in x[order].split([1, 4, 3])], dim=2)
        different = (shuffled - whole.counts.tally[:, :, order]).abs().sum((0, 1, 3))
        assert int((different > 0).sum()) <= most
        assert different.sum() <= 1e-3 * whole.counts.tally.sum()
        if dtype == torch.float64:
            alone = torch.cat([simulate(network, x[i : i + 1]).mean(T) for i in order.tolist()])
            torch.testing.assert_close(alone, whole.mean(T)[order], rtol=0, atol=1e-12)


@EVERY
@pytest.mark.parametrize("schedule", ["step", "sweep"])
def test_static_input_equals_the_same_frame_at_every_step(name: str, schedule: Literal["step", "sweep"]) -> None:
    network, x = burst(name)
    static, frames = simulate(network, x, schedule=schedule), simulate(network, [x] * T, schedule=schedule)
    assert static.counts is not None and frames.counts is not None
    assert torch.equal(static.counts.tally, frames.counts.tally)
    assert all(torch.equal(static.mean(t), frames.mean(t)) for t in range(1, T + 1))
    # What is computed once for a constant input is computed at every step for a changing one.
    assert (frames.counts.macs(T) == T * (static.counts.analog.macs_once + static.counts.analog.macs_step)).all()


def test_frames_reach_the_neurons_in_their_order() -> None:
    """Currents 1, 0, 1, 0 on an identity: V = 1, v(0) = 1/2 fires at t = 1 and t = 3; the running mean says when."""
    net = captured(Net(lambda net, x: net.fc(x).relu(), fc=identity()), torch.ones(1, 1))
    network = with_thresholds(net, 4, [1.0])
    frames = [torch.tensor([[value]]) for value in (1.0, 0.0, 1.0, 0.0)]
    for schedule in ("step", "sweep"):
        readout = simulate(network, frames, schedule=schedule)
        assert [float(readout.mean(t)) for t in (1, 2, 3, 4)] == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])


@EVERY
def test_state_is_reset_between_calls(name: str) -> None:
    network, x = burst(name)
    first = tally(network, x)
    simulate(network, 3 * x)
    assert torch.equal(tally(network, x), first)


@EVERY
def test_readout_of_some_steps_equals_that_of_all(name: str) -> None:
    network, x = burst(name)
    everything = simulate(network, x)
    for schedule in ("step", "sweep"):
        some = simulate(network, x, at=[5, 2], schedule=schedule)
        assert sorted(some.outputs) == [2, 5]
        assert all(torch.equal(some.mean(t), everything.mean(t)) for t in (2, 5))


@EVERY
def test_counting_changes_nothing_and_a_shorter_run_is_its_beginning(name: str) -> None:
    network, x = burst(name)
    everything, blind, short = simulate(network, x), simulate(network, x, count=False), simulate(network, x, 3)
    assert blind.counts is None and everything.counts is not None and short.counts is not None
    assert torch.equal(blind.mean(T), everything.mean(T))
    assert torch.equal(short.mean(3), everything.mean(3))
    assert torch.equal(short.counts.tally, everything.counts.tally[:, :3])


@EVERY
def test_counts_never_decrease_in_time(name: str) -> None:
    counts = tally(*burst(name))
    assert counts.shape[1] == T
    assert bool((counts.diff(dim=1) >= 0).all())
    # Unary >= binary >= graded, of spikes and of synaptic operations.
    spikes, digits, events, units, unary, binary, graded, smallest = counts.unbind(-1)
    assert bool(((spikes >= digits) & (digits >= events) & (unary >= binary) & (binary >= graded)).all())
    # All spikes of the rate code have one amplitude.
    assert torch.equal(units, spikes) and torch.equal(smallest, unary)


# ---------------------------------------------------------------------------------------------------- means, by hand


def identity(weight: float = 1.0, bias: float | None = None) -> nn.Linear:
    """A linear layer of one input and one output."""
    layer = nn.Linear(1, 1, bias=bias is not None)
    nn.init.constant_(layer.weight, weight)
    if bias is not None:
        nn.init.constant_(layer.bias, bias)
    return layer


def test_mean_over_time_by_hand() -> None:
    """Input 1/2, V = 1, v(0) = 1/2: train 1 0 1 0, means 1, 1/2, 2/3, 1/2; the head is 2 mean + 1."""
    net = Net(lambda net, x: net.b(net.a(x).relu()), a=identity(), b=identity(2.0, bias=1.0))
    x = torch.tensor([[0.5]])
    readout = simulate(with_thresholds(captured(net, x), 4, [1.0]), x)
    assert [float(readout.mean(t)) for t in (1, 2, 3, 4)] == pytest.approx([3, 2, 2 * 2 / 3 + 1, 2])
    with pytest.raises(InvalidInput, match="Step 5 was not read out"):
        readout.mean(5)


@pytest.mark.parametrize("schedule", ["step", "sweep"])
def test_two_layers_by_hand(schedule: Literal["step", "sweep"]) -> None:
    """The train 1 0 1 0 of the first layer through weight 3/4 into V = 1/2, phi = 2, v(0) = 1/4:

    v = 1 -> 2 spikes, 0 | 0 | 3/4 -> 1, 1/4 | 1/4 -> 0; transmitted 1, 0, 1/2, 0: means 1, 1/2, 1/2, 3/8.
    """
    net = Net(lambda net, x: net.b(net.a(x).relu()).relu(), a=identity(), b=identity(0.75))
    x = torch.tensor([[0.5]])
    graph = captured(net, x)
    network = SpikingNetwork(graph, 4).with_neurons({
        **with_thresholds(graph, 4, [1.0, 0.5], phi=1).neurons,
        graph.firing[1]: with_thresholds(graph, 4, [1.0, 0.5], phi=2).neurons[graph.firing[1]],
    })  # fmt: skip
    readout = simulate(network, x, schedule=schedule)
    assert [float(readout.mean(t)) for t in (1, 2, 3, 4)] == [1, 0.5, 0.5, 0.375]
    assert readout.counts is not None
    # Spikes, digits, events, units; then each times its fan-out, one weight for layer 1, one readout for layer 2.
    assert readout.counts.tally[0, :, 0].tolist() == [[1] * 8, [1] * 8, [2] * 8, [2] * 8]
    late = [3, 2, 2, 3] * 2
    assert readout.counts.tally[1, :, 0].tolist() == [[2, 1, 1, 2] * 2, [2, 1, 1, 2] * 2, late, late]
    assert readout.counts.total("spikes", 4).tolist() == [5]
    assert readout.counts.neurons == (1, 1)


def test_head_is_applied_once_to_the_mean() -> None:
    """A square after the last neuron is that of the mean, 1/4 at t = 2, not the mean of squares, 1/2."""
    net = Net(lambda net, x: net.a(x).relu() ** 2, a=identity())
    x = torch.tensor([[0.5]])
    for schedule in ("step", "sweep"):
        readout = simulate(with_thresholds(captured(net, x), 4, [1.0]), x, schedule=schedule)
        assert [float(readout.mean(t)) for t in (1, 2, 4)] == [1, 0.25, 0.25]


def test_log_softmax_of_the_mean_logits() -> None:
    """'Average logits, then log-softmax'."""
    plain = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    x = seeded((5, 4))
    logits = with_thresholds(captured(plain, x), 4, [0.3])
    probabilities = with_thresholds(captured(nn.Sequential(plain, nn.LogSoftmax(1)), x), 4, [0.3])
    expected = torch.log_softmax(simulate(logits, x).mean(3), 1)
    torch.testing.assert_close(simulate(probabilities, x).mean(3), expected, rtol=0, atol=1e-12)


def test_outputs_keep_the_structure_of_the_network() -> None:
    """A dictionary of tensors, one of which feeds neurons as well and one of which is a part of a split."""

    def function(net: Any, x: Tensor) -> dict[str, Tensor]:
        left, right = net.a(x).relu().chunk(2, 1)
        inner = net.b(left).relu()
        return {"inner": net.c(inner), "right": right, "left": left}

    net = Net(function, a=nn.Linear(4, 6), b=nn.Linear(3, 5), c=nn.Linear(5, 2))
    x = seeded((5, 4))
    network = convert(captured(net, x), x, "burst", T=64, phi=4)
    for schedule in ("step", "sweep"):
        output = simulate(network, x, schedule=schedule).mean(64)
        assert {name: tuple(value.shape) for name, value in output.items()} == {
            "inner": (5, 2), "right": (5, 3), "left": (5, 3),
        }  # fmt: skip
        for name, value in net(x).items():
            assert (output[name] - value).abs().max() < 0.05, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"T": 0}, "T is 0"),
        ({"at": [0]}, "steps 1 to 4"),
        ({"at": [5]}, "steps 1 to 4"),
        ({"at": []}, "steps 1 to 4"),
        ({"inputs": torch.zeros(0, 4)}, r"shape \(0, 4\)"),
        ({"inputs": torch.zeros(2, 5)}, r"shape \(2, 5\)"),
        ({"inputs": torch.full((2, 4), float("nan"))}, "not finite"),
        ({"inputs": [torch.zeros(2, 4)] * 3}, "3 frames for T = 4"),
    ],
)
def test_impossible_simulations_are_refused(arguments: dict[str, Any], message: str) -> None:
    graph = captured(nn.Sequential(nn.Linear(4, 6), nn.ReLU()), torch.zeros(1, 4))
    network = with_thresholds(graph, 4, [1.0])
    with pytest.raises(InvalidInput, match=message):
        simulate(network, **{"inputs": torch.zeros(2, 4), **arguments})
