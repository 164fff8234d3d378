"""The transfer function of a neuron against its simulation, and its gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conversion.simulation.neuron import Layer, Neuron, Start
from conversion.simulation.transfer import mean_output, quantised_level


@pytest.mark.parametrize("start", ["potential", "shift", "none"])
@pytest.mark.parametrize("signed", [False, True])
def test_mean_output_is_the_output_under_an_even_current(start: Start, signed: bool) -> None:
    """Exactly, where it is neither silent nor saturated at any step; a wrong term would change most of the values."""
    T, currents = 8, 0.25 + 0.25 * torch.rand(200, 4, dtype=torch.float64)
    neuron = Neuron(
        torch.full((4,), 0.37), 2, torch.linspace(-0.1, 0.1, 4), start, signed, 0.25 if signed else 0.0,
        potential=torch.linspace(-0.2, 0.3, 4),
    )  # fmt: skip
    layer = Layer(neuron, T, axis=1)
    simulated = torch.stack([layer.step(currents)[0] for _ in range(T)]).mean(0)
    predicted = mean_output(neuron, currents, T, axis=1)
    torch.testing.assert_close(simulated, predicted, rtol=0, atol=1e-9)


def test_gradient_passes_the_floor_but_not_the_clip() -> None:
    current = torch.tensor([[-1.0], [0.3], [0.9], [5.0]], dtype=torch.float64, requires_grad=True)
    mean_output(Neuron(torch.ones(1), 2, torch.zeros(1)), current, 4, axis=1).sum().backward()
    assert current.grad is not None
    assert current.grad.flatten().tolist() == [0, 1, 1, 0]


@given(st.floats(-1e6, 1e6), st.integers(-5, 0), st.integers(1, 5))
def test_levels_are_the_same_with_and_without_a_gradient(position: float, lowest: int, highest: int) -> None:
    plain = torch.tensor(position, dtype=torch.float64)
    level = quantised_level(plain, lowest, highest)
    assert float(level) == min(max(position // 1, lowest), highest)
    assert torch.equal(quantised_level(plain.clone().requires_grad_(), lowest, highest).detach(), level)
