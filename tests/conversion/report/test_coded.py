"""The error of values that receivers hold, split into its causes: by hand, and against the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from conversion import Calibration, SpikingNetwork, make_method, simulate
from conversion.capture.roles import Activation
from conversion.codes import Binary, Code, Differential, Held, OneHot, Phase, SignedDigits
from conversion.report.coded import split_coded_error
from conversion.report.errors import PARTS, ErrorSplit
from conversion.report.layers import explain
from conversion.simulation.frames import Frames
from conversion.simulation.neuron import Neuron
from tests.conversion.toys import captured_architecture, seeded

RELU = Activation()


def one_neuron(
    code: Code, currents: Sequence[float | None], thresholds: Sequence[float], activation: float = 0.0, phi: int = 1,
    wait: int = 0, function: Activation = RELU, biases: Sequence[float] = (0.0,),
) -> tuple[float, ErrorSplit]:  # fmt: skip
    """What is held at the end, and the error of one neuron that got these currents, one a step."""
    rows = torch.tensor(thresholds, dtype=torch.float64)[:, None]
    bias = torch.tensor(biases, dtype=torch.float64)[:, None]
    neuron = Neuron(rows, phi, bias[0] if len(bias) == 1 else bias, slope=function.slope, code=code, wait=wait)
    train = [None if current is None else torch.tensor([[current]], dtype=torch.float64) for current in currents]
    target = torch.tensor([[activation]], dtype=torch.float64)
    outputs, split = split_coded_error(neuron, len(currents), 1, train, function, target)  # type: ignore[arg-type]
    return float(outputs[-1]), split


def parts(found: tuple[float, ErrorSplit]) -> tuple[float, ...]:
    return tuple(float(getattr(found[1], part)) for part in PARTS)


def test_a_held_value_by_hand() -> None:
    """Thresholds 2 and 1, one spike a step. It knows 0, then 3.6, where the ANN has 3. At most 3 can be said, and would
    be if 3.6 had been there at once; what is said is 1."""
    found = one_neuron(Held(), [0.0, 3.6], [2.0, 1.0], activation=3.0)
    assert found[0] == 1
    assert parts(found) == pytest.approx((0.6, -0.6, 0.0, -2.0))
    assert [float(count) for count in found[1].spikes] == [0, 1]


def test_quantisation_is_the_distance_to_what_the_code_can_say() -> None:
    """0.9 as one power of two is 1, in three of both signs 29/32; 0.6 of a window's half octaves is 2^-1/2."""
    assert parts(one_neuron(OneHot(3), [0.9], [1.0], activation=0.9)) == pytest.approx((0, 0, 0.1, 0))
    assert parts(one_neuron(OneHot(6), [0.9] * 3, [1.0] * 3, activation=0.9)) == pytest.approx((0, 0, 0.00625, 0))
    phase = parts(one_neuron(Phase(per_octave=2, levels=2), [None, 0.65], [1.0] * 2, activation=0.65, wait=2))
    assert phase == pytest.approx((0, 0, 2**-0.5 - 0.65, 0))
    assert parts(one_neuron(Binary(), [2.5] * 3, [1.0] * 3, activation=2.5)) == pytest.approx((0, -0.75, 0, 0))


def test_neurons_that_wait_know_their_last_current_earlier() -> None:
    """1/2 and 1: with a wait of one step both steps know 1, and nothing is uneven."""
    even = one_neuron(OneHot(1), [0.5, 1.0], [1.0] * 2, activation=1.0, wait=1)
    assert (even[0], parts(even)) == (1.0, (0, 0, 0, 0))
    causal = one_neuron(Binary(), [0.5, 1.0], [1.0] * 2, activation=1.0)
    assert (causal[0], parts(causal)) == (0.5, (0, 0, 0, -0.5))


def test_biases_are_part_of_the_current() -> None:
    """Of the last step; in a code that chooses all at once, of the first."""
    assert parts(one_neuron(Held(), [1.0] * 2, [1.0] * 2, 1.0, 7, biases=[0.0, 2.0])) == (2, 0, 0, 0)
    at_once = one_neuron(Phase(1, 4), [1.0] * 2, [4.0] * 2, 1.0, wait=2, biases=[1.0, 9.0])
    assert parts(at_once) == (1, 0, 0, 0)


def test_functions_with_a_slope_or_a_ceiling() -> None:
    """-4 through a slope of 1/2 is -2, of which one spike of -1 is sent; a ReLU6 says no more than 6."""
    assert parts(one_neuron(Held(), [-4.0], [1.0], -2.0, function=Activation(slope=0.5))) == (0, 1, 0, 0)
    assert parts(one_neuron(Held(), [-4.0], [1.0], 0.0)) == (0, 0, 0, 0)
    six = one_neuron(Held(), [9.0], [1.0], 6.0, phi=7, function=Activation(ceiling=6.0))
    assert parts(six)[:2] == (0, 0)


CODE = st.sampled_from([Held(), Binary(), SignedDigits(), OneHot(5), Differential(4), Phase(4, 4)])
VALUE = st.floats(-4, 4)


@given(CODE, st.lists(VALUE, min_size=1, max_size=4), VALUE, st.integers(1, 3), st.integers(0, 4))
def test_the_parts_sum_to_the_error(code: Code, currents: list[float], activation: float, phi: int, wait: int) -> None:
    held, split = one_neuron(code, currents, [1.5] * len(currents), activation, phi, wait)
    assert sum(float(getattr(split, part)) for part in PARTS) == pytest.approx(held - activation, abs=1e-9)
    assert float(split.total) == pytest.approx(held - activation, abs=1e-9)
    if wait >= len(currents) - 1:
        assert float(split.unevenness) == 0


def converted(method: str, T: int, samples: Tensor | Frames, **options: object) -> tuple[SpikingNetwork, Calibration]:
    graph, _ = captured_architecture("residual")
    calibration = Calibration(graph, samples)
    return replace(make_method(method, **options).convert(graph, calibration, T), exit=None), calibration


SAMPLES = seeded((40, 3, 8, 8), seed=7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "T", "code", "wait"),
    [("held", 3, "held", "0"), ("sigma_delta", 3, "one_hot", "1"), ("phase", 4, "phase", "window")],
)
def test_the_report_agrees_with_the_simulator(method: str, T: int, code: str, wait: str) -> None:
    """Spikes of a neuron and step, thresholds, and at the last layer the value that is read out."""
    network, calibration = converted(method, T, SAMPLES)
    report = explain(network, calibration, samples=40)
    counts = simulate(network, SAMPLES).counts
    assert counts is not None
    for i, (layer, neuron) in enumerate(zip(report, network.neurons.values(), strict=True)):
        assert (layer.code, layer.wait, layer.role, layer.phi) == (code, wait, "signed", neuron.phi)
        assert layer.threshold == (float(neuron.threshold.min()), float(neuron.threshold.max()))
        spikes = float(counts.tally[i, -1, :, 0].mean())
        assert layer.rate == pytest.approx(spikes / layer.neurons / T)
        assert layer.errors is not None
        means = [getattr(layer.errors, part).mean for part in PARTS]
        assert sum(means) == pytest.approx(layer.errors.total.mean, abs=1e-9)
        if wait == "window" or i == 0:
            assert layer.errors.unevenness.rms == 0
    assert report[-1].errors is not None and 0 < report[-1].errors.total.rms < 1


@pytest.mark.slow
def test_frames_are_reported_by_their_mean_so_far() -> None:
    """The last current is that of the mean, which the ANN sees: a first layer inherits nothing but its bias."""
    drift = seeded((40, 3, 8, 8), seed=8) / 4
    frames = Frames(torch.stack([SAMPLES + drift, SAMPLES, SAMPLES - drift], 1))
    network, calibration = converted("held", 3, SAMPLES)
    still, moving = (explain(network, each)[0].errors for each in (calibration, Calibration(network.graph, frames)))
    assert still is not None and moving is not None
    assert moving.inherited.rms == pytest.approx(still.inherited.rms)
    assert moving.quantisation.rms == pytest.approx(still.quantisation.rms)
    assert moving.unevenness.rms > 0.001 > still.unevenness.rms == 0
