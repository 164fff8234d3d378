"""The conversion report: how the error of a layer splits into its causes, by hand and against the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conversion.capture.roles import Activation
from conversion.report.errors import PARTS, ErrorSplit, split_error
from conversion.simulation.neuron import Neuron, Start
from conversion.stages.base import spike_train

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


def signed_where_leaky(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "signed": options["function"].slope > 0}


layers = st.fixed_dictionaries(
    {
        "V": st.sampled_from([0.25, 0.5, 1.0, 2.0]), "phi": st.integers(1, 4), "activation": dyadic,
        "start": st.sampled_from(["potential", "shift"]), "bias": dyadic,
        "function": st.sampled_from([RELU, Activation(slope=0.25), Activation(ceiling=1.5)]),
    }
).map(signed_where_leaky)  # fmt: skip


@given(st.lists(dyadic, min_size=1, max_size=8), layers)
def test_the_parts_sum_to_the_error_of_what_was_sent(currents: list[float], options: dict[str, Any]) -> None:
    split = one_neuron(currents, **options)
    V = torch.tensor([options["V"]], dtype=torch.float64)
    slope = options["function"].slope
    neuron = Neuron(V, options["phi"], torch.full_like(V, options["bias"]), options["start"], options["signed"], slope)
    train = [torch.tensor([[current]], dtype=torch.float64) for current in currents]
    mean = float(torch.stack(spike_train(neuron, len(currents), 1, train)).mean())
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
