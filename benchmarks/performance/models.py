"""Converts published architectures and measures how near the spiking network comes.

`python -m benchmarks.performance.models` prints the table.

Weights are random, batch norms have the statistics of a batch, images have 64 x 64 pixels. What is measured is the
conversion of every operation, not accuracy: relative error of the output at T = 64 with bursts of 16 and light
calibration, and whether both schedules give the same spikes. Beside it stands what 0.1 % of noise on its input does to
the ANN: a network that magnifies it magnifies the errors of its first layers, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import torch
import torchvision.models as published
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from adapters.detection.ultralytics import detector
from adapters.points.pointnet import PointNet, Reduce
from benchmarks.conformance.outputs import relative_error
from conversion import BenchmarkError, capture, convert, simulate

IMAGES = (3, 64, 64)
POINTS = (3, 128)
CLASSES = 10


def yolo(activation: type[nn.Module]) -> nn.Module:
    """YOLOv8n built from its own description, without weights; it returns maps, boxes are decoded from their means."""
    return detector("yolov8n", CLASSES, activation)


def vit(layers: int) -> nn.Module:
    """ViT-B/16 for images of 64 x 64 pixels."""
    model: nn.Module = published.VisionTransformer(64, 16, layers, 12, 768, 3072, num_classes=CLASSES)
    # The head's weights are zero before training.
    nn.init.normal_(model.heads.head.weight, std=0.02)  # type: ignore[union-attr,arg-type]
    return model


def pointnet(reduce: Reduce, width: int = 1024) -> nn.Module:
    """PointNet for classes, `width` features for a cloud."""
    model = PointNet(CLASSES, reduce, width)
    # The transforms are the identity before training.
    for transform in (model.features.input_transform, model.features.feature_transform):
        nn.init.normal_(transform.last.weight, std=0.02)
    return model


def _segmentation(name: str) -> nn.Module:
    build = getattr(published.segmentation, name)
    model: nn.Module = build(weights=None, weights_backbone=None, num_classes=CLASSES)
    return model


def _classifier(name: str, **options: Any) -> nn.Module:
    model: nn.Module = getattr(published, name)(num_classes=CLASSES, **options)
    return model


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "vgg16_bn": (lambda: _classifier("vgg16_bn"), IMAGES),
    "resnet34": (lambda: _classifier("resnet34"), IMAGES),
    "squeezenet1_1": (lambda: _classifier("squeezenet1_1"), IMAGES),
    "mobilenet_v2": (lambda: _classifier("mobilenet_v2"), IMAGES),
    "deeplabv3_resnet50": (lambda: _segmentation("deeplabv3_resnet50"), IMAGES),
    "fcn_resnet50": (lambda: _segmentation("fcn_resnet50"), IMAGES),
    "vit_b_16": (lambda: vit(12), IMAGES),
    "swin_t": (lambda: _classifier("swin_t"), IMAGES),
    "yolov8n (SiLU)": (lambda: yolo(nn.SiLU), IMAGES),
    "yolov8n (ReLU)": (lambda: yolo(nn.ReLU), IMAGES),
    "pointnet (max)": (lambda: pointnet("max"), POINTS),
    "pointnet (mean)": (lambda: pointnet("mean"), POINTS),
}


def build(name: str) -> tuple[nn.Module, Tensor]:
    """A network with random weights in inference mode, and eight inputs for it."""
    make, shape = MODELS[name]
    torch.manual_seed(0)
    # Inputs that differ in more than noise: smooth images, and clouds of different places and extents.
    if shape == IMAGES:
        inputs = nn.functional.interpolate(torch.randn(8, 3, 8, 8), shape[1:], mode="bicubic")
    else:
        inputs = torch.randn(8, *shape) * torch.rand(8, 3, 1) + torch.randn(8, 3, 1)
    return settled(make(), inputs)


def settled(model: nn.Module, inputs: Tensor) -> tuple[nn.Module, Tensor]:
    """A network in inference mode whose batch norms have the statistics of a batch, and the batch.

    They shift by one standard deviation, which leaves most units active: deep random networks otherwise magnify noise a
    hundredfold, as trained ones do not, and no number of steps would be enough.
    """
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm)]
    # Only batch norms are in training mode: dropout, and heads with another output in training, are not.
    model.eval()
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
        nn.init.ones_(norm.bias)
        norm.train()
    with torch.no_grad():
        model(inputs)
    return model.eval(), inputs


def main(
    name: Annotated[list[str] | None, typer.Option(help="One of the networks; all when left out.")] = None,
    steps: int = 64, phi: int = 16, samples: int = 2, calibration: int = 4, thresholds: str = "mse",
) -> None:  # fmt: skip
    """Prints one row for each network."""
    title = f"T={steps}, phi={phi}, thresholds={thresholds}, {calibration} calibration samples, {samples} samples"
    table = Table(title=title, title_justify="left")
    for column in (
        "network",
        "operations",
        "layers of neurons",
        "relative error",
        "of 0.1 % noise",
        "sweep = step",
        "seconds",
    ):
        table.add_column(column, justify="left" if column == "network" else "right")
    for network in name or MODELS:
        row = measure(network, steps, phi, samples, calibration, thresholds)
        print(*row, sep=" | ", flush=True)
        table.add_row(*row)
    Console(width=100).print(table)


def measure(name: str, steps: int, phi: int, samples: int, calibration: int, thresholds: str) -> tuple[str, ...]:
    """One row of the table."""
    started = time.perf_counter()
    model, inputs = build(name)
    graph = capture(model, inputs)
    network = convert(graph, inputs[:calibration], "burst", T=steps, phi=phi, thresholds=thresholds)
    # Measured on calibration samples, since the error of time is of interest, not that of a small calibration set.
    images = inputs[:samples]
    with torch.no_grad():
        expected = model(images)
        noise = relative_error(model(images * (1 + 1e-3 * torch.randn_like(images))), expected)
    step, sweep = (simulate(network, images, at=[steps], schedule=schedule) for schedule in ("step", "sweep"))
    assert step.counts is not None and sweep.counts is not None
    same = torch.equal(step.counts.tally, sweep.counts.tally)
    error = relative_error(step.mean(steps), expected)
    operations = len(graph.body) - len(graph.output_encoders)
    return (
        name, str(operations), str(len(graph.firing)), f"{100 * error:.2f} %", f"{100 * noise:.2f} %",
        "yes" if same else "no", f"{time.perf_counter() - started:.0f}",
    )  # fmt: skip


if __name__ == "__main__":
    try:
        typer.run(main)
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None
