"""Histograms and threshold rules against raw activations and published values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from conversion import convert, simulate
from conversion.calibration.histogram import BINS, ChannelHistogram
from conversion.calibration.quantisers import Quantisers
from conversion.calibration.thresholds import (
    PAPER_GRID,
    PERCENTILE,
    SATURATION_GRID,
    SILENT,
    ThresholdRule,
    choose_threshold,
)
from tests.conversion.toys import captured, quantisation_error, seeded

RULES: list[ThresholdRule] = ["max", "percentile", "mse", "mse_floor"]


def activations(samples: int = 60) -> Tensor:
    """Rectified values of four channels with different distributions, shape (samples, 4, 6, 6), float32."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(samples, 4, 6, 6, generator=generator)
    normal[:, 1] = 0.3 * normal[:, 1].exp()
    normal[:, 2] = 5 * normal[:, 2] - 4
    normal[:, 3] = torch.rand(samples, 6, 6, generator=generator) - 0.2
    return normal.relu()


def histogram(values: Tensor, axis: int = 1) -> ChannelHistogram:
    found = ChannelHistogram(values.shape[axis])
    found.add(values, axis)
    return found


# ---------------------------------------------------------------------------------------------------------- histograms


def assert_describes(found: ChannelHistogram, values: Tensor) -> None:
    """Every bin edge has as many positive values below it as there are, but for rounding at the edge."""
    rows = values.movedim(1, -1).reshape(-1, values.shape[1]).double().abs()
    assert found.counts.sum(1).tolist() == (rows > 0).sum(0).tolist()
    for channel, row in enumerate(rows.T):
        assert float(found.maximum[channel]) == float(row.max())
        assert float(row.max()) <= float(found.width[channel]) * BINS * (1 + 1e-6)
        edges = torch.arange(1, BINS + 1, dtype=torch.float64) * found.width[channel]
        positive = row[row > 0].sort().values
        least = torch.searchsorted(positive, edges * (1 - 1e-6))
        most = torch.searchsorted(positive, edges * (1 + 1e-6))
        below = found.counts[channel].cumsum(0)
        assert bool(((least <= below) & (below <= most))[:-1].all())


def test_histogram_of_one_batch() -> None:
    values = activations()
    found = histogram(values)
    assert_describes(found, values)
    torch.testing.assert_close(found.width, values.amax((0, 2, 3)).double() / BINS)
    torch.testing.assert_close(found.mean, values.double().mean((0, 2, 3)), rtol=1e-12, atol=0)


@pytest.mark.parametrize("descending", [False, True])
def test_histogram_grows_with_its_batches(descending: bool) -> None:
    """In any order: the same counts and maxima, and a right description. Small batches first make the range double."""
    values = activations()
    values = values[values.flatten(1).amax(1).argsort(descending=descending)]
    found = ChannelHistogram(4)
    for batch in values.split(7):
        found.add(batch, 1)
    assert_describes(found, values)
    doublings = torch.log2(found.width * BINS / values[:7].amax((0, 2, 3)))
    torch.testing.assert_close(doublings, doublings.round(), rtol=0, atol=1e-6)
    # The rows are sorted by their largest value, which channel 2 holds.
    assert (float(doublings[2]) == 0) is descending
    torch.testing.assert_close(found.mean, histogram(values).mean, rtol=1e-12, atol=0)


def test_histogram_by_any_axis_and_sign() -> None:
    """Channels last as after a linear layer; magnitudes of negative values, whose mean keeps the sign."""
    values = activations() - 0.2
    second, last = histogram(values), histogram(values.movedim(1, -1), axis=3)
    assert torch.equal(second.counts, last.counts)
    assert_describes(second, values)
    torch.testing.assert_close(second.mean, values.double().mean((0, 2, 3)), rtol=1e-12, atol=0)


@pytest.mark.parametrize("value", [1e-40, 1.5e-45, 1e-30])
def test_denormal_activations_are_dead(value: float) -> None:
    """Weight decay leaves such channels in published checkpoints; 1 / value overflows, value / phi T vanishes."""
    found = ChannelHistogram(2)
    found.add(torch.tensor([[value, 2.0], [0.0, 1.0]]), 1)
    for rule in RULES:
        threshold = choose_threshold(found, rule, 4, 2, channelwise=True)
        assert threshold[0] == threshold[1]
    found.add(torch.tensor([[3.0, 1.0]]), 1)
    assert found.maximum.tolist() == [3.0, 2.0]
    assert choose_threshold(found, "max", 4, 2, channelwise=True).tolist() == [1.5, 1.0]


# ---------------------------------------------------------------------------------------------------------- quantisers


@pytest.mark.slow
@settings(max_examples=500)
@given(
    st.integers(-4000, 40000), st.integers(1, 2000), st.integers(1, 32), st.integers(1, 8),
    st.sampled_from([Fraction(0), Fraction(1, 2)]),
)  # fmt: skip
def test_clamp_then_floor_equals_floor_then_clip(x: int, threshold: int, T: int, phi: int, rounding: Fraction) -> None:
    """floor(T clamp(x / V, 0, phi)) = clip(floor(x T / V), 0, phi T), since phi T is an integer; Eq. 7 in one line."""
    a, V = Fraction(x, 1024), Fraction(threshold, 256)
    released = math.floor(T * min(max(a / V + rounding / T, Fraction(0)), Fraction(phi)))
    equation = min(max(math.floor(a * T / V + rounding), 0), phi * T)
    assert released == equation
    error = quantisation_error(
        torch.tensor([float(a)], dtype=torch.float64), torch.tensor([float(V)], dtype=torch.float64), T, phi,
        float(rounding),
    )  # fmt: skip
    nearest = float(a * T / V + rounding)
    if abs(nearest - round(nearest)) > 1e-9:  # Where division could round up to the next level.
        assert float(error) == pytest.approx(float((equation * V / T - a) ** 2), rel=1e-9, abs=1e-24)


def squared_errors(values: Tensor, candidates: Tensor, T: int, phi: int, rounding: float) -> Tensor:
    """Sum of squared errors over raw values, by candidate: the definition."""
    found = []
    for V in candidates.tolist():
        levels = torch.floor(values * T / V + rounding).clamp(0, phi * T)
        found.append((levels * V / T - values).square().sum())
    return torch.stack(found)


@pytest.mark.slow
@pytest.mark.parametrize("channelwise", [True, False])
@pytest.mark.parametrize(("T", "phi"), [(1, 1), (8, 1), (8, 4), (32, 2), (4, 8)])
@pytest.mark.parametrize("rule", ["mse", "mse_floor"])
def test_least_squared_error_equals_brute_force(rule: ThresholdRule, T: int, phi: int, channelwise: bool) -> None:
    """On raw activations: an error within 1 % of the least, one grid step away; at T = 32 some more are alike."""
    values = activations(300)
    fractions = SATURATION_GRID / phi if rule == "mse" else PAPER_GRID
    found = choose_threshold(histogram(values), rule, T, phi, channelwise=channelwise)
    rows = list(values.double().transpose(0, 1)) if channelwise else [values.double()]
    assert len(found) == len(rows)
    for row, threshold in zip(rows, found, strict=True):
        candidates = row.max() * fractions
        errors = squared_errors(row.flatten(), candidates, T, phi, rounding=0.5 if rule == "mse" else 0.0)
        index = int((candidates - threshold).abs().argmin())
        assert float(candidates[index]) == pytest.approx(float(threshold), rel=1e-9)
        assert errors[index] <= 1.01 * errors.min()
        assert abs(index - int(errors.argmin())) <= (1 if T < 32 else 3)


def test_grids_as_published() -> None:
    """V = (1 - 0.01 i) max, i = 0..94 (SNN Calibration); phi V from 0.02 to 1.2 max."""
    torch.testing.assert_close(PAPER_GRID, torch.linspace(1.0, 0.06, 95, dtype=torch.float64))
    assert (float(SATURATION_GRID[0]), float(SATURATION_GRID[-1])) == pytest.approx((0.02, 1.2))
    assert float((SATURATION_GRID[1:] / SATURATION_GRID[:-1]).max()) < 1.035


HALF_NORMAL = {
    8: {1: 0.46, 2: 0.27, 4: 0.16, 8: 0.09, 16: 0.06},
    32: {1: 0.63, 2: 0.35, 4: 0.19, 8: 0.10, 16: 0.06},
}
"""V* / a_max by T and phi, for a_max = 4.73; 0.06 is the end of the grid."""


@pytest.fixture(scope="module")
def half_normal() -> Iterator[ChannelHistogram]:
    """Quantiles of |N(0, 1)|, as many as make the largest 4.73."""
    count = 222_000
    levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    values = torch.special.ndtri(0.5 + levels / 2)
    assert float(values.max()) == pytest.approx(4.73, abs=0.005)
    yield histogram(values[:, None])


@pytest.mark.parametrize("T", HALF_NORMAL)
@pytest.mark.parametrize("phi", [1, 2, 4, 8, 16])
def test_published_thresholds_of_half_normal_activations(half_normal: ChannelHistogram, T: int, phi: int) -> None:
    """Within two steps of the grid: the minimum is flat, and which step wins depends on the sample and on bins."""
    found = choose_threshold(half_normal, "mse_floor", T, phi, channelwise=True) / half_normal.maximum
    assert float(found) == pytest.approx(HALF_NORMAL[T][phi], abs=0.0201)


def test_rounding_thresholds_of_half_normal_activations(half_normal: ChannelHistogram) -> None:
    """T = 8, phi = 4: V* / a_max is .18 against .16, its error 5.2e-4 against 1.66e-3.

    Those errors are of a rectified normal, half of which is zero.
    """
    rounded = choose_threshold(half_normal, "mse", 8, 4, channelwise=True)
    floored = choose_threshold(half_normal, "mse_floor", 8, 4, channelwise=True)
    assert float(rounded / half_normal.maximum) == pytest.approx(0.18, abs=0.01)
    weights = half_normal.counts[0] / half_normal.counts.sum()
    errors = [
        float((quantisation_error(half_normal.centres[0], threshold, 8, 4, rounding) * weights).sum()) / 2
        for threshold, rounding in ((rounded, 0.5), (floored, 0.0))
    ]
    assert errors == pytest.approx([5.2e-4, 1.66e-3], rel=0.05)


def every_error(
    found: ChannelHistogram, rule: ThresholdRule, T: int, phi: int, channelwise: bool
) -> tuple[Tensor, Tensor]:
    """Candidates and their squared errors, bin by bin as Eq. 7 reads; both of shape (candidates, channels or 1)."""
    largest = found.maximum if channelwise else found.maximum.max().view(1)
    candidates = largest * (SATURATION_GRID / phi if rule == "mse" else PAPER_GRID)[:, None]
    errors = []
    for V in candidates:
        safe = torch.where(V > 0, V, 1.0)[:, None]
        error = quantisation_error(found.centres, safe, T, phi, 0.5 if rule == "mse" else 0.0) * found.counts
        errors.append(error.sum(1) if channelwise else error.sum().view(1))
    return candidates, torch.stack(errors)


def assert_chosen_as_bin_by_bin(
    found: ChannelHistogram, rule: ThresholdRule, T: int, phi: int, channelwise: bool
) -> None:
    """The first candidate of least error, exactly; where others are as good within rounding, one of these.

    A channel so far below the loudest that it counts as silent takes the layer's largest threshold instead.
    """
    chosen = choose_threshold(found, rule, T, phi, channelwise=channelwise)
    candidates, errors = every_error(found, rule, T, phi, channelwise)
    squares = (found.centres**2 * found.counts).sum(1)
    tie = errors.min(0).values * (1 + 1e-9) + 1e-13 * (squares if channelwise else squares.sum())
    for channel, threshold in enumerate(chosen):
        assert threshold > SILENT * chosen.max()
        best = candidates[errors[:, channel] <= tie[channel], channel]
        silent = best.min() <= SILENT * chosen.max()
        assert float(threshold) in best.tolist() or (silent and threshold == chosen.max())


@pytest.mark.slow
@settings(max_examples=60)
@given(
    rule=st.sampled_from(["mse", "mse_floor"]), T=st.sampled_from([1, 2, 3, 4, 8, 32, 64]),
    phi=st.sampled_from([1, 2, 4, 16]), channelwise=st.booleans(), data=st.data(),
)  # fmt: skip
def test_tail_sums_choose_as_bin_by_bin(
    rule: ThresholdRule, T: int, phi: int, channelwise: bool, data: st.DataObject
) -> None:
    """Histograms of few and of many bins, dead channels, widths far apart, outliers, ranges that were widened."""
    value = st.sampled_from([0.0, 1e-6, 0.5, 1.0, 1.5, 2.0, 1000.0]) | st.floats(2**-10, 10, width=32)
    rows = data.draw(st.lists(st.lists(value, min_size=3, max_size=3), min_size=1, max_size=12))
    few = torch.tensor(rows)
    found = histogram(few)
    if data.draw(st.booleans()):
        found.add(seeded((500, 3), data.draw(st.integers(0, 99)), torch.float32).relu() * (1 + few.amax(0)), 1)
    assert_chosen_as_bin_by_bin(found, rule, T, phi, channelwise)


@pytest.mark.parametrize(("step", "levels"), [(0.3, 5), (0.01, 40), (1e-4, 900), (1e-4, 40000), (5.0, 3), (2.0, 1)])
@pytest.mark.parametrize("rounding", [0.0, 0.5])
def test_quantisers_count_levels_and_errors(step: float, levels: int, rounding: float) -> None:
    """Few wide steps, and steps narrower than bins; by edges and by bins the same."""
    found = histogram(activations())
    level = torch.floor(found.centres / step + rounding).clamp(0, levels)
    expected = ((level * step - found.centres) ** 2 * found.counts).sum(1), (level * found.counts).sum(1)
    quantisers, width = Quantisers(found), torch.tensor([step], dtype=torch.float64)
    for result in (
        quantisers(width, levels, rounding), quantisers._by_edge(width, levels, rounding, levels),
        quantisers._by_bin(width, levels, rounding, BINS),
    ):  # fmt: skip
        for one, other in zip(result, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


# --------------------------------------------------------------------------------------------------------- other rules


def test_max_is_exact() -> None:
    values = activations()
    found = choose_threshold(histogram(values), "max", 8, 4, channelwise=True)
    assert torch.equal(found, values.amax((0, 2, 3)).double() / 4)
    assert choose_threshold(histogram(values), "max", 8, 4, channelwise=False).tolist() == [float(values.max()) / 4]


@pytest.mark.parametrize("channelwise", [True, False])
def test_percentile_of_the_positive_activations(channelwise: bool) -> None:
    """99.9 %, within the bin that holds it."""
    values = activations(500)
    found = histogram(values)
    thresholds = choose_threshold(found, "percentile", 8, 4, channelwise=channelwise) * 4
    rows = list(values.double().transpose(0, 1)) if channelwise else [values.double()]
    widths = found.width if channelwise else found.width.max().view(1)
    for row, threshold, width in zip(rows, thresholds, widths, strict=True):
        positive = row[row > 0]
        low = float(torch.quantile(positive, PERCENTILE, interpolation="lower") - width)
        high = float(torch.quantile(positive, PERCENTILE, interpolation="higher") + width)
        assert low <= float(threshold) <= high
        assert float(threshold) < float(row.max())


@pytest.mark.parametrize("rule", RULES)
def test_dead_channel_takes_the_largest_threshold_of_its_layer(rule: ThresholdRule) -> None:
    values = activations()
    alive = choose_threshold(histogram(values), rule, 8, 4, channelwise=True)
    values[:, 1] = 0
    found = choose_threshold(histogram(values), rule, 8, 4, channelwise=True)
    assert found[[0, 2, 3]].tolist() == alive[[0, 2, 3]].tolist()
    assert found[1] == found[[0, 2, 3]].max()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("channelwise", [True, False])
def test_dead_layer_is_safe(rule: ThresholdRule, channelwise: bool) -> None:
    found = choose_threshold(histogram(torch.zeros(3, 2, 4, 4)), rule, 8, 4, channelwise=channelwise)
    assert found.tolist() == [1.0] * (2 if channelwise else 1)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_dead_channels_do_not_poison_the_network(rule: ThresholdRule) -> None:
    """A threshold of zero would give 0 / 0."""
    conv = nn.Conv2d(3, 4, 3)
    nn.init.zeros_(conv.weight[1])
    with torch.no_grad():
        assert conv.bias is not None
        conv.bias.copy_(torch.tensor([0.1, -1.0, 0.1, 0.1]))
    model = nn.Sequential(conv, nn.ReLU(), nn.Conv2d(4, 2, 3), nn.ReLU())
    x = seeded((8, 3, 6, 6), dtype=torch.float32)
    network = convert(captured(model, x), x, "burst", T=64, thresholds=rule, phi=4)
    output = simulate(network, 2 * x).mean(64)
    assert bool(torch.isfinite(output).all())
    with torch.no_grad():
        assert (output - model(2 * x)).abs().max() < model(2 * x).abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("phi", [1, 3])
def test_saturation_level_does_not_exceed_the_ceiling_of_the_activation(rule: ThresholdRule, phi: int) -> None:
    """A ReLU6 on strong inputs: phi V <= 6 in every channel, and 6 where all is clipped."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Flatten())
    x = 20 * seeded((8, 3, 6, 6), dtype=torch.float32)
    network = convert(captured(model, x), x, "burst", T=8, phi=phi, thresholds=rule)
    (neuron,) = network.neurons.values()
    assert float((neuron.threshold * phi).max()) <= 6 + 1e-6
    clipped = histogram(torch.full((100, 1), 2.0))
    free = choose_threshold(clipped, rule, 8, phi, channelwise=True)
    held = choose_threshold(clipped, rule, 8, phi, channelwise=True, ceiling=1.5)
    assert torch.equal(held, free.clamp(max=1.5 / phi))
    assert float(held) == pytest.approx(1.5 / phi) or rule == "mse_floor"
