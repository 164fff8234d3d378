"""The energy of a network of three layers by hand, in every column: three codes, with and without an early exit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from benchmarks.execution.evaluate import _code, _layers, _totals, _wait
from benchmarks.references.totals import Totals
from conversion import SpikingNetwork, capture, simulate
from conversion.codes import Code, Held, OneHot, Phase, Unary
from conversion.counting.prices import PRICES, Coding
from conversion.simulation.exit_rules import ConfidenceRule
from conversion.simulation.neuron import Neuron
from conversion.simulation.trial import Trial

ONE = torch.ones(1, 1, dtype=torch.float64)


@dataclass(frozen=True)
class Expected:
    """Per layer, spikes, events, binary digits and units; bits of one event, updates, steps and latencies."""

    spikes: tuple[int, int, int]
    events: tuple[int, int, int]
    digits: tuple[int, int, int]
    units: tuple[int, int, int]
    bits: int
    updates: int
    steps: int
    first: int
    final: int


def toy(
    code: Code, T: int, threshold: list[float], phi: int, wait: int, second: float, third: float
) -> SpikingNetwork:  # fmt: skip
    """Activations of two, three and one neuron, whose spikes have a fan-out of 3, 1 and 2, for an input of 1.

    The first layer gets 5 and 2; the second the first neuron's value, `second` times the second's, and their
    difference, negative throughout; the third the sum of these, of which the middle one counts `third` times.
    """
    a, b, c, head = nn.Linear(1, 2), nn.Linear(2, 3), nn.Linear(3, 1), nn.Linear(1, 2)
    model = nn.Sequential(a, nn.ReLU(), b, nn.ReLU(), c, nn.ReLU(), head).double().eval()
    weights = ([[5.0], [2.0]], [[1.0, 0.0], [0.0, second], [-1.0, 1.0]], [[1.0, third, 1.0]], [[1.0], [2.0]])
    with torch.no_grad():
        for layer, weight in zip((a, b, c, head), weights, strict=True):
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.zero_()
    graph = capture(model, ONE)
    rows = torch.tensor(threshold, dtype=torch.float64)
    neuron = Neuron(rows[:, None] if len(rows) > 1 else rows, phi, torch.zeros(1).double(), code=code, wait=wait)
    return SpikingNetwork(graph, T, nonlinear="instantaneous").with_neurons(dict.fromkeys(graph.firing, neuron))


def measured(network: SpikingNetwork, schedule: Literal["step", "sweep"]) -> tuple[Totals, list[Tensor]]:
    """What a record says of one sample, and the outputs after every step."""
    readout = simulate(network, ONE, schedule=schedule)
    counts, T = readout.counts, network.T
    assert counts is not None
    layers = _layers(network, counts, counts.tally[:, -1].mean(1))
    totals = _totals(network, counts.steps, counts.updates(T), counts.payload(T), counts, layers)
    return totals, [readout.mean(t)[0] for t in range(1, T + 1)]


def check(network: SpikingNetwork, expected: Expected, outputs: list[float]) -> None:
    """Compares what is counted, and what it costs, with what it has to be; `outputs` are those of the last neuron."""
    schedules: tuple[Literal["step", "sweep"], ...] = ("step",) if network.exit is not None else ("step", "sweep")
    for schedule in schedules:
        totals, found = measured(network, schedule)
        assert [output.tolist() for output in found] == [[value, 2 * value] for value in outputs]
        assert (totals.spikes, totals.events) == (sum(expected.spikes), sum(expected.events))
        assert (totals.digits, totals.units) == (sum(expected.digits), sum(expected.units))
        synops: dict[Coding, int] = {}
        by_coding: dict[Coding, tuple[int, int, int]] = {
            "unary": expected.spikes, "smallest": expected.units, "binary": expected.digits, "graded": expected.events,
        }  # fmt: skip
        for coding, counted in by_coding.items():
            synops[coding] = sum(count * fan_out for count, fan_out in zip(counted, (3, 1, 2), strict=True))
            assert totals.synops(coding) == synops[coding]
        assert totals.payload_bits == expected.bits * sum(expected.events)
        assert (totals.neurons, totals.neuron_updates) == (6, expected.updates)
        assert (totals.steps, totals.latency_first, totals.latency_final) == (
            expected.steps, expected.first, expected.final,
        )  # fmt: skip
        # The input of 1 meets two weights, once.
        for coding, operations in synops.items():
            horowitz = 4.6 * 2 + 0.9 * operations
            assert PRICES["horowitz45"].millijoules(totals, coding) == pytest.approx(1e-9 * horowitz)
            lemaire = 24.6 * 2 + 30.9 * operations + 20.9 * expected.updates
            assert PRICES["lemaire32k"].millijoules(totals, coding) == pytest.approx(1e-9 * lemaire)


def test_held_values() -> None:
    """Thresholds 4, 2 and 1, at most three spikes, of either sign; the last layer takes back what came of b too late.

    a: 5 is 4 + 0 + 1, 2 is 0 + 2 + 0.    b: 4, 4, 5 is 4 + 0 + 1; 0, 6, 6 is 0 + 3 x 2 + 0.
    c: 4 - 0, then 4 - 6, then 5 - 6 is 4 - 2 x 2 + 0.
    """
    network = toy(Held(), 3, [4.0, 2.0, 1.0], phi=3, wait=0, second=3.0, third=-1.0)
    assert (_code(network), _wait(network)) == ("held", "0")
    check(
        network,
        Expected(spikes=(3, 5, 3), events=(3, 3, 2), digits=(3, 4, 2), units=(7, 11, 8), bits=3, updates=18, steps=3,
                 first=1, final=3),
        [4, 0, 0],
    )  # fmt: skip
    # The softmax of 4 and 8 is .98: it leaves after the first step, in which each layer sent 4.
    check(
        replace(network, exit=ConfidenceRule(0.9)),
        Expected(spikes=(1, 1, 1), events=(1, 1, 1), digits=(1, 1, 1), units=(4, 4, 4), bits=3, updates=6, steps=1,
                 first=1, final=1),
        [4, 4, 4],
    )  # fmt: skip


def test_powers_of_two_with_a_delay_of_one_step() -> None:
    """Amplitudes 4, 2 and 1. Each layer but the first knows the step after its own, and so here the last one.

    a: 5 is 4 + 1, 2 is 2 + 0.    b: 5 is 4 + 1, 6 is 4 + 2.    c: 11 is 4 + 4, which is all that fits.
    """
    network = toy(OneHot(levels=3), 2, [4.0], phi=1, wait=1, second=3.0, third=1.0)
    assert (_code(network), _wait(network)) == ("one_hot", "1")
    single = Expected(spikes=(3, 4, 2), events=(3, 4, 2), digits=(3, 4, 2), units=(7, 11, 8), bits=3, updates=12,
                      steps=2, first=3, final=4)  # fmt: skip
    check(network, single, [4, 8])
    # When it leaves, the first two layers have taken both steps, and the last one its first.
    left = replace(
        single, spikes=(3, 4, 1), events=(3, 4, 1), digits=(3, 4, 1), units=(7, 11, 4), updates=11, steps=1, final=3
    )
    check(replace(network, exit=ConfidenceRule(0.9)), left, [4, 4])


def test_one_spike_in_a_window() -> None:
    """Amplitudes 8 and 2 in the first of two steps, 4 and 1 in the second; layers wait for both.

    a: 5 is 4, in step 2, 2 is 2, in step 1.    b: 4 in step 2, 8 in step 1.    c: 12 is 8, in step 1.
    """
    network = toy(Phase(per_octave=1, levels=2), 2, [8.0], phi=1, wait=2, second=4.0, third=1.0)
    assert (_code(network), _wait(network)) == ("phase", "window")
    window = Expected(spikes=(2, 2, 1), events=(2, 2, 1), digits=(2, 2, 1), units=(6, 12, 8), bits=1, updates=12,
                      steps=2, first=5, final=6)  # fmt: skip
    check(network, window, [8, 8])
    check(replace(network, exit=ConfidenceRule(0.9)), replace(window, updates=11, steps=1, final=5), [8, 8])


def in_rates(neuron: Neuron, T: int, third: float) -> SpikingNetwork:
    """The toy with neurons of the rate code, the middle one of b getting the second of a as it is."""
    network = toy(Held(), T, [1.0], phi=1, wait=0, second=1.0, third=third)
    return network.with_neurons(dict.fromkeys(network.neurons, neuron))


def test_levels_in_the_first_steps() -> None:
    """`parallel`, theta = 4 in two steps of 2; layers wait for both.

    a: 5 is 4, 2 is 2.    b: 4 is 4, 2 is 2, -2 nothing.    c: 4 - 2 is 2, in the first step.
    """
    network = toy(Unary(), 2, [2.0], phi=1, wait=2, second=1.0, third=-1.0)
    assert (_code(network), _wait(network)) == ("unary", "window")
    check(
        network,
        Expected(spikes=(3, 3, 1), events=(3, 3, 1), digits=(3, 3, 1), units=(3, 3, 1), bits=0, updates=12, steps=2,
                 first=5, final=6),
        [2, 2],
    )  # fmt: skip


def test_bursts_in_binary() -> None:
    """`hmt`, thresholds 2 and 1, two steps: a sends 3, which is two spikes, and 2, which is one, in either.

    b: 3, 2 and nothing.    c: 5 is 3, and so it is with the 2 that are left.
    """
    one = torch.ones(1, dtype=torch.float64)
    check(
        in_rates(Neuron(one, 3, 0 * one, in_binary=True), 2, third=1.0),
        Expected(spikes=(6, 6, 4), events=(4, 4, 2), digits=(6, 6, 4), units=(10, 10, 6), bits=2, updates=12, steps=2,
                 first=1, final=2),
        [3, 3],
    )  # fmt: skip


def test_a_trial_of_all_layers_together() -> None:
    """`srp`, tau = 1, threshold 4, from 2. The trial is sent, and updates neurons, but is not read.

    a: 7 fires, 4 fires and leaves nothing.    b: 6, 6 and 2: the first two fire.    c: 10 fires.
    Then the second of a is silent, so that b gets 4, 0 and -4, and c gets 4.
    """
    four = torch.tensor([4.0], dtype=torch.float64)
    network = in_rates(Neuron(four, 1, 0 * four, trial=Trial(1, "silence")), 2, third=1.0)
    network = replace(network, readout_start=1)
    sent = (3, 3, 2)
    check(
        network,
        Expected(spikes=sent, events=sent, digits=sent, units=sent, bits=0, updates=12, steps=2, first=2, final=2),
        [4, 4],
    )


def test_a_trial_of_layer_after_layer() -> None:
    """`cos`, rho = 2, one step read, threshold 4, from 2; no potential has to be shifted. Latency is 2 x 3 + 1.

    a: 5 fires twice, 2 in the first step.    b: 4 twice, then 4 and 0, and 0 and -4: two and one.    c: 8 and 4 fire.
    a and b send both steps again, once they have been tried; every neuron takes two steps more.
    """
    four = torch.tensor([4.0], dtype=torch.float64)
    network = in_rates(Neuron(four, 1, 0 * four, trial=Trial(2, "shift")), 2, third=1.0)
    assert (_code(network), _wait(network)) == ("rate", "2")
    sent = (6, 6, 2)
    check(
        replace(network, readout_end=1),
        Expected(spikes=sent, events=sent, digits=sent, units=sent, bits=0, updates=24, steps=2, first=7, final=7),
        [4, 4],
    )


def test_several_codes_and_waits_are_named() -> None:
    network = toy(Held(), 3, [1.0], phi=3, wait=0, second=3.0, third=1.0)
    first, second, third = network.neurons
    one = network.neurons[first]
    mixed = network.with_neurons(
        {first: one, second: replace(one, code=OneHot(), wait=3), third: replace(one, wait=1)}
    )  # fmt: skip
    assert (_code(mixed), _wait(mixed)) == ("held+one_hot", "0+1+window")
    rate = network.with_neurons({node: replace(one, code=None) for node in network.neurons})
    assert (_code(rate), _wait(rate)) == ("rate", "0")
