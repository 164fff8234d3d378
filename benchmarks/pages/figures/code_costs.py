"""What a code costs: expected spikes for each value against the error that they leave, computed from the codes.

Every code is tried with thresholds on a fine grid (those of held values fall by 1.5 to 4 from step to step), and of all
that keep to an error the fewest spikes count. A spike is one accumulation at every connection.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.pages.figures.base import Plot
from benchmarks.pages.figures.data import Source
from benchmarks.pages.figures.style import COLOURS, MARKERS, below, canvas, plain_log, with_n
from conversion.codes import Binary, Code, Differential, Held, OneHot, Phase, SignedDigits

VALUES = 1024
LARGEST, SMALLEST = 0.08, 0.0008
"""Errors that are drawn."""
ERRORS = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
# A name, and the points of the space that it stands for: code, number of steps, most spikes a step.
Family = tuple[str, Sequence[tuple[Code, int, int]]]
FAMILIES: Sequence[Family] = (
    ("unary: bursts, any T phi", [(Held(), 1, 255)]),
    ("held, T=2, falling thresholds, phi=7", [(Held(), 2, 7)]),
    ("held, T=3, falling thresholds, phi=7", [(Held(), 3, 7)]),
    ("binary digits, T=3 to 8", [(Binary(), T, 1) for T in range(3, 9)]),
    ("signed digits, T=3 to 8", [(SignedDigits(), T, 1) for T in range(3, 9)]),
    ("one-hot, sigma-delta, T=1", [(OneHot(n), 1, 1) for n in range(3, 9)]),
    ("one-hot, sigma-delta, T=2", [(OneHot(n), 2, 1) for n in range(3, 9)]),
    ("one-hot, sigma-delta, T=3", [(OneHot(n), 3, 1) for n in range(3, 9)]),
    ("one-hot, differential (DCGS), T=2", [(Differential(n), 2, 1) for n in range(3, 9)]),
    ("one-hot, differential (DCGS), T=3", [(Differential(n), 3, 1) for n in range(3, 9)]),
    ("one spike, 8 amplitudes", [(Phase(m, 1), 8, 1) for m in (1, 2, 3, 4)]),
    ("one spike, 16 amplitudes", [(Phase(m, 1), 16, 1) for m in (2, 3, 4, 6, 8)]),
    ("one spike, 40 amplitudes", [(Phase(m, 5), 8, 1) for m in (4, 6, 8, 12)]),
)  # fmt: skip


def points(family: Family, values: Tensor) -> Tensor:
    """Error, relative to the mean square of the values, and spikes for each value, of all thresholds: shape (n, 2)."""
    found = []
    for code, T, phi in family[1]:
        for thresholds in _thresholds(code, T, phi, float(values.max())):
            steps = list(code.spell([values] * T, list(values.new_tensor(thresholds)), phi, rectified=True))
            error = (steps[-1][0] - values).square().mean() / values.square().mean()
            found.append([float(error), sum(float(spikes.mean()) for _, spikes in steps)])
    return torch.tensor(found)


def cheapest(family: Family, values: Tensor) -> list[float | None]:
    """The fewest spikes for each value with which the error is at most each of ERRORS; None where none reaches it."""
    tried = points(family, values)
    within = [tried[tried[:, 0] <= error, 1] for error in ERRORS]
    return [float(spikes.min()) if len(spikes) else None for spikes in within]


def half_normal(count: int = 4096) -> Tensor:
    """|N(0, 1)| at equally likely quantiles."""
    share = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    quantiles: Tensor = torch.special.ndtri((1 + share) / 2)
    return quantiles


def _thresholds(code: Code, T: int, phi: int, largest: float) -> Iterator[list[float]]:
    falls, reach = [[1.0] * T], code.reach(T, phi)
    if isinstance(code, Held):
        reach = phi  # Of the last step: the others have larger thresholds.
        ratios = itertools.product((1.5, 2.0, 3.0, 4.0), repeat=T - 1)
        falls = [list(itertools.accumulate((1.0, *fall), lambda a, b: a * b))[::-1] for fall in ratios]
    # Of bursts of any size, few and many levels up to the largest value.
    shares = np.geomspace(0.004, 1.2, 120) if phi > 100 else np.geomspace(0.2, 2.0, 60) / reach
    for share in shares:
        for fall in falls:
            yield [largest * share * factor for factor in fall]


def code_costs(sources: Sequence[Source]) -> Iterator[Plot]:
    """The costs of all codes for half-normal values; no record is needed."""
    yield Plot("codes", draw_costs({"half-normal values |N(0, 1)|": half_normal(VALUES)}))


def draw_costs(samples: Mapping[str, Tensor]) -> Figure:
    """The cheapest points of every family, one panel for each kind of values."""
    figure, [panels] = canvas(1, len(samples), 4.4)
    for panel, (name, values) in zip(panels, samples.items(), strict=True):
        for index, family in enumerate(FAMILIES):
            front = cheapest_points(points(family, values))
            front = front[(front[:, 0] <= LARGEST) & (front[:, 0] >= SMALLEST)]
            again, colour = divmod(index, len(COLOURS))  # In a colour's second line dashes and another marker.
            panel.plot(
                front[:, 0].numpy(), front[:, 1].numpy(), color=COLOURS[colour], linestyle=("-", "--")[again],
                marker=MARKERS[(colour + 3 * again) % len(MARKERS)], markevery=max(1, len(front) // 6), markersize=3.5,
                label=family[0],
            )  # fmt: skip
        panel.set(xlim=(LARGEST, SMALLEST), ylim=(0.4, 10), title=f"{name}, computed")
        plain_log(panel, "y")
        plain_log(panel, "x")
        panel.set_xlabel(with_n("mean squared error / mean square of the values, falling", len(values), "values"))
        panel.set_ylabel(with_n("accumulations for each value", len(values), "values"))
    below(figure, panels[0], columns=3)
    return figure


def cheapest_points(tried: Tensor) -> Tensor:
    """Of errors and spikes, shape (n, 2), those that no smaller error undercuts, from the largest error on."""
    ordered = tried[tried[:, 0].argsort(descending=True)]
    least = ordered[:, 1].flip(0).cummin(0).values.flip(0)
    return ordered[ordered[:, 1] <= least]
