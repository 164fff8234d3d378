"""Price lists turn counts into joules."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from benchmarks.references.totals import Totals
from conversion.counting.prices import PRICES

ANN = Totals(
    steps=1, neurons=0, spikes=0, digits=0, events=0, units=0, synops_unary=0, synops_smallest=0, synops_binary=0,
    synops_graded=0, macs_once=1_000_000, macs_step=0, neuron_updates=0, latency_first=1, latency_final=1,
)  # fmt: skip
SNN = Totals(
    steps=4, neurons=100, spikes=300, digits=200, events=150, units=350, synops_unary=600_000, synops_smallest=700_000,
    synops_binary=400_000, synops_graded=300_000, macs_once=50_000, macs_step=1_000, neuron_updates=400,
    latency_first=1, latency_final=4,
)  # fmt: skip


def test_horowitz_by_hand() -> None:
    prices = PRICES["horowitz45"]
    assert prices.millijoules(ANN, "unary") == pytest.approx(4.6e-12 * 1_000_000 * 1e3)
    # 50,000 multiplications once and 1,000 at each of 4 steps; 600,000 additions.
    assert prices.millijoules(SNN, "unary") == pytest.approx((4.6e-12 * 54_000 + 0.9e-12 * 600_000) * 1e3)
    assert prices.millijoules(SNN, "smallest") == pytest.approx((4.6e-12 * 54_000 + 0.9e-12 * 700_000) * 1e3)
    assert prices.millijoules(SNN, "binary") == pytest.approx((4.6e-12 * 54_000 + 0.9e-12 * 400_000) * 1e3)
    assert prices.millijoules(SNN, "graded") == pytest.approx((4.6e-12 * 54_000 + 0.9e-12 * 300_000) * 1e3)


def test_the_released_estimator_multiplies_the_first_layer_at_every_step() -> None:
    difference = PRICES["released"].millijoules(SNN, "graded") - PRICES["horowitz45"].millijoules(SNN, "graded")
    assert difference == pytest.approx(4.6e-9 * 3 * 50_000)
    assert PRICES["released"].millijoules(ANN, "graded") == PRICES["horowitz45"].millijoules(ANN, "graded")


def test_lemaire_charges_memory_by_hand() -> None:
    # MAC: 4.6 + 2 words of 10 pJ; synaptic operation: 0.9 + 3 words; update: 0.9 + 2 words, 100 neurons, 4 steps.
    expected = 24.6 * 54_000 + 30.9 * 600_000 + 20.9 * 400
    assert PRICES["lemaire32k"].millijoules(SNN, "unary") == pytest.approx(expected * 1e-9)


def test_updates_are_charged_as_counted() -> None:
    """Neurons ahead of the output have been updated more often than its steps say."""
    ahead = SNN.model_copy(update={"neuron_updates": 700})
    difference = PRICES["lemaire32k"].millijoules(ahead, "unary") - PRICES["lemaire32k"].millijoules(SNN, "unary")
    assert difference == pytest.approx(20.9 * 300 * 1e-9)


def test_totals_from_before_there_were_codes() -> None:
    """Spikes of one amplitude, neurons that all take every step, answers from the first step on."""
    later = {"units", "synops_smallest", "neuron_updates", "payload_bits", "latency_first", "latency_final"}
    old = SNN.model_copy(update={"steps": 2.5}).model_dump(exclude=later)
    assert Totals.model_validate(old).model_dump() == old | {
        "units": 300, "synops_smallest": 600_000, "neuron_updates": 250, "payload_bits": None, "latency_first": 1,
        "latency_final": 2.5,
    }  # fmt: skip
    with pytest.raises(ValidationError, match="latency_final"):
        Totals.model_validate(SNN.model_dump(exclude={"latency_final"}))


@pytest.mark.parametrize("name", PRICES)
def test_unary_costs_at_least_binary_costs_at_least_graded(name: str) -> None:
    unary, binary, graded = (PRICES[name].millijoules(SNN, coding) for coding in ("unary", "binary", "graded"))
    assert unary > binary > graded


def test_macs_in_all() -> None:
    assert SNN.macs == 54_000


def test_a_floating_point_operation_costs_half_a_mac() -> None:
    """100 once and 10 at each of 4 steps; a record that does not know of them has none."""
    nonlinear = SNN.model_copy(update={"flops_once": 100, "flops_step": 10})
    for prices in PRICES.values():
        difference = prices.millijoules(nonlinear, "unary") - prices.millijoules(SNN, "unary")
        assert difference == pytest.approx(1e-9 * prices.mac / 2 * 140, rel=1e-6)
    assert (nonlinear.flops, SNN.flops) == (140, 0)


def test_released_prices_repeat_the_first_layer_but_not_what_follows_the_neurons() -> None:
    totals = SNN.model_copy(update={"macs_head": 7_000})
    analog = 4 * 50_000 + 7_000 + 4 * 1_000
    assert totals.macs == 50_000 + 7_000 + 4 * 1_000
    assert PRICES["released"].millijoules(totals, "unary") == pytest.approx(1e-9 * (4.6 * analog + 0.9 * 600_000))
