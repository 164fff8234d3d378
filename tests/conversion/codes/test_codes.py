"""Codes by hand: what each sends for a value, step by step, and what its receivers hold by then."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from conversion.codes import CODES, Binary, Code, Differential, Held, OneHot, Phase, SignedDigits, WindowCode

ONE = torch.ones(1, dtype=torch.float64)


def spell(
    code: Code, values: list[float], thresholds: list[float], phi: int = 1, rectified: bool = True
) -> tuple[list[float], list[int]]:  # fmt: skip
    """What is held after each step, and the spikes of each, while the value to be told is `values[t]`."""
    steps = list(
        code.spell([value * ONE for value in values], [threshold * ONE for threshold in thresholds], phi, rectified)
    )
    return [held.item() for held, _ in steps], [int(spikes) for _, spikes in steps]


def constant(code: Code, value: float, T: int, threshold: float = 1.0, phi: int = 1) -> tuple[list[float], list[int]]:
    return spell(code, [value] * T, [threshold] * T, phi)


def test_held_values_are_refined_and_taken_back() -> None:
    """4.2 in units of 3, 1.5 and 0.5: 1 spike (3), 1 more (4.5), and one back (4.0), which is the nearest half."""
    assert spell(Held(), [4.2] * 3, [3.0, 1.5, 0.5], phi=7) == ([3.0, 4.5, 4.0], [1, 1, 1])
    # A value that turns out to be zero is taken back; no more than phi spikes fit into a step.
    assert spell(Held(), [4.0, 0.0], [1.0, 1.0], phi=3) == ([3.0, 0.0], [3, 3])
    # Where the last threshold does not divide the first, the value held may end below zero.
    assert spell(Held(), [1.0, 0.0], [1.0, 0.7], phi=7) == ([1.0, pytest.approx(0.3)], [1, 1])
    assert spell(Held(), [1.0, -0.0], [1.0, 0.6], phi=7)[0] == [1.0, pytest.approx(-0.2)]


def test_ties_of_held_values_stay_where_they_are() -> None:
    """An error of half a threshold, as 1.5 V_2 = V_1 falling to zero leaves, is left alone on either side."""
    assert spell(Held(), [0.5], [1.0], phi=7) == ([0.0], [0])
    assert spell(Held(), [1.5, 0.0], [1.5, 1.0], phi=7) == ([1.5, 0.5], [1, 1])


def test_binary_digits() -> None:
    """1.4 in quarters rounds up to 1.5: digits 1, 1 and 0 of worth 1, 1/2 and 1/4. The most is 7/4, the least 0."""
    assert constant(Binary(), 1.4, 3) == ([1.0, 1.5, 1.5], [1, 1, 0])
    assert constant(Binary(), 9.0, 3) == ([1.0, 1.5, 1.75], [1, 1, 1])
    assert constant(Binary(), -1.0, 3) == ([0.0, 0.0, 0.0], [0, 0, 0])
    assert Binary().reach(3, 1) == 1.75


@given(st.integers(1, 10), st.data())
def test_binary_digits_are_those_of_the_number(T: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, 2**T - 1))
    held, spikes = constant(Binary(), number * 2.0 ** (1 - T), T)
    assert "".join(map(str, spikes)) == f"{number:0{T}b}"
    assert held[-1] == number * 2.0 ** (1 - T)


def test_signed_digits() -> None:
    """7 = 8 - 1: two spikes where binary digits take three."""
    assert constant(SignedDigits(), 0.875, 4) == ([1.0, 1.0, 1.0, 0.875], [1, 0, 0, 1])
    assert constant(Binary(), 0.875, 4)[1] == [0, 1, 1, 1]


@given(st.integers(2, 8), st.data())
def test_signed_digits_are_the_fewest(T: int, data: st.DataObject) -> None:
    """No choice of digits -1, 0 and 1 tells a number with fewer of them that are not zero."""
    number = data.draw(st.integers(0, 2**T - 1))
    held, spikes = constant(SignedDigits(), number * 2.0 ** (1 - T), T)
    worths = [2 ** (T - t) for t in range(1, T + 1)]
    choices = [sum(map(abs, digits)) for digits in itertools.product((-1, 0, 1), repeat=T)
               if sum(d * w for d, w in zip(digits, worths, strict=True)) == number]  # fmt: skip
    assert held[-1] == number * 2.0 ** (1 - T)
    assert sum(spikes) == min(choices)


def test_powers_of_two_approach_a_value_from_both_sides() -> None:
    """0.9 -> 1, then 1/8 back (0.1 is nearer to 1/8 than to 1/16), then 1/32 (0.025) more."""
    assert constant(OneHot(6), 0.9, 3) == ([1.0, 0.875, 0.90625], [1, 1, 1])
    # Levels end at 2^(1 - levels), fired from three quarters on.
    assert constant(OneHot(2), 0.374, 1) == ([0.0], [0])
    assert constant(OneHot(2), 0.375, 1) == ([0.5], [1])


def test_no_more_is_taken_back_than_was_sent() -> None:
    """A rectified value of zero after one of 0.5: half is nearest to the error of -0.5, and all that there is."""
    assert spell(OneHot(6), [0.4, -0.4], [1.0, 1.0]) == ([0.5, 0.0], [1, 1])
    assert spell(OneHot(6), [0.4, -0.4], [1.0, 1.0], rectified=False) == ([0.5, -0.5], [1, 1])


def membrane(inputs: list[float], threshold: float, levels: int) -> list[float]:
    """The release's differential neuron with the rule of powers of two, as field notes state it; what it has sent."""
    m = encoded_in = encoded_out = value = 0.0
    trace = []
    for t, z in enumerate(inputs, start=1):
        m += z + encoded_in - encoded_out
        sizes = [threshold * 2.0**-k for k in range(levels)]
        sent = next((size for size in sizes if m >= 0.75 * size), 0.0)
        m -= sent
        encoded_in += z / t
        encoded_out += sent / t
        value += sent / t
        trace.append(value)
    return trace


@given(st.lists(st.floats(0, 2), min_size=1, max_size=6))
def test_differential_spikes_are_those_of_the_release(increments: list[float]) -> None:
    """Inputs that arrive as spikes of worth 1 / t, and a membrane of sums: the same values as ours of t (a - h)."""
    totals = list(itertools.accumulate(z / t for t, z in enumerate(increments, start=1)))
    ours, _ = spell(Differential(8), totals, [1.0] * len(totals), rectified=False)
    theirs = membrane(increments, 1.0, 8)
    # Of both signs ours may take back what rounding up sent too much; until then they agree.
    for t, (held, value, total) in enumerate(zip(ours, theirs, totals, strict=True)):
        assert held == pytest.approx(value)
        if total < held:
            break
        del t


def test_one_spike_says_a_value_by_its_time() -> None:
    """Amplitudes 1, 2^-1/2, 1/2, ... of which those with even numbers belong to the first step of two."""
    code = Phase(per_octave=2, levels=3)
    assert constant(code, 1.0, 2) == ([1.0, 1.0], [1, 0])
    assert constant(code, 0.7, 2) == ([0.0, pytest.approx(2**-0.5)], [0, 1])
    assert constant(code, 0.5, 2) == ([0.5, 0.5], [1, 0])
    # Below half of the smallest amplitude, 2^-5/2, it is silent.
    assert constant(code, 2**-3.5 - 1e-9, 2) == ([0.0, 0.0], [0, 0])
    assert constant(code, 2**-3.5 + 1e-9, 2)[1] == [0, 1]


CODE = st.sampled_from([Held(), Binary(), SignedDigits(), OneHot(5), Differential(4), Phase(4, 4)])


@given(CODE, st.integers(1, 5), st.floats(0, 1), st.integers(1, 7))
def test_a_code_keeps_to_what_it_says_of_itself(code: Code, T: int, value: float, phi: int) -> None:
    """What is sent has the amplitudes that the code names, within its reach, and is near the value where it reaches."""
    held = 0.0
    for t in range(1, T + 1):
        left = torch.tensor([value - held], dtype=torch.float64)
        sent = code.send(left, torch.tensor([held], dtype=torch.float64), ONE, t, T, phi, rectified=True)
        size, count = abs(sent.value.item()), sent.spikes.item()
        smallest, largest = code.amplitudes(t, T, phi)
        assert count == 0 if size == 0 else smallest * count <= size * (1 + 1e-12) <= largest * count * (1 + 2e-12)
        assert 0 <= count <= max(phi, 1)
        held += sent.value.item()
    assert held <= code.reach(T, phi) * (1 + 1e-12)
    last = code.amplitudes(T, T, phi)[0]
    if isinstance(code, (Held, Binary, SignedDigits)) and value <= code.reach(T, phi):
        assert abs(held - value) <= (0.51 if isinstance(code, Held) else 0.5) * last + 1e-12


def test_codes_have_names() -> None:
    assert list(CODES) == ["binary", "differential", "held", "one_hot", "phase", "signed_digits", "unary"]


def test_smallest_amplitudes() -> None:
    thresholds = torch.tensor([[4.0, 8.0], [1.0, 3.0]])
    assert Held().smallest(thresholds, 2, 7).tolist() == [1.0, 3.0]
    assert OneHot(3).smallest(thresholds, 2, 1).tolist() == [0.25, 0.75]
    assert Differential(3).smallest(thresholds[:1].expand(2, -1), 2, 1).tolist() == [0.5, 1.0]
    assert Binary().smallest(thresholds[:1].expand(2, -1), 2, 1).tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("code", "phi", "bits"),
    [(Held(), 7, 4), (Held(), 1, 1), (Binary(), 1, 0), (SignedDigits(), 1, 1), (OneHot(6), 1, 4), (Phase(8, 5), 1, 3)],
)
def test_payload(code: Code, phi: int, bits: int) -> None:
    """The sign, and the number of spikes or the level; what the step says needs no bits."""
    assert code.payload_bits(8, phi, rectified=True) == bits


def test_all_at_once_is_step_by_step() -> None:
    code: WindowCode = Phase(per_octave=4, levels=3)
    values: Tensor = torch.linspace(-1, 1, 41, dtype=torch.float64)
    step, worth = code.encode(values, ONE, 4)
    held = torch.zeros_like(values)
    for t in range(1, 5):
        sent = code.send(values - held, held, ONE, t, 4, 1, rectified=False)
        assert torch.equal(sent.spikes > 0, step == t)
        held = held + sent.value
    torch.testing.assert_close(held, worth)


@pytest.mark.parametrize("code", [Held(), Binary(), SignedDigits(), OneHot(5), Differential(4), Phase(4, 4)])
def test_the_outcome_is_what_all_steps_come_to(code: Code) -> None:
    values = torch.linspace(0, 1, 60, dtype=torch.float64)
    spelt = list(code.spell([values] * 3, [ONE] * 3, 2, rectified=True))
    held, spikes = code.outcome(values, ONE, 3, 2, rectified=True)
    assert torch.equal(held, spelt[-1][0])
    assert torch.equal(spikes, sum((sent for _, sent in spelt), torch.zeros_like(values)))


def test_phases_do_not_depend_on_the_order_in_memory() -> None:
    values = torch.linspace(-1, 1, 2 * 3 * 4 * 5).view(2, 3, 4, 5)
    code, threshold = Phase(4, 4), torch.rand(3, generator=torch.Generator().manual_seed(0)).add(0.5).view(3, 1, 1)
    wanted = code.encode(values, threshold, 3)
    for other in (values.to(memory_format=torch.channels_last), values.transpose(0, 3).contiguous().transpose(0, 3)):
        found = code.encode(other, threshold, 3)
        assert all(map(torch.equal, found, wanted))
        # So that later operations find it in the order of the values.
        assert found[1].stride() == other.stride()
