"""`paper`: what the paper's tables need, and the training of what is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from adapters import NETWORKS, find_weights, train
from benchmarks.api import Selected, select_suites
from benchmarks.choices import TrainingPrecision
from benchmarks.commands.plan import print_plan
from benchmarks.execution.worker import Settings
from benchmarks.suites.files import load_suites
from benchmarks.suites.paper import Need
from benchmarks.suites.suite import Suite
from conversion.errors import BenchmarkError, CheckpointError
from tasks import TASKS


@dataclass(frozen=True)
class Needed:
    """A trained network that a table needs, compared with what is on disk.

    Attributes:
        weights: the file of its weights; None where there is none.
        gap: what of its task's data is missing, in a sentence; None where all is there.
    """

    need: Need
    weights: Path | None
    gap: str | None

    def __str__(self) -> str:
        name = f"{self.need.network} for {self.need.task}"
        if self.weights is not None:
            return f"trained    {name}: {self.weights}"
        if self.need.weights == "published":
            where = NETWORKS[self.need.network].info.homepage
            return f"absent     {name}: its published weights are not there" + f"; see {where}" * (where is not None)
        if self.gap is not None:
            return f"impossible {name}: it cannot be trained. {self.gap}"
        time = f"on one GPU {self.need.gpu}, on a CPU {self.need.cpu}"
        return f"to train   {name}, with --train: {time}"


def needed(suite: Suite, settings: Settings) -> Iterator[Needed]:
    """The trained networks that the cells of a suite need, in the order of its table."""
    if suite.table is None:
        return
    for need in suite.table.needed():
        try:
            weights = find_weights(need.network, need.task, settings.weights)
        except CheckpointError:
            weights = None
        yield Needed(need, weights, TASKS[need.task](settings.data_root).missing())


def plan_paper(settings: Settings, results: Path, steps: list[int] | None, limit: int | None) -> None:
    """Prints for every table which networks and data are missing, and what `paper` would measure."""
    selected: list[Selected] = select_suites("paper", T=steps, limit=limit, results=results)
    for chosen in selected:
        print(f"# {chosen.suite.title}")
        for item in needed(chosen.suite, settings):
            print(item)
        print_plan(chosen, settings, "stale", None, cells=False)


def train_missing(settings: Settings, epochs: int | None) -> None:
    """Trains the networks of the paper's tables that have no weights and whose data are there, in their order.

    An interrupted training goes on where it was. Networks whose published weights a table is about are not trained.

    Args:
        settings: data, folder of the weights, and device.
        epochs: in place of the recipes'.
    """
    done: set[tuple[str, str]] = set()
    for item in (item for suite in load_suites("paper") for item in needed(suite, settings)):
        need = item.need
        if item.weights is not None or (need.task, need.network) in done:
            continue
        done.add((need.task, need.network))
        print(str(item), file=sys.stderr)
        if need.weights == "published" or item.gap is not None or settings.weights is None:
            continue
        precision: TrainingPrecision = "bfloat16" if settings.precision == "bfloat16" else "float32"
        try:
            train(
                NETWORKS[need.network], TASKS[need.task](settings.data_root), settings.weights, epochs=epochs,
                device=settings.device, precision=precision,
            )  # fmt: skip
        except BenchmarkError as error:  # The other tables go on.
            print(error, file=sys.stderr)
