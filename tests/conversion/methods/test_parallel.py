"""Method `parallel`: its spikes by hand, the quantised network that it is, and its corrections of means."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, fx, nn

from conversion import Calibration, ConversionGraph, InvalidInput, SpikingNetwork, convert, simulate
from conversion.codes import Held, Unary
from conversion.simulation.coded import CodedLayer
from conversion.simulation.neuron import Layer, Neuron
from conversion.stages import Tuning
from tests.conversion.methods.test_qcfs import IMAGES, LEVELS, captured_residual
from tests.conversion.toys import captured, seeded


def spikes(neuron: Neuron, current: float, T: int) -> tuple[list[int], float]:
    """The spikes of one neuron that knows its current, and what its receivers hold in the end."""
    layer = CodedLayer(neuron, T, axis=1)
    found = [int(layer.send(torch.tensor([[current]]).double()).spikes) for _ in range(T)]
    return found, float(layer.held)


def unary(theta: float, T: int, psi: float = 0.0, gain: float = 1.0) -> Neuron:
    threshold, bias, factor = (torch.tensor([value]).double() for value in (theta / T, psi, gain))
    return Neuron(threshold, 1, bias, code=Unary(), wait=T, gain=factor)


@pytest.mark.parametrize(
    ("current", "expected"),
    [(1.1, [1, 1, 0, 0]), (0.25, [1, 0, 0, 0]), (0.24, [0, 0, 0, 0]), (9.0, [1, 1, 1, 1]), (-3.0, [0, 0, 0, 0])],
)
def test_spikes_by_hand(current: float, expected: list[int]) -> None:
    """theta = 2, four steps of 1/2: T times the current plus 1 are 5.4, 2, 1.96 ..., in units of 2 rounded down."""
    assert spikes(unary(2.0, 4), current, 4) == (expected, sum(expected) / 2)


def test_corrections_by_hand() -> None:
    """psi = 0.25 makes two spikes of 0.6, and phi = 0.2 lets each be worth a tenth more."""
    assert spikes(unary(2.0, 4), 0.6, 4)[0] == [1, 0, 0, 0]
    fired, held = spikes(unary(2.0, 4, psi=0.25, gain=1.1), 0.6, 4)
    assert fired == [1, 1, 0, 0] and held == pytest.approx(1.1)


@given(st.integers(1, 8), st.integers(-16, 200).map(lambda eighths: eighths / 64))
def test_as_many_spikes_as_of_an_integrating_neuron(T: int, current: float) -> None:
    """The paper's claim: for a current that does not change, the neuron that integrates sends the same number.

    Threshold 1, multiples of 1/64; half a threshold is never on an edge of T levels by rounding alone, as T is exact.
    """
    plain = Layer(Neuron(torch.ones(1).double(), 1, torch.zeros(1).double()), T, axis=1)
    by_step = sum(float(plain.step(torch.tensor([[current]]).double())[0]) for _ in range(T))
    # An eighth of a 64th off the edges, where division by T rounds.
    assert sum(spikes(unary(1.0, T), current + 1 / 512 / T, T)[0]) == by_step


def test_a_network_trained_for_it_loses_nothing() -> None:
    """QCFS with L = T levels: the converted network is the ANN, and there is nothing to correct (the paper's claim)."""
    graph = captured_residual()
    network = convert(graph, IMAGES, "parallel", T=LEVELS)
    for neuron in network.neurons.values():
        assert float(neuron.bias.abs().max()) < 1e-9
        assert neuron.gain is not None and float((neuron.gain - 1).abs().max()) < 1e-9
    torch.testing.assert_close(simulate(network, IMAGES).mean(LEVELS), graph.run(IMAGES))


def relu_network() -> tuple[ConversionGraph, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5)
    )
    images = seeded((40, 3, 8, 8))
    return captured(model, images[:1]), images


def test_it_is_a_quantised_network() -> None:
    """The ANN with theta / T (1 + phi/theta) clip(floor(T (z + psi) / theta + 1/2), 0, T) for its activations."""
    graph, images = relu_network()
    T = 3
    network = convert(graph, images, "parallel", T=T)
    sources = {node.all_input_nodes[0]: node for node in graph.firing}
    seen: dict[fx.Node, Tensor] = {}

    def quantised(node: fx.Node, value: Tensor) -> Tensor | None:
        if node in sources:
            seen[sources[node]] = value
            return None
        neuron = network.neurons[node]
        assert neuron.gain is not None
        step, bias, gain = (part.view(1, -1, 1, 1) for part in (neuron.threshold, neuron.bias, neuron.gain))
        return step * gain * ((seen[node] + bias) / step + 0.5).floor().clamp(0, T)

    expected = graph.run(images, observe=quantised, also=sources)
    torch.testing.assert_close(simulate(network, images).mean(T), expected)


def test_thresholds_and_means() -> None:
    """theta is the largest activation of a channel; psi makes means of currents agree; phi is where averages rest."""
    graph, images = relu_network()
    T = 3
    network, data = convert(graph, images, "parallel", T=T), Calibration(graph, images)
    first = graph.firing[0]
    neuron = network.neurons[first]
    torch.testing.assert_close(T * neuron.threshold, data.maxima[first].amax((1, 2)))
    # The first layer has the ANN's own currents.
    assert float(neuron.bias.abs().max()) < 1e-9
    theta = T * neuron.threshold
    layer = CodedLayer(replace(neuron, gain=None), T, axis=1)
    currents: list[Tensor] = []
    graph.run(images, lambda _, value: currents.append(value), also=[first.all_input_nodes[0]])
    fired = [layer.step(currents[0])[0] for _ in range(T)][-1].mean((0, 2, 3)) / theta
    wanted = currents[1].mean((0, 2, 3))
    # The release's average comes to rest where phi is the error that is left with it.
    assert neuron.gain is not None
    phi = (neuron.gain - 1) * theta
    torch.testing.assert_close(phi, wanted - fired * (theta + phi))


def test_what_it_does_not_take_is_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.LeakyReLU(0.1), nn.Linear(6, 3))
    x = seeded((8, 4))
    with pytest.raises(InvalidInput, match="'unary' has no negative values"):
        convert(captured(model, x[:1]), x, "parallel", T=4)
    with pytest.raises(InvalidInput, match="A gain is for neurons in a code"):
        Neuron(torch.ones(1), 1, torch.zeros(1), gain=torch.ones(1))
    graph, images = relu_network()
    held = Neuron(torch.ones(1).double(), 3, torch.zeros(1).double(), code=Held(), gain=2 * torch.ones(1).double())
    network = SpikingNetwork(graph, 2, nonlinear="instantaneous").with_neurons(dict.fromkeys(graph.firing, held))
    with pytest.raises(InvalidInput, match="have a gain between them"):
        Tuning(iterations=1)(network, Calibration(graph, images))
