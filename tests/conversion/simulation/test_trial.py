"""Neurons that try their input: SRP and COS by hand, and what their papers prove."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from conversion import InvalidInput, SpikingNetwork, convert, simulate
from conversion.simulation.frames import Frames
from conversion.simulation.neuron import Layer, Neuron
from conversion.simulation.saving import load, save
from conversion.simulation.trial import Trial, shifted_start
from tests.conversion.methods.test_qcfs import IMAGES, captured_residual

PLAIN = Neuron(torch.tensor([2.0]).double(), 1, torch.zeros(1).double())
# Multiples of 1/8, so that all sums are exact; a threshold is 16 of them.
CURRENTS = st.lists(st.integers(-40, 40).map(lambda eighths: eighths / 8), min_size=2, max_size=8)


def spikes(neuron: Neuron, currents: list[float], start: Tensor | None = None) -> tuple[list[int], float]:
    """The spikes of one neuron, from a given potential if any, and the potential that they leave."""
    layer = Layer(neuron, len(currents), axis=1)
    inputs = [torch.tensor([[current]], dtype=torch.float64) for current in currents]
    if neuron.rehearsal:
        layer.rehearse(inputs[: neuron.rehearsal])
    if start is not None:
        layer.rehearse(inputs)
        layer.state = (start,)
    found = [round(float(layer.step(current)[0] / neuron.threshold)) for current in inputs]
    return found, float(layer.state[0])


def silenced(steps: int) -> Neuron:
    return replace(PLAIN, trial=Trial(steps, "silence"))


def test_silence_by_hand() -> None:
    """Threshold 2, from 1: a neuron that was given 3 and then -2 ends at 1 + 3 - 2 - 2 = 0, and is not heard again."""
    assert spikes(silenced(2), [3, -2, 3, 3])[0] == [1, 0, 0, 0]
    # With an eighth more it is: reset to 1, it fires at 4 and at 5.
    assert spikes(silenced(2), [3, -1.875, 3, 3])[0] == [1, 0, 1, 1]
    # What is left from the trial does not count: 1 + 0.5 is no spike, after a trial that left 1.875.
    assert spikes(silenced(1), [0.875, 0.5, 0.5])[0] == [0, 0, 1]


def test_a_silenced_neuron_is_reset_as_if_it_fired() -> None:
    neuron = silenced(1)
    assert spikes(neuron, [-1, 3, 3, 3])[0] == [0, 0, 0, 0]
    # 1 + 3 - 2 + 3 - 2 + 3 - 2.
    assert spikes(neuron, [-1, 3, 3, 3])[1] == 4


def test_shift_by_hand() -> None:
    """Threshold 2: 3, -2 and -2 from 1 give a spike at 4 and end at -2; from 1 - max(2, 4 - 1.998) they give none."""
    tried = replace(PLAIN, trial=Trial(3, "shift"))
    start = shifted_start([torch.tensor([[c]]).double() for c in (3, -2, -2)], torch.tensor([[2.0]]).double())
    assert float(start) == pytest.approx(1 - 2.002)
    assert spikes(tried, [3, -2, -2])[0] == [0, 0, 0]
    # -2 and 7 from 1: silent at -1, a spike at 6, 4 left. From 1 + max(2, 2.002 + 1) both steps fire.
    start = shifted_start([torch.tensor([[c]]).double() for c in (-2, 7)], torch.tensor([[2.0]]).double())
    assert float(start) == pytest.approx(4.002)
    assert spikes(replace(PLAIN, trial=Trial(2, "shift")), [-2, 7])[0] == [1, 1]


@given(CURRENTS)
def test_a_potential_below_zero_is_a_spike_too_many(currents: list[float]) -> None:
    """SRP, theorem 1: of currents within the range the output exceeds the QCFS of their mean where v < 0 is left, falls
    short where a threshold or more is left, and equals it in between."""
    T, mean = len(currents), sum(currents) / len(currents)
    if not 0 <= mean <= 2:
        return
    fired, left = spikes(PLAIN, currents)
    # QCFS of the mean in spikes, floor(T mean / 2 + 1/2), of the sum: the mean itself may be rounded off an edge.
    wanted = min(max(math.floor((sum(currents) + 1) / 2), 0), T)
    assert (sum(fired) > wanted, sum(fired) < wanted) == (left < 0, left >= 2)


@given(CURRENTS)
def test_a_shift_changes_the_number_of_spikes_by_one(currents: list[float]) -> None:
    """COS, theorem 2: the same currents cause exactly one spike fewer or more, where one has to go and can."""
    before, left = spikes(PLAIN, currents)
    after, _ = spikes(replace(PLAIN, trial=Trial(len(currents), "shift")), currents)
    fewer, more = left < 0 and sum(before) > 0, left >= 2 and sum(before) < len(currents)
    assert sum(after) - sum(before) == more - fewer


def test_latency_and_steps() -> None:
    """Three layers. SRP: tau steps before those that are read. COS: each layer answers rho steps after its input."""
    srp = convert(captured_residual(), IMAGES, "srp", T=3, tau=2)
    assert (srp.T, srp.readout_start, srp.readout_end) == (5, 2, None)
    assert simulate(srp, IMAGES).counts.delay == 0  # type: ignore[union-attr]
    for T, end in ((2, 2), (6, None)):
        cos = convert(captured_residual(), IMAGES, "cos", T=T, rho=4)
        assert (cos.T, cos.readout_start, cos.readout_end) == (max(T, 4), 0, end)
        counts = simulate(cos, IMAGES).counts
        assert counts is not None and counts.delay == 3 * 4
        assert set(counts.updates(cos.T).tolist()) == {(cos.T + 4) * sum(counts.neurons)}


def test_what_is_read_is_the_mean_of_the_steps_that_count() -> None:
    srp = convert(captured_residual(), IMAGES, "srp", T=3, tau=2)
    whole = simulate(replace(srp, readout_start=0), IMAGES)
    after = (5 * whole.mean(5) - 2 * whole.mean(2)) / 3
    torch.testing.assert_close(simulate(srp, IMAGES).mean(5), after)
    cos = convert(captured_residual(), IMAGES, "cos", T=2, rho=4)
    whole = simulate(replace(cos, readout_end=None), IMAGES)
    assert torch.equal(simulate(cos, IMAGES).mean(4), whole.mean(2))


def test_the_first_layer_of_cos_sends_what_qcfs_sends() -> None:
    """Its current is the same at every step: nothing is uneven, so nothing is shifted; it only sends a trial twice."""
    plain, tried = (
        simulate(convert(captured_residual(), IMAGES, method, T=4), IMAGES).counts for method in ("qcfs", "cos")
    )
    assert plain is not None and tried is not None
    assert torch.equal(tried.tally[0, -1], 2 * plain.tally[0, -1])
    assert not torch.equal(tried.tally[2, -1], plain.tally[2, -1])


@pytest.mark.parametrize(("method", "T"), [("srp", 3), ("cos", 2), ("parallel", 4), ("hmt", 2)])
def test_networks_come_back_from_files(method: str, T: int, tmp_path: Path) -> None:
    network = convert(captured_residual(), IMAGES, method, T=T)
    save(network, tmp_path / "network.safetensors")
    again = load(network.graph, tmp_path / "network.safetensors")
    first, second = simulate(network, IMAGES), simulate(again, IMAGES)
    assert torch.equal(first.mean(network.T), second.mean(again.T))
    assert first.counts is not None and second.counts is not None
    assert torch.equal(first.counts.tally, second.counts.tally) and second.counts.delay == first.counts.delay


def test_bad_input_is_refused() -> None:
    frames = Frames(IMAGES[:, None].expand(-1, 4, -1, -1, -1))
    for method in ("srp", "cos"):
        with pytest.raises(InvalidInput, match="frames in time"):
            convert(captured_residual(), frames, method, T=4)
        network = convert(captured_residual(), IMAGES, method, T=4)
        with pytest.raises(InvalidInput, match="has to be the same at every step"):
            simulate(network, [IMAGES] * network.T)
        with pytest.raises(InvalidInput, match="the simulation to have as many"):
            simulate(network, IMAGES, T=3)
    with pytest.raises(InvalidInput, match="at least 1"):
        Trial(0, "shift")
    with pytest.raises(InvalidInput, match="start from half a threshold"):
        replace(PLAIN, phi=2, trial=Trial(2, "shift"))
    with pytest.raises(InvalidInput, match="give it as many at least"):
        SpikingNetwork(captured_residual(), 2).with_neurons(
            dict.fromkeys(captured_residual().firing, replace(PLAIN, trial=Trial(4, "shift")))
        )
