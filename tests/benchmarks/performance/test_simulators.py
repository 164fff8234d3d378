"""Neurons of other simulators in the place of ReLUs send what ours send."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn

from benchmarks.performance.simulators import SIMULATORS, Foreign, installed, with_neurons
from conversion import capture, convert, simulate

pytestmark = pytest.mark.slow

T = 6


class Twice(nn.Module):
    """One ReLU that is called twice, which makes two layers of neurons, around a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.head = nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        return self.head(self.relu(self.second(x) + x).mean((2, 3)))


@pytest.mark.parametrize("kind", SIMULATORS.values(), ids=[kind.__name__ for kind in SIMULATORS.values()])
def test_outputs_are_those_of_our_simulation(kind: type[Foreign]) -> None:
    if not installed(kind):
        pytest.skip(f"{kind.package} is not installed")
    torch.manual_seed(0)
    model, images = Twice().eval().double(), torch.rand(5, 2, 6, 6, dtype=torch.float64)
    snn = convert(capture(model, images[:1]), images, "burst", T=T, phi=1, channelwise=False, light=False)
    thresholds = [float(neuron.threshold) for neuron in snn.neurons.values()]
    assert len(thresholds) == 2
    run = with_neurons(fx.symbolic_trace(model), thresholds, T, kind)
    expected = simulate(snn, images).mean(T)
    for _ in range(2):  # From the initial potential again.
        torch.testing.assert_close(run(images), expected, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        assert not torch.allclose(model(images), expected, rtol=1e-2, atol=1e-2)


def test_a_package_that_is_not_there_is_told() -> None:
    class Absent(Foreign):
        package = "a_simulator_that_nobody_wrote"

    assert not installed(Absent)
