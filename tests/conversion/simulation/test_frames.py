"""Inputs that change in time: grouped exactly, seen alike by every stage, and charged as the spikes that they are."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from conversion import Calibration, ConversionGraph, InvalidInput, SpikingNetwork, convert, make_method, simulate
from conversion.report.layers import explain
from conversion.report.roles import roles
from conversion.simulation.exit_rules import EntropyRule, normalised_entropy
from conversion.simulation.frames import Frames, concatenate, mean_input, split_batches
from tests.conversion.toys import Net, captured, conv_connections, with_thresholds

COUNT = 8
"""Frames of each sample below."""
METHODS = ["calibration", "burst:phi", "ftbc", "calibration_advanced", "adafire", "adafire_ssc", "calibration_iat"]


@cache
def network() -> ConversionGraph:
    torch.manual_seed(1)
    net = Net(
        lambda net, x: net.head(net.second(net.pool(net.first(x).relu())).relu().flatten(1)),
        first=nn.Conv2d(2, 6, 3, padding=1), pool=nn.AvgPool2d(2), second=nn.Conv2d(6, 8, 3, padding=1),
        head=nn.Linear(72, 4),
    )  # fmt: skip
    return captured(net, torch.zeros(1, 2, 6, 6, dtype=torch.float64))


def events(samples: int, seed: int = 0, count: int = COUNT) -> Frames:
    """Whole numbers of events, each of which adds 8 to a frame."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randint(0, 3, (samples, count, 2, 6, 6), generator=generator)
    return Frames(8.0 * numbers.double(), event=8.0)


def labels(samples: int) -> Tensor:
    answer: Tensor = network().run(events(samples, seed=2).mean)
    return answer.argmax(1)


def converted(method: str, T: int, fed: Frames | Tensor, held_out: Frames | Tensor | None = None) -> SpikingNetwork:
    name, _, phi = method.partition(":")
    options: dict[str, int] = {"phi": 3} if phi else {}
    options |= {"samples": 8, "phi": 2, "phi_init": 3} if name.startswith("adafire") else {}
    pair = None if held_out is None else (held_out, labels(len(held_out)))
    return make_method(name, **options).convert(network(), Calibration(network(), fed, pair), T)


@given(st.integers(1, 12), st.integers(1, 24))
def test_grouping_keeps_the_mean_and_every_event(count: int, T: int) -> None:
    frames = events(2, seed=3, count=count)
    if count % T and T % count:
        with pytest.raises(InvalidInput, match=f"{count} frames cannot be spread over T = {T} steps"):
            frames.steps(T)
        return
    steps, arrived = torch.stack(frames.steps(T)), torch.stack(frames.events(T))
    assert steps.shape == (T, 2, 2, 6, 6)
    torch.testing.assert_close(steps.mean(0), frames.mean)
    # NetworkInput for several steps, an event comes in each of them.
    assert arrived.sum() == frames.values.sum() / 8 * max(1, T // count)


def test_steps_follow_the_order_of_frames() -> None:
    frames = Frames(torch.arange(4.0).view(1, 4, 1))
    assert [float(step) for step in frames.steps(2)] == [0.5, 2.5]
    assert [float(step) for step in frames.steps(8)] == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_frames_that_do_not_change_convert_as_a_constant_input_does(method: str) -> None:
    """Every stage sees the frames: of the same frame at every step it makes what it makes of a constant input."""
    constant, held_out = events(12).mean, events(20, seed=2).mean
    still, still_held_out = (
        Frames(value[:, None].expand(-1, COUNT, *[-1] * 3).clone()) for value in (constant, held_out)
    )
    first = converted(method, 4, constant, held_out)
    second = converted(method, 4, still, still_held_out)
    for one, other in zip(first.neurons.values(), second.neurons.values(), strict=True):
        assert one.phi == other.phi and one.rho == other.rho
        torch.testing.assert_close(one.bias, other.bias)
        torch.testing.assert_close(one.threshold, other.threshold)
    assert (first.exit is None) == (second.exit is None)
    if first.exit is not None:
        assert isinstance(first.exit, EntropyRule) and isinstance(second.exit, EntropyRule)
        assert first.exit.alpha == pytest.approx(second.exit.alpha)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["burst:phi", "ftbc", "calibration_advanced", "adafire", "calibration_iat"])
def test_what_happens_in_time_reaches_the_stages(method: str) -> None:
    """All events in the first of 8 frames: another conversion than from the same mean at every step."""
    fed, held_out = events(12), events(20, seed=2)
    burst = Frames(torch.zeros_like(fed.values).index_fill(1, torch.tensor(1), 0), event=8.0)
    burst.values[:, 0] = fed.values.sum(1)
    torch.testing.assert_close(burst.mean, fed.mean)
    late = Frames(held_out.values.flip(1).cumsum(1) * (2 / (COUNT + 1)))
    steady = converted(method, COUNT, fed.mean, held_out.mean)
    sudden = converted(method, COUNT, burst, late)
    different = [
        one.phi != other.phi
        or not torch.equal(one.bias, other.bias)
        or _potentials_differ(one.potential, other.potential)
        for one, other in zip(steady.neurons.values(), sudden.neurons.values(), strict=True)
    ]
    assert any(different) or steady.exit != sudden.exit


def _potentials_differ(one: Tensor | None, other: Tensor | None) -> bool:
    return one is not None and other is not None and not torch.equal(one, other)


def test_bias_correction_corrects_on_the_frames() -> None:
    """The mean error of the first layer falls; where neurons were corrected for the mean input, it falls by less."""
    fed = Frames(events(16).values.cumsum(1))
    calibration = Calibration(network(), fed)

    def off(snn: SpikingNetwork) -> float:
        errors = explain(snn, calibration)[0].errors
        assert errors is not None
        return abs(errors.total.mean)

    corrected, elsewhere, plain = (
        convert(network(), samples, "calibration", T=COUNT, light=light)
        for samples, light in ((fed, True), (fed.mean, True), (fed, False))
    )
    assert off(corrected) < off(elsewhere) and off(corrected) < off(plain)


@pytest.mark.parametrize("schedule", ["step", "sweep"])
def test_frames_are_simulated_as_their_steps(schedule: Literal["step", "sweep"]) -> None:
    snn, frames = converted("burst:phi", 4, events(12)), events(5, seed=4)
    whole, steps = (simulate(snn, fed, schedule=schedule) for fed in (frames, frames.steps(4)))
    assert all(torch.equal(whole.mean(t), steps.mean(t)) for t in range(1, 5))
    assert whole.counts is not None and steps.counts is not None
    # The layers of neurons fire alike; before them stands the input.
    assert torch.equal(whole.counts.tally[1:], steps.counts.tally)
    assert whole.counts.layers[1:] == steps.counts.layers and whole.counts.neurons[0] == 0


@pytest.mark.parametrize("schedule", ["step", "sweep"])
def test_events_are_charged_for_their_connections_and_nothing_else(schedule: Literal["step", "sweep"]) -> None:
    """One event in a corner meets 4 of the 9 weights of every output channel, one inside all 9."""
    conv = nn.Conv2d(2, 5, 3, padding=1)
    graph = captured(Net(lambda net, x: net.conv(x).relu(), conv=conv), torch.zeros(1, 2, 4, 4, dtype=torch.float64))
    snn = with_thresholds(graph, 2, [1.0])
    values = torch.zeros(1, 2, 2, 4, 4, dtype=torch.float64)
    values[0, 0, 0, 0, 0], values[0, 1, 1, 2, 2] = 2.0, 3 * 2.0
    counts = simulate(snn, Frames(values, event=2.0), schedule=schedule).counts
    assert counts is not None
    spikes, digits, happened, units, unary, binary, graded, smallest = counts.tally[0, :, 0].T.tolist()
    assert (spikes, digits, happened, units) == ([1, 4], [1, 3], [1, 2], spikes)
    assert (unary, binary, graded) == ([20, 20 + 3 * 45], [20, 20 + 2 * 45], [20, 20 + 45])
    assert smallest == unary
    assert counts.macs(2).tolist() == [0] and counts.fan_out[0] == int(
        conv_connections((2, 4, 4), conv.weight, padding=1).sum()
    )


def test_no_event_costs_nothing_in_the_first_layer() -> None:
    snn = converted("burst:phi", 4, events(12))
    counts = simulate(snn, Frames(torch.zeros(2, 4, 2, 6, 6, dtype=torch.float64), event=1.0)).counts
    assert counts is not None and counts.tally[0].sum() == 0 and counts.macs(4).max() == 0


def test_analog_frames_are_charged_as_multiplications_at_every_step() -> None:
    snn, frames = converted("burst:phi", 4, events(12)), events(3, seed=5)
    analog, constant = simulate(snn, Frames(frames.values)).counts, simulate(snn, frames.mean).counts
    assert analog is not None and constant is not None
    assert (analog.macs(4) == 4 * constant.analog.macs_once).all() and analog.layers == constant.layers


def test_to_an_ann_events_are_numbers() -> None:
    counts = simulate(SpikingNetwork(network(), 1), events(3)).counts
    assert counts is not None and counts.layers == () and counts.analog.macs_step > 0


def test_samples_that_left_bring_no_events() -> None:
    frames = events(24, seed=6)
    entropy = normalised_entropy(network().run(frames.mean), COUNT).median()
    snn = replace(converted("burst:phi", COUNT, events(12)), exit=EntropyRule((1 - float(entropy),)))
    readout = simulate(snn, frames)
    assert readout.counts is not None and len(set(readout.steps.tolist())) > 1
    arrived = torch.stack(frames.events(COUNT)).sum((2, 3, 4)).cumsum(0)
    expected = arrived[readout.steps - 1, torch.arange(24)]
    assert torch.equal(readout.counts.tally[0, -1, :, 0], expected)


def test_operations_have_their_roles_in_time() -> None:
    snn = converted("burst:phi", 4, events(12))
    groups = [{group.role for group in roles(snn, constant_input=constant)} for constant in (True, False)]
    assert "constant" in groups[0] and "constant" not in groups[1] and "analog" not in groups[1]


def test_batches_are_of_one_kind() -> None:
    frames = events(5)
    parts = split_batches(frames, 2)
    assert [len(part) for part in parts] == [2, 2, 1]
    whole = concatenate(parts)
    assert isinstance(whole, Frames) and torch.equal(whole.values, frames.values) and whole.event == 8.0
    torch.testing.assert_close(mean_input(whole), frames.values.mean(1))
    with pytest.raises(InvalidInput, match="different kinds"):
        concatenate([frames, frames.mean])
    with pytest.raises(InvalidInput, match="different kinds"):
        Calibration(network(), [frames, Frames(frames.values)])


def test_what_cannot_be_frames_is_refused() -> None:
    for values in (torch.zeros(3, 4), torch.zeros(3, 0, 2)):
        with pytest.raises(InvalidInput, match="at least 1 frame"):
            Frames(values)
    with pytest.raises(InvalidInput, match="positive"):
        Frames(torch.zeros(1, 2, 3), event=0.0)
    with pytest.raises(InvalidInput, match="analog"):
        Frames(torch.zeros(1, 2, 3)).events(2)
    with pytest.raises(InvalidInput, match="the network takes"):
        Calibration(network(), Frames(torch.zeros(3, 4, 2, 5, 6)))
    broken = events(3)
    broken.values[1, 2, 0, 0, 0] = torch.inf
    with pytest.raises(InvalidInput, match="not finite"):
        Calibration(network(), broken)
    with pytest.raises(InvalidInput, match="8 frames cannot be spread over T = 3"):
        simulate(converted("burst:phi", 4, events(12)), events(2), 3)
