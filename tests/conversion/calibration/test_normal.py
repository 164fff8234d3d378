"""Thresholds from two moments: against a numerical minimum of the error, and on channels out of the ordinary."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from conversion import Calibration
from conversion.calibration.normal import Moments, fit
from conversion.simulation.neuron import leaky_relu
from tests.conversion.toys import captured, seeded


def error(theta: float, mean: float, deviation: float, levels: int, slope: float) -> float:
    """Mean squared error of the nearest of n levels, on equally likely currents; below zero a ReLU has none."""
    share = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000
    currents = mean + deviation * torch.special.ndtri(share)
    values, width = leaky_relu(currents, slope), theta / levels
    lowest = -levels if slope > 0 else 0
    return float((values - width * torch.floor(values / width + 0.5).clamp(lowest, levels)).square().mean())


@pytest.mark.parametrize(
    ("mean", "deviation", "levels", "slope"),
    [(0.0, 1.0, 1, 0.0), (0.0, 1.0, 32, 0.0), (-1.0, 0.5, 8, 0.0), (0.7, 3.0, 60, 0.0), (-0.4, 1.0, 15, 0.2),
     (0.0, 1.0, 16, 1.0)],
)  # fmt: skip
def test_no_other_threshold_errs_less(mean: float, deviation: float, levels: int, slope: float) -> None:
    moments = Moments(torch.tensor([mean]).double(), torch.tensor([deviation]).double())
    theta = float(fit(moments, levels, slope))
    least = error(theta, mean, deviation, levels, slope)
    assert all(
        error(theta * factor, mean, deviation, levels, slope) > least for factor in (0.5, 0.9, 0.97, 1.03, 1.1, 2)
    )


def test_it_has_the_scale_of_the_currents() -> None:
    """The release's hundred iterations from one do not: weights a thousand times as large would change its fit."""
    moments = Moments(*torch.tensor([[0.3], [1.2]], dtype=torch.float64))
    for scale in (1e-3, 1e3):
        scaled = Moments(scale * moments.mean, scale * moments.deviation)
        torch.testing.assert_close(fit(scaled, 64), scale * fit(moments, 64))


def iterated(mean: float, deviation: float, levels: int, theta: float, iterations: int) -> float:
    """The release's iteration theta <- k theta, as its formula is printed."""
    i = torch.arange(1, levels + 1, dtype=torch.float64)
    for _ in range(iterations):
        u = ((2 * i - 1) * theta / (2 * levels) - mean) / (2**0.5 * deviation)
        erf, bell = torch.erf(u), torch.exp(-u.square())
        above = (mean / theta) * (1 - erf.mean()) + deviation / (theta * (torch.pi / 2) ** 0.5) * bell.mean()
        theta *= float(above / (1 - ((2 * i - 1) / levels**2 * erf).sum()))
    return theta


def test_it_is_where_the_published_iteration_rests() -> None:
    """With few levels a hundred iterations are enough; with 64 they hardly move a threshold that began too large."""
    moments = Moments(torch.tensor([0.2]).double(), torch.tensor([0.5]).double())
    assert iterated(0.2, 0.5, 4, 1.0, 100) == pytest.approx(float(fit(moments, 4)), rel=1e-6)
    found = float(fit(moments, 64))
    assert iterated(0.2, 0.5, 64, found, 100) == pytest.approx(found, rel=1e-6)
    assert iterated(0.2, 0.5, 64, 2 * found, 100) > 1.5 * found


def test_channels_that_are_constant_or_never_active() -> None:
    """A constant is a level or near one; what is never above zero has no threshold, however far below it lies."""
    mean = torch.tensor([0.8, -0.8, 0.0, -50.0], dtype=torch.float64)
    deviation = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    found = fit(Moments(mean, deviation), 8)
    assert found[1:].tolist() == [0, 0, 0]
    level = found[0] / 8
    assert float((0.8 / level).round() * level) == pytest.approx(0.8, rel=1e-3)


def test_moments_are_those_of_the_currents() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    images = seeded((70, 3, 6, 6))
    graph = captured(model, images[:1])
    found = Calibration(graph, images).moments

    def expected(currents: Tensor) -> Moments:
        rows = currents.movedim(1, -1).flatten(0, -2)
        return Moments(rows.mean(0), rows.std(0, correction=0))

    for moments, currents in zip(found.values(), (images, model[:2](images)), strict=True):
        for ours, theirs in zip(moments, expected(currents), strict=True):
            torch.testing.assert_close(ours, theirs.detach())
