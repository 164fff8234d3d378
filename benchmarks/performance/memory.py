"""Peak memory of a large network: capture, conversion, simulation.

`python -m benchmarks.performance.memory` measures DeepLabv3 on ResNet-50 with random weights on images of 513x513, each
phase in a process of its own that also does what comes before it, so that a peak is what a run up to there needs.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch

from adapters import NETWORKS
from adapters.base import fitting
from benchmarks.execution.evaluate import readout_steps
from conversion import Calibration, capture, simulate
from conversion.methods import make_method
from tasks import TASKS

PHASES = {
    "ann": "one pass of the ANN",
    "capture": "capture",
    "simulate": "`burst:phi=4,thresholds=max,light=False`: thresholds, simulation of one image with all counts",
    "calibrate": "`burst:phi=4,thresholds=max`: thresholds, light calibration",
}
# Units of getrusage's ru_maxrss in a GiB.
UNIT = 2**30 if sys.platform == "darwin" else 2**20


def run(phase: str, network: str, size: int, T: int, samples: int) -> None:
    """Does a phase with all before it."""
    adapter = NETWORKS[network](TASKS[fitting(NETWORKS[network])[0]]())
    torch.manual_seed(0)
    model = adapter.build().eval()
    inputs = adapter.encode(torch.randint(0, 256, (samples, 3, size, size), dtype=torch.uint8))
    if phase == "ann":
        with torch.no_grad():
            model(inputs[:1])
        return
    graph = capture(model, inputs[:1])
    del model
    if phase == "capture":
        return
    method = make_method("burst", phi=4, thresholds="max", light=phase == "calibrate")
    spiking = method.convert(graph, Calibration(graph, inputs), T)
    if phase == "simulate":
        simulate(spiking, inputs[:1], at=readout_steps(T, sparse=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="deeplabv3_resnet50")
    parser.add_argument("--size", type=int, default=513, help="height and width of an image")
    parser.add_argument("--T", type=int, default=16)
    parser.add_argument("--samples", type=int, default=2, help="calibration images")
    parser.add_argument("--phase", choices=PHASES, help="one phase, in this process")
    arguments = parser.parse_args()
    if arguments.phase is not None:
        started = time.perf_counter()
        run(arguments.phase, arguments.network, arguments.size, arguments.T, arguments.samples)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT
        print(f"| {PHASES[arguments.phase]} | {peak:.2f} | {time.perf_counter() - started:.0f} |")
        return
    print(f"| {arguments.network}, {arguments.size}x{arguments.size}, T = {arguments.T} | GiB | seconds |", flush=True)
    for phase in PHASES:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.performance.memory", *sys.argv[1:], "--phase", phase], check=True
        )


if __name__ == "__main__":
    main()
