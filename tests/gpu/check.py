"""Every path on a GPU against the CPU: one line for each check, with its figures (tests/gpu/run.sh starts it).

Data and weights are those that ship with the benchmark (digits); the speed table uses ResNet-20 with random weights.
With `--device cpu` sizes are reduced, and the CPU is compared with itself.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import Tensor, fx

from adapters import NETWORKS, find_weights, resolve_device, train
from adapters.images.resnet import CifarResNet
from benchmarks import run_suite
from benchmarks.choices import EngineName
from benchmarks.execution.evaluate import Prepared, calibration_set, prepare
from conversion import SpikingNetwork, capture, convert, make_method, simulate
from conversion.errors import BenchmarkError
from conversion.simulation.coded import make_layer
from conversion.simulation.schedules import StepSchedule
from tasks import TASKS

# Seconds after which no check begins.
LAST_START = 420.0
TASK, NETWORK = "digits", "digits_convnet"
Verdict = Literal["pass", "fail", "not run"]


@dataclass(frozen=True)
class Line:
    """One line of the report."""

    name: str
    verdict: Verdict
    figures: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.verdict:8}{self.name:16}{self.figures}  ({self.seconds:.1f} s)"


@dataclass
class Checks:
    """The checks, and what they share.

    Attributes:
        device: where; the CPU is the reference.
        reduced: whether sizes are small.
    """

    device: torch.device
    reduced: bool
    folder: Path
    lines: list[Line] = field(default_factory=list)

    # ---------------------------------------------------------------------------------------------- what is shared

    @cached_property
    def here(self) -> Prepared:
        return self._prepared(torch.device("cpu"))

    @cached_property
    def there(self) -> Prepared:
        return self._prepared(self.device)

    def _prepared(self, device: torch.device) -> Prepared:
        adapter = NETWORKS[NETWORK](TASKS[TASK](None))
        return prepare(adapter, find_weights(NETWORK, TASK, None), device, torch.float32)

    @cached_property
    def test(self) -> tuple[Tensor, Tensor]:
        """Encoded images of the test split and their classes, on the CPU."""
        (batch,) = self.here.task.test(100 if self.reduced else 539, 100 if self.reduced else 539)
        return self.here.adapter.encode(batch.inputs), batch.targets

    def converted(self, prepared: Prepared, method: str, T: int, **options: Any) -> SpikingNetwork:
        calibration = calibration_set(prepared, 64, 0)
        return make_method(method, **options).convert(prepared.graph, calibration, T)

    @cached_property
    def burst(self) -> SpikingNetwork:
        """A network that was converted on the CPU."""
        return self.converted(self.here, "burst", 4, phi=4)

    def accuracy(self, network: SpikingNetwork, fast: bool = False) -> tuple[float, float]:
        """Percent of the test images, and mean number of steps."""
        images, classes = self.test
        readout = simulate(network, images.to(network.graph.example), count=False, fast=fast)
        answers = readout.mean(network.T).argmax(1).cpu()
        return 100 * float((answers == classes).double().mean()), float(readout.steps.double().mean())

    # --------------------------------------------------------------------------------------------------- the checks

    def capture(self) -> tuple[bool, str]:
        """The ANN's outputs, to rounding."""
        images, _ = self.test
        own = self.here.graph.run(images)
        other = self.there.graph.run(images.to(self.device)).cpu()
        error = float((own - other).norm() / own.norm())
        # Sums of some hundred products in another order.
        return error < 1e-5, f"relative error of the ANN's outputs {error:.1e}"

    def calibration(self) -> tuple[bool, str]:
        """Thresholds and biases of a conversion on the device, beside those of the CPU."""
        other = self.converted(self.there, "burst", 4, phi=4)
        pairs = list(zip(self.burst.neurons.values(), other.neurons.values(), strict=True))
        own, found = (torch.cat([pair[side].threshold.cpu() for pair in pairs]) for side in (0, 1))
        odd = int(((own - found).abs() > 1e-4 * own).sum())
        accuracy = [self.accuracy(network)[0] for network in (self.burst, other)]
        # A value on the edge of two bins of a histogram may move a threshold by a step of the search, 3 %.
        passed = odd <= 0.02 * len(own) and abs(accuracy[0] - accuracy[1]) <= 1
        return passed, f"{odd} of {len(own)} thresholds differ; accuracy {accuracy[0]:.2f} and {accuracy[1]:.2f}"

    def spikes64(self) -> tuple[bool, str]:
        return self._spikes(torch.float64, 1e-6)

    def spikes32(self) -> tuple[bool, str]:
        # One potential in ten thousand lies within float32's error of a threshold, and what follows it differs, too.
        return self._spikes(torch.float32, 5e-3)

    def _spikes(self, dtype: torch.dtype, share: float) -> tuple[bool, str]:
        """Spikes of every neuron at every step, from the same thresholds."""
        images, _ = self.test
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        own, other = (spike_trains(moved(self.burst, dtype, place), images) for place in ("cpu", self.device))
        total = sum(train.numel() for train in own)
        differing = sum(int((a != b).sum()) for a, b in zip(own, other, strict=True))
        kind = str(dtype).removeprefix("torch.")
        return differing <= share * total, f"{kind}, no TF32: {differing:,} of {total:,} spike counts differ"

    def bfloat16(self) -> tuple[bool, str]:
        """Weights and activations in bfloat16, potentials in float32."""
        low = moved(self.burst, torch.bfloat16, self.device)
        accuracy, reference = self.accuracy(low)[0], self.accuracy(self.burst)[0]
        return abs(accuracy - reference) <= 2, f"accuracy {accuracy:.2f}, float32 on the CPU {reference:.2f}"

    def compiled(self) -> tuple[bool, str]:
        """Compiled neurons on the device, beside the plain ones there."""
        network = moved(self.burst, torch.float32, self.device)
        plain, fast = (self.accuracy(network, fast=fast)[0] for fast in (False, True))
        return abs(plain - fast) <= 0.5, f"accuracy {fast:.2f}, not compiled {plain:.2f}"

    def search(self) -> tuple[bool, str]:
        """AdaFire on the device."""
        found = self.converted(self.there, "adafire", 2, phi=2, phi_init=3 if self.reduced else 6, samples=32)
        own = self.converted(self.here, "adafire", 2, phi=2, phi_init=3 if self.reduced else 6, samples=32)
        phi = [tuple(neuron.phi for neuron in network.neurons.values()) for network in (found, own)]
        accuracy = [self.accuracy(network)[0] for network in (found, own)]
        # Candidates that are equally good may be chosen either way.
        return abs(
            accuracy[0] - accuracy[1]
        ) <= 3, f"phi {phi[0]}, CPU {phi[1]}; accuracy {accuracy[0]:.2f}, CPU {accuracy[1]:.2f}"

    def early_exit(self) -> tuple[bool, str]:
        """Samples leave the batch."""
        found, own = (self.accuracy(self.converted(side, "calibration_iat", 8)) for side in (self.there, self.here))
        passed = abs(found[0] - own[0]) <= 2 and abs(found[1] - own[1]) <= 0.1 and found[1] < 8
        return passed, f"accuracy {found[0]:.2f} in {found[1]:.2f} steps, CPU {own[0]:.2f} in {own[1]:.2f}"

    def training(self) -> tuple[bool, str]:
        """One epoch."""
        started = time.perf_counter()
        result = train(NETWORKS[NETWORK], TASKS[TASK](None), self.folder / "weights", epochs=1, device=str(self.device))
        seconds = time.perf_counter() - started
        # Chance is 10 %; on a CPU the first epoch gives 35 %.
        passed = result.validation_accuracy > 20
        return passed, f"validation {result.validation_accuracy:.2f} after one epoch, {seconds:.1f} s"

    def engine_local(self) -> tuple[bool, str]:
        """Processes of this machine, several where there are several GPUs."""
        gpus = torch.cuda.device_count() if self.device.type == "cuda" else 0
        return self._engine("local", 2 * gpus if gpus > 1 else 1, f"{gpus} GPUs")

    def engine_ray(self) -> tuple[bool, str] | None:
        """Ray's workers, each with a GPU of its own."""
        if find_spec("ray") is None:
            return None
        return self._engine("ray", 1, "ray")

    def _engine(self, engine: Literal["local", "ray"], workers: int, what: str) -> tuple[bool, str]:
        def measured(place: str, used: EngineName) -> Any:
            frame = run_suite(
                "smoke", methods="burst*", T=2, device=place, precision="float32", engine=used,
                workers=workers if used == engine else None, results=self.folder / f"{engine}_{used}",
            )  # fmt: skip
            return frame[frame["metric"] == "accuracy"].set_index("cell")["value"]

        own, found = measured("cpu", "inline"), measured(self.device.type, engine)
        worst = float((own - found).abs().max())
        # 200 images: two of them.
        passed = len(found) == len(own) > 0 and worst <= 1
        return (
            passed,
            f"{len(found)} cells with {workers} workers ({what}); accuracy at most {worst:.2f} from the CPU's",
        )

    def speed(self) -> tuple[bool, str]:
        """A table of ResNet-20 with random weights."""
        batch, T = (4, 2) if self.reduced else (256, 4)
        torch.manual_seed(0)
        images = torch.randn(batch, 3, 32, 32)
        graph = capture(CifarResNet(3, (16, 32, 64), "projection", 10).eval(), images[:2])
        network = convert(graph, images[: min(batch, 32)], "burst", T=T, phi=4)
        rows = []
        types = (torch.float32,) if self.reduced else (torch.float32, torch.bfloat16)
        for dtype in types:
            placed = moved(network, dtype, self.device)
            inputs = placed.graph.cast(images.to(self.device))
            floor = T * self._milliseconds(partial(placed.graph.run, inputs))
            for count, fast in ((True, False), (False, False), *(() if self.reduced else ((True, True),))):
                taken = self._milliseconds(partial(simulate, placed, inputs, at=[T], count=count, fast=fast))
                rows.append((str(dtype).removeprefix("torch."), count, fast, taken / batch, taken / floor))
        print(f"\nResNet-20, batch {batch}, T = {T}, phi = 4, on {self.name}")
        print(f"{'precision':12}{'counted':9}{'compiled':10}{'ms an image':>13}{'x T ANN passes':>16}")
        for precision, count, fast, each, ratio in rows:
            print(f"{precision:12}{count!s:9}{fast!s:10}{each:13.3f}{ratio:16.2f}")
        print()
        best = min(ratio for *_, ratio in rows)
        return math.isfinite(best), f"best {best:.2f} times T passes of the ANN"

    def _milliseconds(self, run: Callable[[], Any]) -> float:
        """Median of some runs after a warm-up."""
        run()
        times = []
        for _ in range(2 if self.reduced else 7):
            self._wait()
            started = time.perf_counter()
            run()
            self._wait()
            times.append(time.perf_counter() - started)
        return 1000 * statistics.median(times)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "the CPU"


CHECKS = ("capture", "calibration", "spikes64", "spikes32", "bfloat16", "search", "early_exit", "training", "speed",
          "engine_local", "engine_ray", "compiled")  # fmt: skip


def moved(network: SpikingNetwork, dtype: torch.dtype, place: torch.device | str) -> SpikingNetwork:
    """A copy of a network on a device, with weights of a type."""
    return copy.deepcopy(network).to(dtype).to(place)


@torch.no_grad()
def spike_trains(network: SpikingNetwork, images: Tensor) -> list[Tensor]:
    """The number of spikes of every neuron at every step, on the CPU."""
    layers = {
        node: make_layer(neuron, network.T, network.graph.channel_axis(node))
        for node, neuron in network.neurons.items()
    }
    found = []

    def spike(node: fx.Node, current: Tensor) -> Tensor:
        output, _ = layers[node].step(current)
        threshold = network.neurons[node].threshold.reshape(-1, *[1] * (current.dim() - 2)).to(output)
        found.append((output / threshold).round().to(torch.int16).cpu())
        return output

    schedule = StepSchedule(network, [network.graph.cast(images)], spike)
    for _ in range(network.T):
        schedule.advance()
    return found


def run(checks: Checks, names: tuple[str, ...]) -> list[Line]:
    """Runs checks, prints a line for each and returns them. What raises has failed."""
    begun = time.perf_counter()
    for name in names:
        started = time.perf_counter()
        if started - begun > LAST_START:
            line = Line(name, "not run", "no time is left", 0)
        else:
            try:
                found = getattr(checks, name)()
                verdict: Verdict = "not run" if found is None else "pass" if found[0] else "fail"
                figures = "ray is not installed: pip install -e '.[cluster]'" if found is None else found[1]
            except KeyboardInterrupt:  # Of tests/gpu/run.sh, when its time is over, or of the user.
                print(Line(name, "fail", "interrupted", time.perf_counter() - started), flush=True)
                raise
            except Exception as error:
                verdict, figures = "fail", f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            line = Line(name, verdict, figures, time.perf_counter() - started)
        print(line, flush=True)
        checks.lines.append(line)
    return checks.lines


@contextmanager
def checks_on(device: str) -> Iterator[Checks]:
    place = resolve_device(device)
    with TemporaryDirectory() as folder:
        yield Checks(place, place.type == "cpu", Path(folder))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests/gpu/run.sh", description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 ..., or cpu to try the script itself")
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=CHECKS, help="some of the checks")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        with checks_on(options.device) as checks:
            print(
                f"torch {torch.__version__} on {checks.name}{', reduced: no GPU is checked' if checks.reduced else ''}"
            )
            lines = run(checks, tuple(options.only))
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped after {time.perf_counter() - started:.0f} s; the checks behind it did not run")
        return 1
    verdicts = [line.verdict for line in lines]
    counts = ", ".join(f"{verdicts.count(kind)} {kind}" for kind in ("pass", "fail", "not run"))
    print(f"{counts}; {time.perf_counter() - started:.0f} s")
    absent = [line for line in lines if line.verdict == "not run" and line.name != "engine_ray"]
    return 1 if "fail" in verdicts or absent else 0


if __name__ == "__main__":
    sys.exit(main())
