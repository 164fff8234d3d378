"""Times of a conversion and an evaluation: python -m benchmarks.performance.timing --data-root DATA --weights DATA

Evaluation is compared with T passes of the original module (channels-last, the same precision and batch size), in turn
and several times, because the speed of a shared machine drifts. Medians are printed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import torch
import typer
from rich.console import Console
from rich.table import Table

from adapters import NETWORKS, find_weights, load_weights
from benchmarks.execution.evaluate import EXIT_BATCHES
from conversion import BenchmarkError, Calibration, SpikingNetwork, capture, make_method, simulate
from conversion.simulation.exit_rules import EntropyRule, normalised_entropy
from conversion.stages import SSC, AdaFire
from tasks import TASKS

Result = TypeVar("Result")


def main(
    data_root: Annotated[Path, typer.Option(help="Folder of the datasets.")],
    weights: Annotated[Path | None, typer.Option(help="Folder of trained networks.")] = None,
    task: str = "cifar10", network: str = "resnet20", steps: int = 8, samples: int = 512, repeats: int = 7,
) -> None:  # fmt: skip
    """Prints a table of seconds."""
    data = TASKS[task](data_root)
    adapter = NETWORKS[network](data)
    model = adapter.build().eval()
    load_weights(model, find_weights(network, task, weights))
    images = adapter.encode(data.calibration(512, seed=0))
    batches = adapter.encode(torch.cat([batch.inputs for batch in data.test(data.batch, samples)])).split(data.batch)

    table = Table(title=f"{network} on {task}, T={steps}, {torch.get_num_threads()} threads", title_justify="left")
    table.add_column("what")
    table.add_column("seconds", justify="right")
    graph, seconds = timed(lambda: capture(model, images[:1]))
    table.add_row("capture", f"{seconds:.2f}")
    calibration = Calibration(graph, images)
    _, seconds = timed(lambda: calibration.histograms)
    table.add_row(f"statistics of {len(images)} calibration images", f"{seconds:.2f}")
    networks: dict[str, SpikingNetwork] = {}
    for method in (make_method("calibration"), make_method("burst", phi=4)):
        networks[method.label], seconds = timed(partial(method.convert, graph, calibration, steps))
        table.add_row(f"thresholds and light calibration, {method.label}", f"{seconds:.2f}")
    table.add_section()
    searched = SpikingNetwork(graph, steps)
    for stage in make_method("adafire_ssc").stages():
        searched, seconds = timed(partial(stage, searched, calibration))
        if isinstance(stage, AdaFire | SSC):
            table.add_row(f"search of {type(stage).__name__}, {stage.samples} images", f"{seconds:.2f}")
    table.add_section()
    fixed, early, mean = early_exit(networks["burst:phi=4"], images, batches, repeats)
    table.add_row(
        f"simulation of burst:phi=4, {samples} images in batches of {EXIT_BATCHES * data.batch}", f"{fixed:.2f}"
    )
    table.add_row(
        f"the same with early exit after {mean:.2f} steps on average", f"{early:.2f} ({fixed / early:.2f}x faster)"
    )
    for precision in (torch.float32, torch.bfloat16):
        name = str(precision).removeprefix("torch.")
        table.add_section()
        for label, converted in networks.items():
            ann, folded, snn = evaluation(model.to(precision), converted.to(precision), batches, steps, repeats)
            table.add_row(f"{steps} ANN passes of {samples} images, {name}", f"{ann:.2f}")
            table.add_row("the same with batch norms folded", f"{folded:.2f}")
            table.add_row(f"simulation of {label}, all counts", f"{snn:.2f} ({snn / ann:.2f}x, {snn / folded:.2f}x)")
    Console(width=100).print(table)


def evaluation(
    model: torch.nn.Module, snn: SpikingNetwork, batches: tuple[torch.Tensor, ...], steps: int, repeats: int
) -> tuple[float, float, float]:
    """Median seconds of T passes of the ANN, of the captured ANN, and of the simulation."""
    precision = snn.graph.dtype
    model = model.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def passes() -> None:
        for batch in batches:
            ready = batch.to(precision).contiguous(memory_format=torch.channels_last)
            for _ in range(steps):
                model(ready)

    def folded() -> None:
        for batch in batches:
            for _ in range(steps):
                snn.graph.run(batch)

    def evaluate() -> None:
        for batch in batches:
            simulate(snn, batch, steps, fast=True)

    contenders = (passes, folded, evaluate)
    for contender in contenders:
        contender()  # warms up, and compiles
    rounds = [[timed(contender)[1] for contender in contenders] for _ in range(repeats)]
    ann, graph, simulation = (statistics.median(seconds) for seconds in zip(*rounds, strict=True))
    return ann, graph, simulation


def early_exit(
    network: SpikingNetwork, images: torch.Tensor, batches: Sequence[torch.Tensor], repeats: int
) -> tuple[float, float, float]:
    """Median seconds with all T steps and with early exit near T / 2 steps, and the mean number of steps taken.

    The bar is the one that comes nearest to T / 2 on the calibration images.
    """
    readout = simulate(network, images, count=False)
    scores = torch.stack([1 - normalised_entropy(readout.mean(t), t) for t in range(1, network.T + 1)])
    bars = scores.flatten().quantile(torch.linspace(0, 1, 101)).tolist()
    exits = [torch.where((passed := scores > bar).any(0), passed.int().argmax(0) + 1, network.T) for bar in bars]
    distances = [abs(float(steps.double().mean()) - network.T / 2) for steps in exits]
    bar = bars[distances.index(min(distances))]
    stopping = replace(network, exit=EntropyRule((bar,) * network.T))
    inputs = torch.cat(list(batches)).split(EXIT_BATCHES * len(batches[0]))

    def run(contender: SpikingNetwork) -> float:
        steps = [simulate(contender, batch, at=[contender.T], fast=True).steps for batch in inputs]
        return float(torch.cat(steps).double().mean())

    mean = [run(contender) for contender in (network, stopping)][1]  # warms up, and compiles
    rounds = [[timed(partial(run, contender))[1] for contender in (network, stopping)] for _ in range(repeats)]
    fixed, early = (statistics.median(seconds) for seconds in zip(*rounds, strict=True))
    return fixed, early, mean


def timed(function: Callable[[], Result]) -> tuple[Result, float]:
    """A function's result and its wall-clock seconds."""
    started = time.perf_counter()
    result = function()
    return result, time.perf_counter() - started


if __name__ == "__main__":
    try:
        typer.run(main)
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None
