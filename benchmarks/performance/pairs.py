"""Linear layers that follow each other: neurons between them against one composed layer, in accumulations.

`python -m benchmarks.performance.pairs --network mobilenet_v2` prints the pairs whose second layer is pointwise and
whose first one reads neurons alone. Weights and images are those of `benchmarks.performance.chosen`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
import typer
from torch import fx

from benchmarks.performance.chosen import NETWORKS, smooth
from benchmarks.performance.models import settled
from conversion import SpikingNetwork, capture, convert, simulate
from conversion.capture.graph import ConversionGraph
from conversion.capture.roles import Role, arguments, aten, packet
from conversion.counting.operations import KINDS


@dataclass(frozen=True)
class Pair:
    """Two linear layers with neurons between them, in the means of samples.

    Attributes:
        first: the module of the first layer.
        reads, between: spikes that the first layer reads, and those of the neurons between.
        first_fan, second_fan: accumulations that a spike causes in the first and in the second layer.
        composed_fan: those that it would cause in both as one layer.
    """

    first: str
    reads: float
    between: float
    first_fan: float
    second_fan: float
    composed_fan: float

    @property
    def apart(self) -> float:
        """Accumulations with neurons between."""
        return self.reads * self.first_fan + self.between * self.second_fan

    @property
    def composed(self) -> float:
        """Accumulations of one layer that computes both."""
        return self.reads * self.composed_fan

    @property
    def worthwhile(self) -> float:
        """How many spikes there have to be between for each one read before one layer costs less."""
        return (self.composed_fan - self.first_fan) / self.second_fan


def pairs(network: SpikingNetwork, spikes: dict[str, float]) -> Iterator[Pair]:
    """The pairs of convolutions of a network with neurons between linear layers.

    Args:
        network: converted with `between`.
        spikes: of each layer of neurons, by its name, for one sample.
    """
    graph = network.graph
    for encoder in graph.firing:
        first = encoder.all_input_nodes[0]
        if packet(first) is not aten.conv2d or not encoder.name.startswith("between"):
            continue
        source: fx.Node = first.all_input_nodes[0]
        readers = [user for user in encoder.users if packet(user) is aten.conv2d]
        if graph.rules[source].role is not Role.FIRING or len(readers) != 1 or not _is_pointwise(graph, readers[0]):
            continue
        second_fan = _connections(graph, readers[0]) / encoder.meta["val"][0].numel()
        first_fan = _connections(graph, first) / source.meta["val"][0].numel()
        # Each place that a spike reaches of one output channel of the first is a place of all outputs of the second.
        outputs_reached = int(first.meta["val"].shape[1]) // _groups(first)
        yield Pair(
            str(list(first.meta["nn_module_stack"].values())[-1][0]), spikes[source.name], spikes[encoder.name],
            first_fan, second_fan, first_fan / outputs_reached * second_fan,
        )  # fmt: skip


def _groups(conv: fx.Node) -> int:
    return int(arguments(conv)["groups"])


def _is_pointwise(graph: ConversionGraph, conv: fx.Node) -> bool:
    kernel = graph.constant(conv.args[1]).shape[2:]
    return tuple(kernel) == (1, 1) and _groups(conv) == 1 and conv.meta["val"].shape[2:] == _read(conv).shape[2:]


def _read(conv: fx.Node) -> torch.Tensor:
    value: torch.Tensor = conv.all_input_nodes[0].meta["val"]
    return value


@torch.no_grad()
def _connections(graph: ConversionGraph, conv: fx.Node) -> float:
    """Connections of a convolution, those to padding left out."""
    weight, ones = graph.constant(conv.args[1]), torch.ones(1, *_read(conv).shape[1:])
    return float(torch.ops.aten.conv2d(ones, torch.ones_like(weight), None, *conv.args[3:]).sum())


def main(
    network: str = "mobilenet_v2", steps: int = 8, phi: int = 4,
    side: Annotated[int, typer.Option(help="Of an image, in pixels.")] = 64,
    images: Annotated[int, typer.Option(help="Of the calibration.")] = 32,
    samples: Annotated[int, typer.Option(help="Images that are measured on.")] = 4,
) -> None:  # fmt: skip
    """Prints a row for each pair, and their sum."""
    torch.manual_seed(0)
    calibration = smooth(images, side, 1)
    ann, _ = settled(NETWORKS[network](), calibration)
    graph = capture(ann, calibration[:1])
    converted = convert(graph, calibration, "burst", T=steps, phi=phi, signed=True, between=True)
    counts = simulate(converted, smooth(samples, side, 2), at=[steps]).counts
    assert counts is not None  # It was not asked to count nothing.
    by_layer = counts.tally[:, -1, :, KINDS.index("spikes")].mean(1).tolist()
    found = list(pairs(converted, dict(zip(counts.layers, by_layer, strict=True))))
    print("| first layer | spikes read | between / read | composed pays above | accumulations | composed |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for pair in found:
        print(
            f"| {pair.first} | {pair.reads:.3g} | {pair.between / pair.reads:.2f} | {pair.worthwhile:.2f} | "
            f"{pair.apart:.3g} | {pair.composed:.3g} |"
        )
    apart, composed = (sum(getattr(pair, kind) for pair in found) for kind in ("apart", "composed"))
    cheaper = sum(pair.composed < pair.apart for pair in found)
    print(f"{len(found)} pairs: {apart:.3g} accumulations, {composed:.3g} composed; {cheaper} are cheaper composed")


if __name__ == "__main__":
    typer.run(main)
