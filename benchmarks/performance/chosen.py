"""What `auto` chooses for published architectures, beside bursts with phi = 4, which were the default before it.

`python -m benchmarks.performance.chosen` prints a row for each network and method. Weights are random, batch norms have
the statistics of a batch, and images are smooth noise: there is no accuracy to measure, so rows have the error of the
output and the energy, both on images that neither a conversion nor a choice has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import timm
import torch
import torchvision.models as published
import typer
from torch import Tensor, nn

from adapters.detection.backbones import NarrowResNet
from adapters.detection.yolov2 import YOLOv2
from benchmarks.performance.models import settled
from conversion import Calibration, SpikingNetwork, capture, make_method
from conversion.capture.between import encode_between
from conversion.methods import choose
from conversion.stages.energy_target import measure

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mobilenet_v2": lambda: published.mobilenet_v2(num_classes=10),
    "shufflenet_v2_x1_0": lambda: published.shufflenet_v2_x1_0(num_classes=10),
    "yolov2_light": lambda: YOLOv2(NarrowResNet(), anchors=5, classes=3, width=192, passed=16),
    "timm/resnet10t": lambda: timm.create_model("resnet10t", num_classes=10),
}


def smooth(count: int, side: int, seed: int) -> Tensor:
    """Images of smooth noise, shape (count, 3, side, side)."""
    noise = torch.randn(count, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(noise, (side, side), mode="bicubic")


def main(
    name: Annotated[list[str] | None, typer.Option(help="One of the networks; all when left out.")] = None,
    steps: int = 8, side: Annotated[int, typer.Option(help="Of an image, in pixels.")] = 64,
    images: Annotated[int, typer.Option(help="Of the calibration; a quarter of them is for the choice.")] = 64,
    samples: Annotated[int, typer.Option(help="Images that are measured on.")] = 32,
) -> None:  # fmt: skip
    """Prints a row for each network and method."""
    calibration, unseen = smooth(images, side, 1), smooth(samples, side, 2)
    for network in name or NETWORKS:
        torch.manual_seed(0)
        ann, _ = settled(NETWORKS[network](), calibration)
        graph = capture(ann, calibration[:1])
        fitted = Calibration(graph, calibration)
        signed = [{"signed": False}, {"signed": True}]
        between = [] if encode_between(graph) is graph else [{"signed": True, "between": True}]
        for options in (*signed, *between):
            method = make_method("burst", phi=4, **options)
            show(network, method.label, method.convert(graph, fitted, steps), unseen)
        choice = choose(graph, fitted, steps)
        show(network, f"auto: {choice.best.method.label}", choice.network, unseen)


def show(network: str, method: str, converted: SpikingNetwork, unseen: Tensor) -> None:
    error, share = measure(converted, Calibration(converted.graph, unseen))
    layers = len(converted.neurons)
    print(f"| {network} | `{method}` | {layers} | {100 * error:.2g} % | {100 * share:.0f} % |", flush=True)


if __name__ == "__main__":
    typer.run(main)
