"""Simulation time beside other simulators: python -m benchmarks.performance

The same network, weights, thresholds, images, number of steps, batch, precision and threads for all, in one process,
in turn and several times, because the speed of a shared machine drifts. The floor is T passes of the ANN with batch
norms folded. Weights are random: the time does not depend on what the classes are. On a CPU with one thread, seconds
are of the processor, so that other processes count less; else they are of the clock.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import torch
import torchvision.models as published
import typer
from torch import nn
from torch.fx.experimental.optimization import fuse

from benchmarks.conformance.outputs import relative_error
from benchmarks.performance.models import settled
from benchmarks.performance.simulators import SIMULATORS, installed, with_neurons
from benchmarks.records.machine import this_machine
from conversion import BenchmarkError, InvalidInput, capture, convert, simulate

CLASSES = 10


def resnet18() -> nn.Module:
    """ResNet-18 with the stem for images of 32 x 32: a 3 x 3 convolution and no pooling."""
    model: nn.Module = published.resnet18(num_classes=CLASSES)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def vgg11() -> nn.Module:
    """The convolutions of VGG-11 with average pooling, which all simulators do alike, and one linear layer."""
    features = published.vgg11_bn().features
    pooled = [nn.AvgPool2d(2) if isinstance(part, nn.MaxPool2d) else part for part in features]
    return nn.Sequential(*pooled, nn.Flatten(), nn.Linear(512, CLASSES))


NETWORKS: dict[str, Callable[[], nn.Module]] = {"resnet18": resnet18, "vgg11": vgg11}


def main(
    network: Annotated[list[str] | None, typer.Option(help="resnet18 or vgg11; both when left out.")] = None,
    steps: Annotated[list[int] | None, typer.Option(help="Numbers of steps; 8 when left out.")] = None,
    batch: int = 32, repeats: int = 5, precision: str = "float32", device: str = "cpu",
) -> None:  # fmt: skip
    """Prints the machine, the versions, and a table for each network and number of steps."""
    if precision not in ("float32", "bfloat16"):
        raise InvalidInput(f"The precision is {precision}; give float32 or bfloat16.")
    unknown = [name for name in network or () if name not in NETWORKS]
    if unknown:
        raise InvalidInput(f"There is no network {unknown[0]} to compare; give {' or '.join(NETWORKS)}.")
    print(machine(device))
    for name in network or NETWORKS:
        for T in steps or [8]:
            print(f"\n{name}, T = {T}, batch {batch}, {precision}, medians of {repeats} rounds\n")
            print("| | seconds | of the floor | output differs by |\n| --- | ---: | ---: | ---: |")
            for row in compare(NETWORKS[name](), T, batch, repeats, getattr(torch, precision), torch.device(device)):
                print("| " + " | ".join(row) + " |", flush=True)
    absent = [name for name, kind in SIMULATORS.items() if not installed(kind)]
    if absent:
        print(f"\nNot installed, and left out: {'; '.join(absent)}.")


def compare(
    model: nn.Module, T: int, batch: int, repeats: int, precision: torch.dtype, device: torch.device
) -> list[tuple[str, str, str, str]]:
    """Rows of the table: contender, median seconds, ratio to the floor, relative difference of the output to ours."""
    torch.manual_seed(0)
    model, images = settled(model, torch.randn(batch, 3, 32, 32))
    graph = capture(model, images[:1])
    snn = convert(graph, images, "burst", T=T, phi=1, channelwise=False, light=False).to(device).to(precision)
    thresholds = [float(neuron.threshold) for neuron in snn.neurons.values()]
    ann = fuse(model).to(device, precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
    given = images.to(device, precision).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def floor() -> None:
        for _ in range(T):
            ann(given)

    def ours(count: bool) -> Any:
        return simulate(snn, given, at=[T], count=count, fast=True).mean(T)

    contenders: dict[str, Callable[[], Any]] = {
        f"{T} passes of the ANN, the floor": floor,
        "ours, all counts": lambda: ours(count=True),
        "ours, without counts": lambda: ours(count=False),
    }
    for name, kind in SIMULATORS.items():
        if installed(kind):
            run = with_neurons(ann, thresholds, T, kind)
            contenders[name] = lambda run=run: run(given)  # type: ignore[misc]
    outputs = {name: run() for name, run in contenders.items()}  # warms up, and compiles
    rounds = [[timed(run, device) for run in contenders.values()] for _ in range(repeats)]
    seconds = [statistics.median(column) for column in zip(*rounds, strict=True)]
    expected = outputs["ours, without counts"].float()
    return [
        (
            name, f"{spent:.2f}", f"{spent / seconds[0]:.2f}",
            "" if outputs[name] is None else f"{100 * relative_error(outputs[name].float(), expected):.2f} %",
        )
        for name, spent in zip(contenders, seconds, strict=True)
    ]  # fmt: skip


def timed(run: Callable[[], Any], device: torch.device) -> float:
    """Seconds that a contender takes."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    _finish(device)
    started = clock()
    run()
    _finish(device)
    return clock() - started


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine(device: str) -> str:
    """The processor or GPU, threads, and versions of what is compared."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else str(this_machine())
    return f"{name}, threads: {torch.get_num_threads()}; {', '.join(_versions())}"


def _versions() -> list[str]:
    found = []
    for package in sorted({kind.package for kind in SIMULATORS.values()}):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    try:
        typer.run(main)
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None
