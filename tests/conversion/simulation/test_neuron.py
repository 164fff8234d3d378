"""Integrate-and-fire neurons against spike trains worked out by hand."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._dynamo.exc import BackendCompilerFailed

from conversion import InvalidInput
from conversion.simulation.compiling import compiled
from conversion.simulation.neuron import Layer, Neuron, Start
from tests.conversion.toys import quantisation_error

# Values in these tests are sums of few powers of two, so that floating point is exact and trains are decided by hand.


def neuron(
    threshold: float = 1.0, phi: int = 1, start: Start = "potential", bias: float = 0.0, signed: bool = False,
    slope: float = 0.0,
) -> Neuron:  # fmt: skip
    return Neuron(torch.tensor([threshold]), phi, torch.tensor([bias]), start, signed, slope)


def train(one: Neuron, currents: Sequence[float], T: int | None = None) -> list[float]:
    """The output of a single neuron, in units of its threshold."""
    layer = Layer(one, T or len(currents), axis=1)
    sent = [float(layer.step(torch.tensor([[current]], dtype=torch.float64))[0]) for current in currents]
    return [value / float(one.threshold) for value in sent]


def test_one_spike_per_step() -> None:
    """phi = 1, V = 1, v(0) = 1/2, current 3/8: v = 7/8 | 10/8 fires, 2/8 | 5/8 | 8/8 fires (v >= V), 0 | 3/8."""
    assert train(neuron(), [0.375] * 5) == [0, 1, 0, 1, 0]


def test_burst() -> None:
    """phi = 4, V = 1/2, v(0) = 1/4, current 9/8: v = 11/8 -> 2 | 12/8 -> 3 | 9/8 -> 2 | 10/8 -> 2."""
    assert train(neuron(0.5, phi=4), [1.125] * 4) == [2, 3, 2, 2]


def test_half_threshold_as_a_shift_agrees_at_T_only() -> None:
    """Current 1/2: v(0) = 1/2 fires at once; a shift of V / 2T = 1/8 per step reaches 5/8 | 10/8 | 7/8 | 12/8."""
    early, spread = train(neuron(), [0.5] * 4), train(neuron(start="shift"), [0.5] * 4)
    assert (early, spread) == ([1, 0, 1, 0], [0, 1, 0, 1])
    assert sum(early) == sum(spread)


def test_shift_is_spread_over_the_steps_of_the_conversion() -> None:
    """With T = 2 the shift is 1/4 whatever number of steps is simulated: v = 3/4 | 6/4 | 5/4 | 4/4."""
    assert train(neuron(start="shift"), [0.5] * 4, T=2) == [0, 1, 1, 1]


def test_saturation_and_the_memory_of_it() -> None:
    """No more than phi spikes per step; soft reset keeps the rest for later: v = 3 1/2 | 2 1/2 | 1 1/2 | 1/2."""
    assert train(neuron(), [3, 0, 0, 0]) == [1, 1, 1, 0]
    assert train(neuron(0.5, phi=4), [10] * 3) == [4, 4, 4]


def test_negative_current_is_remembered_without_spikes() -> None:
    """V = 1/2, phi = 4: v = 1/4 - 1 - 1 = -7/4 is kept; +3 gives 5/4, two spikes; then 1/4."""
    assert train(neuron(0.5, phi=4), [-1, -1, 3, 0]) == [0, 0, 2, 0]


def test_signed_neuron_takes_a_spike_back_but_never_owes_one() -> None:
    """v = 3/2 -> +1 | -1/2 -> -1 | -1/2, total 0: silent | 3/2 -> +1. The plain neuron has no way back."""
    currents = [1.0, -1.0, -1.0, 2.0]
    assert train(neuron(signed=True), currents) == [1, -1, 0, 1]
    assert train(neuron(), currents) == [1, 0, 0, 0]


def test_signed_burst_is_limited_both_ways() -> None:
    """phi = 2: 5 1/2 -> +2 | 3 1/2 -> +2 | 1 1/2 - 5 = -3 1/2, total 4 -> -2 | -1 1/2 -> -2, total 0 | silent."""
    assert train(neuron(phi=2, signed=True), [5, 0, -5, 0, 0]) == [2, 2, -2, -2, 0]


@pytest.mark.slow
@given(
    currents=st.lists(st.integers(-64, 64), min_size=1, max_size=20), threshold=st.integers(1, 40),
    phi=st.integers(1, 5), start=st.sampled_from(["potential", "shift"]),
)  # fmt: skip
def test_signed_neuron_equals_its_published_update(currents: list[int], threshold: int, phi: int, start: Start) -> None:
    """n = max(clip(floor(v / V), -phi, phi), -total), in exact arithmetic; the total stays >= 0."""
    V, T = Fraction(threshold, 16), len(currents)
    v = V / 2 if start == "potential" else Fraction(0)
    expected, total = [], 0
    for current in currents:
        v += Fraction(current, 16) + (V / (2 * T) if start == "shift" else 0)
        n = max(min(max(math.floor(v / V), -phi), phi), -total)
        v, total = v - n * V, total + n
        expected.append(n)
        assert total >= 0
    if start == "shift" and T & (T - 1):
        return  # V / 2T is exact in binary for powers of two only.
    assert train(neuron(float(V), phi, start, signed=True), [current / 16 for current in currents]) == expected


@given(
    currents=st.lists(st.integers(-64, 64), min_size=1, max_size=20), threshold=st.integers(1, 40),
    phi=st.integers(1, 5), bias=st.integers(-8, 8),
)  # fmt: skip
def test_neuron_equals_its_published_update(currents: list[int], threshold: int, phi: int, bias: int) -> None:
    """m += x + b; n = clamp(floor(m / V), 0, phi); m -= n V, in exact arithmetic."""
    V = Fraction(threshold, 16)
    v, expected = V / 2, []
    for current in currents:
        v += Fraction(current + bias, 16)
        n = min(max(math.floor(v / V), 0), phi)
        v -= n * V
        expected.append(n)
    assert train(neuron(float(V), phi, bias=bias / 16), [current / 16 for current in currents]) == expected


@pytest.mark.parametrize("phi", [1, 4])
@pytest.mark.parametrize("slope", [0.125, 0.25])
def test_leaky_neuron_follows_the_slope_below_zero(phi: int, slope: float) -> None:
    """Constant input x < 0: the total at t is floor((slope x t + V / 2) / V) spikes, so its mean is slope x."""
    V, T, x = 0.125, 8, -1.0
    sent = train(neuron(V, phi, signed=True, slope=slope), [x] * T)
    expected = [math.floor((slope * x * t + V / 2) / V) for t in range(T + 1)]
    steps = [after - before for before, after in itertools.pairwise(expected)]
    if phi * V >= -slope * x:  # Else the neuron is saturated.
        assert sent == steps
        assert sum(sent) * V / T == slope * x
    else:
        assert sent == [-phi] * T


def test_leaky_neuron_crosses_zero() -> None:
    """x = +1, then -3: the sum is -2, the activation of it slope x (-2) = -1/2 = two spikes of 1/4 below zero."""
    sent = train(neuron(0.25, phi=8, signed=True, slope=0.25), [1.0, -3.0])
    assert sent == [4, -6]


def test_bias_is_a_current_of_every_step() -> None:
    """v = 1/2 + 1/4 + 1/8 = 7/8 | 10/8 fires, 2/8 | 5/8 | 8/8 fires: as a current of 3/8."""
    assert train(neuron(bias=0.25), [0.125] * 4) == train(neuron(), [0.375] * 4) == [0, 1, 0, 1]


@pytest.mark.slow
@settings(max_examples=300)
@given(st.integers(1, 8), st.sampled_from([1, 2, 4, 8, 16, 32]), st.integers(1, 64), st.data())
def test_static_input_gives_the_rounding_quantiser(phi: int, T: int, threshold: int, data: st.DataObject) -> None:
    """A constant c gives clip(floor(c T / V + 1/2), 0, T phi) spikes (Eq. 7, rounded); on [0, phi V] within V / 2T."""
    V = threshold / 64
    top = 1024 * phi * threshold // 64
    c = data.draw(st.integers(-256, top + 1024)) / 1024
    wanted = min(max(math.floor(Fraction(c) * T / Fraction(V) + Fraction(1, 2)), 0), T * phi)
    for start in ("potential", "shift"):
        assert sum(train(neuron(V, phi, start), [c] * T)) == wanted
    error = quantisation_error(torch.tensor([c], dtype=torch.float64), torch.tensor([V]), T, phi, rounding=0.5)
    assert float(error) == pytest.approx((wanted * V / T - c) ** 2, rel=1e-12, abs=1e-30)
    if 0 <= c <= phi * V:
        assert abs(wanted * V / T - c) <= V / (2 * T)


def test_thresholds_and_biases_are_by_channel() -> None:
    """Channels on the axis that the layer says: thresholds 1/2 and 1, biases 0 and 1/2, current 1/2, phi 4."""
    two = Neuron(torch.tensor([0.5, 1.0]), 4, torch.tensor([0.0, 0.5]))
    second = Layer(two, 1, axis=1).step(torch.full((1, 2, 3), 0.5))[0]
    last = Layer(two, 1, axis=2).step(torch.full((1, 3, 2), 0.5))[0]
    assert torch.equal(second[0], torch.tensor([[0.5] * 3, [1.0] * 3]))
    assert torch.equal(last[0], second[0].T)


def test_potential_stays_float32_under_bfloat16_weights() -> None:
    """A current of 2^-10 is lost beside 1 in bfloat16 (8 bits); the potential must collect 512 of them to 1/2."""
    layer = Layer(neuron(), 1, axis=1)
    current = torch.full((1, 1), 2.0**-10, dtype=torch.bfloat16)
    sent = [layer.step(current)[0] for _ in range(512)]
    assert all(value.dtype == torch.bfloat16 for value in sent)
    assert [float(value) for value in sent] == [0] * 511 + [1]
    assert layer.state[0].dtype == torch.float32


def test_phi_beyond_the_digit_counter_is_refused() -> None:
    with pytest.raises(InvalidInput, match="phi is 65536"):
        neuron(phi=65536)


@pytest.mark.parametrize("field", [{"phi": 0}, {"threshold": torch.tensor([0.0])}, {"threshold": torch.tensor([-1.0])},
                                   {"threshold": torch.tensor([math.nan])}, {"slope": 0.1}])  # fmt: skip
def test_impossible_neurons_are_refused(field: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        replace(neuron(), **field)


# ------------------------------------------------------------------------------------------------------------- tallies


def test_tally_of_one_step() -> None:
    """Spikes 0, 1, 3, 7 with fan-outs 5, 4, 3, 2: a burst of n is n spikes, popcount(n) binary digits, one event; all
    spikes have one amplitude, so that units are spikes."""
    layer = Layer(neuron(phi=7), 1, axis=1, fan_out=torch.tensor([[5.0, 4.0, 3.0, 2.0]], dtype=torch.float64))
    sent, tally = layer.step(torch.tensor([[[0.0, 1.0, 3.0, 9.0]]]))
    assert sent.flatten().tolist() == [0, 1, 3, 7]
    assert tally is not None
    counted, met = tally.sum(2).flatten().view(2, 4).tolist()
    assert counted == [11, 0 + 1 + 2 + 3, 3, 11]
    assert met == [4 + 9 + 14, 4 + 6 + 6, 4 + 3 + 2, 4 + 9 + 14]


def test_spikes_taken_back_are_spikes() -> None:
    """+3 then -3: as many spikes, digits and events again."""
    layer = Layer(neuron(phi=4, signed=True), 1, axis=1, fan_out=torch.tensor([2.0]))
    counts = []
    for current in (3.0, -3.0):
        _, tally = layer.step(torch.tensor([[current]]))
        assert tally is not None
        counts.append(tally.flatten().tolist())
    assert counts == [[3, 2, 1, 3, 6, 4, 2, 6]] * 2


def random_tallies(phi: int, signed: bool, fast: bool = False) -> tuple[list[Tensor], Tensor]:
    """The output of six neurons at 5 x 5 positions in eight steps, and their tally by step, kind and sample."""
    generator = torch.Generator().manual_seed(phi)
    fan_out = torch.randint(1, 50, (6, 5, 5), generator=generator).double()
    parameters = Neuron(torch.linspace(0.1, 0.6, 6), phi, torch.linspace(-0.1, 0.1, 6), signed=signed)
    layer = Layer(parameters, 8, 1, fan_out, fast)
    sent, tallies = [], []
    for _ in range(8):
        value, tally = layer.step(torch.randn(3, 6, 5, 5, generator=generator))
        assert tally is not None
        sent.append(value)
        tallies.append(tally.sum(2, dtype=torch.float64))
    return sent, torch.stack(tallies)


@pytest.mark.parametrize("signed", [False, True])
def test_unary_binary_graded(signed: bool) -> None:
    """Unary >= binary >= graded, strictly somewhere for phi = 7; all the same for phi = 1. Units are spikes."""
    spikes, digits, events, units, unary, binary, graded, smallest = random_tallies(7, signed)[1].unbind(1)
    assert bool(((spikes > digits) & (digits > events) & (unary > binary) & (binary > graded)).all())
    assert torch.equal(spikes, units)
    assert torch.equal(unary, smallest)
    spikes, digits, events, units, unary, binary, graded, smallest = random_tallies(1, signed)[1].unbind(1)
    assert torch.equal(spikes, units)
    assert torch.equal(unary, smallest)
    assert bool(spikes.sum() > 0)
    assert torch.equal(spikes, digits)
    assert torch.equal(digits, events)
    assert torch.equal(unary, binary)
    assert torch.equal(binary, graded)


def test_a_compiler_that_fails_leaves_the_plain_update(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compile_(function: object, **options: object) -> Callable[..., object]:
        def fail(*args: object, **kwargs: object) -> object:
            raise BackendCompilerFailed("inductor", RuntimeError("no such header"), None)

        return fail

    monkeypatch.setattr(torch, "compile", compile_)
    compiled.cache_clear()
    try:
        eager, fast = random_tallies(7, False), random_tallies(7, False, fast=True)
    finally:
        compiled.cache_clear()
    assert all(torch.equal(one, other) for one, other in zip(eager[0], fast[0], strict=True))
    # Said once, at the first step.
    assert capsys.readouterr().err.count("cannot be compiled (RuntimeError) and run uncompiled") == 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("signed", [False, True])
def test_compiled_update_gives_the_same_spikes(signed: bool) -> None:
    for phi in (1, 7):
        eager, fast = random_tallies(phi, signed), random_tallies(phi, signed, fast=True)
        assert all(torch.equal(one, other) for one, other in zip(eager[0], fast[0], strict=True))
        assert torch.equal(eager[1], fast[1])
