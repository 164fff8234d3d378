"""What a code costs: spikes for each value against the error that they leave, computed from the codes themselves.

    python -m benchmarks.performance.codes [--data-root DATA --weights DIR] [--picture FILE]

Values are half-normal, |N(0, 1)|, or, where CIFAR-10 and the weights are at hand, the activations of ResNet-20 that are
not zero. Every code is tried with thresholds on a fine grid (those of held values fall by 1.5 to 4 from step to step),
and of all that keep to an error the fewest spikes are printed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import numpy as np
import torch
import typer
from torch import Tensor

from benchmarks.pages.markdown import table
from conversion.codes import Binary, Code, Differential, Held, OneHot, Phase, SignedDigits

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


def resnet20_activations(data_root: Path, weights: Path, count: int = 4096) -> Tensor:
    """Activations of all layers that are not zero, each in units of its layer's root mean square, drawn at random."""
    from adapters import NETWORKS, find_weights
    from benchmarks.execution.evaluate import calibration_set, prepare
    from tasks import TASKS

    adapter = NETWORKS["resnet20"](TASKS["cifar10"](data_root))
    prepared = prepare(adapter, find_weights("resnet20", "cifar10", weights), torch.device("cpu"), torch.float32)
    drawn: list[Tensor] = []
    generator = torch.Generator().manual_seed(0)

    def observe(_: object, value: Tensor) -> None:
        active = value[value > 0].double()
        some = active[torch.randint(len(active), (count,), generator=generator)]
        drawn.append(some / some.square().mean().sqrt())

    prepared.graph.run(calibration_set(prepared, 64, 0).mean_inputs, observe=observe)
    return torch.cat(drawn)[:: len(drawn)]


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


def draw(samples: dict[str, Tensor], path: Path) -> None:
    """A picture of the cheapest points of every family, one panel for each kind of values."""
    figure, panels = plt.subplots(1, len(samples), figsize=(6 * len(samples), 5), squeeze=False, sharey=True)
    for panel, (name, values) in zip(panels[0], samples.items(), strict=True):
        for family, style in zip(FAMILIES, itertools.cycle(("-", "--", ":")), strict=False):
            tried = points(family, values)
            tried = tried[tried[:, 0].argsort(descending=True)]
            # From the largest error on, only what no point with a smaller error undercuts.
            least = tried[:, 1].flip(0).cummin(0).values.flip(0)
            front = tried[tried[:, 1] <= least]
            panel.plot(front[:, 0], front[:, 1], style, label=family[0])
        panel.set(xscale="log", yscale="log", xlim=(0.08, 0.0008), ylim=(0.4, 10), title=name)
        panel.set(xlabel="mean squared error / mean square of the values", ylabel="spikes for each value above zero")
        panel.grid(alpha=0.3)
    panels[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)


def main(
    data_root: Annotated[Path | None, typer.Option(help="folder of the datasets, with CIFAR-10")] = None,
    weights: Annotated[Path | None, typer.Option(help="folder with the weights of ResNet-20")] = None,
    picture: Annotated[Path | None, typer.Option(help="file of a picture, too")] = None,
) -> None:
    """Prints the fewest spikes for each value with which every code keeps to an error."""
    samples = {"half-normal values": half_normal()}
    if data_root is not None and weights is not None:
        samples["activations of ResNet-20"] = resnet20_activations(data_root, weights)
    for name, values in samples.items():
        rows = [
            [family[0], *("-" if spikes is None else f"{spikes:.2f}" for spikes in cheapest(family, values))]
            for family in FAMILIES
        ]
        print("\n".join([f"Spikes for each value, {name}", "", *table(["code", *map(str, ERRORS)], rows), ""]))
    if picture is not None:
        draw(samples, picture)


if __name__ == "__main__":
    typer.run(main)
