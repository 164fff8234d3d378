"""The options that commands share, as typer reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks.execution.plan import Rerun
from benchmarks.execution.workbench import Precision

Listed = Literal["tasks", "networks", "methods", "suites"]
TrainingPrecision = Literal["float32", "bfloat16"]
CalibrationName = Literal["light", "advanced", "none"]

SuiteOption = Annotated[str, typer.Option("--suite", help="A suite by name, or the path of a suite file.")]
TaskOption = Annotated[list[str] | None, typer.Option("--task", help="Only these tasks; globs; repeatable.")]
NetworkOption = Annotated[list[str] | None, typer.Option("--network", help="Only these networks; globs; repeatable.")]
MethodOption = Annotated[list[str] | None, typer.Option("--method", help="Only these methods; globs; repeatable.")]
StepsOption = Annotated[list[int] | None, typer.Option("--T", help="Only these numbers of timesteps; repeatable.")]
SeedOption = Annotated[list[int] | None, typer.Option("--seed", help="Only these seeds; repeatable.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Measure the first N test samples of a fixed shuffle.")]
DataOption = Annotated[Path | None, typer.Option("--data-root", help="Folder of the datasets.")]
WeightsOption = Annotated[Path, typer.Option("--weights", help="Folder of trained networks.")]
ResultsOption = Annotated[Path, typer.Option("--results", help="Where records and tables go.")]
PricesOption = Annotated[str | None, typer.Option("--price-list", help="Price energy by this list, not the suite's.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")]
PrecisionOption = Annotated[Precision, typer.Option(help="Of weights and activations.")]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="Cells measured at once.")]
RerunOption = Annotated[Rerun, typer.Option(help="Which finished cells to run again.")]
RESULTS = Path("results")
PUBLISHED = RESULTS / "published"
WEIGHTS = Path("runs/weights")


def leaderboard_of(results: Path) -> Path:
    """The repository's leaderboard for the published results; your own stands beside your own results."""
    return Path("leaderboard.md") if results == PUBLISHED else results / "leaderboard.md"
