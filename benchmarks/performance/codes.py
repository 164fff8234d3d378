"""What a code costs: spikes for each value against the error that they leave, computed from the codes themselves.

    python -m benchmarks.performance.codes [--data-root DATA --weights DIR] [--picture FILE]

Values are half-normal, |N(0, 1)|, or, where CIFAR-10 and the weights are at hand, the activations of ResNet-20 that are
not zero. Of all thresholds that keep to an error the fewest spikes are printed (`benchmarks.pages.figures.code_costs`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from benchmarks.pages.figures.code_costs import ERRORS, FAMILIES, cheapest, draw_costs, half_normal
from benchmarks.pages.figures.style import styled
from benchmarks.pages.markdown import table


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
        with styled():
            draw_costs(samples).savefig(picture)


if __name__ == "__main__":
    typer.run(main)
