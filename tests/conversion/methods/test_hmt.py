"""Methods `hmt` and `dcgs` with the published fit: groups of thresholds by hand, their counts, what is fitted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from conversion import Calibration, ConversionGraph, InvalidInput, convert, make_method, simulate
from conversion.calibration.normal import fit
from conversion.codes import Differential
from conversion.counting.operations import KINDS
from conversion.simulation.neuron import Layer, Neuron
from tests.conversion.toys import captured, seeded


def net(activation: nn.Module) -> ConversionGraph:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), activation, nn.Conv2d(6, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
    )
    return captured(model, seeded((1, 3, 8, 8)))


def group(currents: list[float], levels: int) -> tuple[list[float], list[int]]:
    """H-MT's group as its paper has it, smallest threshold 1: values and spikes of every step.

    The thresholds 2^(levels - 1) ... 1 are subtracted in this order, each where it fits; the potential starts at 1/2.
    """
    potential, values, spikes = 0.5, [], []
    for current in currents:
        potential += current
        fired = []
        for threshold in (2.0**power for power in reversed(range(levels))):
            if potential >= threshold:
                potential -= threshold
                fired.append(threshold)
        values.append(sum(fired))
        spikes.append(len(fired))
    return values, spikes


@given(st.integers(1, 5), st.lists(st.integers(-80, 200).map(lambda eighths: eighths / 8), min_size=1, max_size=6))
def test_a_group_is_a_burst_in_binary(levels: int, currents: list[float]) -> None:
    neuron = Neuron(torch.ones(1).double(), 2**levels - 1, torch.zeros(1).double(), in_binary=True)
    layer = Layer(neuron, len(currents), axis=1, fan_out=torch.tensor([3.0]).double())
    values, spikes = group(currents, levels)
    for current, value, count in zip(currents, values, spikes, strict=True):
        output, tally = layer.step(torch.tensor([[current]]).double())
        assert tally is not None and float(output) == value
        found = dict(zip(KINDS, tally.flatten().tolist(), strict=True))
        # Every threshold crossing is a spike (the paper's eq. 32); units are spikes of the smallest threshold.
        assert (found["spikes"], found["digits"], found["units"]) == (count, count, value)
        assert (found["events"], found["synops_unary"], found["synops_smallest"]) == (count > 0, 3 * count, 3 * value)


def test_seven_halves_by_hand() -> None:
    """Thresholds 4, 2, 1. 5.25 from 1/2 fires 4 and 1, and leaves 3/4; with 1.5 more, 2; -3 then is silent."""
    assert group([5.25, 1.5, -3.0], 3) == ([5.0, 2.0, 0.0], [2, 1, 0])


@pytest.mark.parametrize(("levels", "T"), [(4, 2), (2, 5)])
def test_thresholds_are_those_of_the_fit(levels: int, T: int) -> None:
    """The largest value of a step, 2^levels - 1 thresholds, is fitted with the levels of T steps."""
    graph, images = net(nn.ReLU()), seeded((20, 3, 8, 8), 1)
    network, moments = convert(graph, images, "hmt", T=T, levels=levels), Calibration(graph, images).moments
    most = 2**levels - 1
    for node, neuron in network.neurons.items():
        torch.testing.assert_close(neuron.threshold * most, fit(moments[node], T * most))
        assert (neuron.phi, neuron.in_binary, neuron.start, float(neuron.bias)) == (most, True, "potential", 0)
        assert neuron.payload_bits(T) == levels
    wanted = graph.run(images)
    assert float((simulate(network, images).mean(T) - wanted).norm() / wanted.norm()) < 0.25


def test_hmt_refuses_negative_outputs() -> None:
    with pytest.raises(InvalidInput, match=r"leaky_relu.* has negative outputs, which bursts in binary do not say"):
        convert(net(nn.LeakyReLU(0.1)), seeded((8, 3, 8, 8), 1), "hmt", T=2)
    with pytest.raises(InvalidInput, match="say no sign"):
        Neuron(torch.ones(1), 3, torch.zeros(1), signed=True, in_binary=True)


def test_dcgs_fits_as_published() -> None:
    """T 2^levels levels up to the largest amplitude; a leaky ReLU has as many below zero; no biases."""
    for activation in (nn.ReLU(), nn.LeakyReLU(0.1)):
        graph, images = net(activation), seeded((20, 3, 8, 8), 1)
        network = convert(graph, images, "dcgs", T=2, levels=4, thresholds="normal")
        moments = Calibration(graph, images).moments
        for node, neuron in network.neurons.items():
            assert isinstance(neuron.code, Differential) and neuron.code.levels == 4
            slope = graph.activation(node).slope
            assert not isinstance(slope, tuple)
            torch.testing.assert_close(neuron.threshold, fit(moments[node], 2 * 16, slope))
            assert (neuron.slope, float(neuron.bias.abs().max())) == (slope, 0)
    error: Tensor = simulate(network, images).mean(2) - graph.run(images)
    assert float(error.norm() / graph.run(images).norm()) < 0.25


@pytest.mark.parametrize("option", [{"energy": 0.01}, {"target": 0.2}])
def test_a_fit_that_knows_no_energy_refuses_weights_of_it(option: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="know no energy; leave out `energy` and `target`"):
        make_method("dcgs", thresholds="normal", **option)
