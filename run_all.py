"""The whole benchmark behind one command. `python run_all.py --help` lists what it can do."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress

from adapters import NETWORKS, find_weights
from adapters import train as train_network
from benchmarks.cells import Cell
from benchmarks.execute import Workbench
from benchmarks.leaderboard import write_leaderboard
from benchmarks.released import Flags, chosen_method
from benchmarks.reports import measure as measure_conversion
from benchmarks.reports import show
from benchmarks.runner import due, plan
from benchmarks.runner import run as run_cells
from benchmarks.store import Store
from benchmarks.suite import Suite, load_suite, select, suite_names
from benchmarks.tables import write_tables
from conversion import save as save_network
from conversion.errors import BenchmarkError
from conversion.files import write_atomically
from conversion.methods import METHODS
from tasks import TASKS

app = typer.Typer(no_args_is_help=False, pretty_exceptions_enable=False, add_completion=False)


class Kind(StrEnum):
    tasks = "tasks"
    networks = "networks"
    methods = "methods"
    suites = "suites"


class PrecisionName(StrEnum):
    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class TrainingPrecision(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"


class CalibrationName(StrEnum):
    light = "light"
    advanced = "advanced"
    none = "none"


class RerunName(StrEnum):
    missing = "missing"
    failed = "failed"
    stale = "stale"
    all = "all"


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
RESULTS = Path("results")
PUBLISHED = RESULTS / "published"
WEIGHTS = Path("runs/weights")


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """The benchmark of ANN-to-SNN conversion. Without a command: run --suite mini."""
    if context.invoked_subcommand is None:
        run()


@app.command()
def run(
    suite: SuiteOption = "mini", task: TaskOption = None, network: NetworkOption = None, method: MethodOption = None,
    steps: StepsOption = None, seed: SeedOption = None, limit: LimitOption = None, data_root: DataOption = None,
    weights: WeightsOption = WEIGHTS, device: DeviceOption = "cpu",
    precision: Annotated[PrecisionName, typer.Option(help="Of weights and activations.")] = PrecisionName.auto,
    results: ResultsOption = RESULTS,
    rerun: Annotated[RerunName, typer.Option(help="Which finished cells to run again.")] = RerunName.stale,
    price_list: PricesOption = None,
) -> None:  # fmt: skip
    """Measures what is missing of a suite and writes results.csv, results.md and the leaderboard.

    Exits with 0 when all selected cells are there, 2 for a usage error, 3 when some failed.
    """
    chosen = load_suite(suite).adjusted(limit=limit, price_list=price_list)
    cells = select(
        chosen.cells(), tasks=task or (), networks=network or (), methods=method or (), steps=steps or (),
        seeds=seed or (),
    )  # fmt: skip
    bench = Workbench(data_root, weights, device, precision.value, results / "converted")
    store = Store(results, chosen.name)
    print(f"Suite {chosen.name}: loading {len(cells)} cells' data and networks", file=sys.stderr)
    planned = plan(cells, bench, store)
    todo = due(planned, rerun.value)
    changed = sorted({change for item in planned for change in item.changed})
    stale = f"; changed since measured: {', '.join(changed)}" if changed else ""
    print(f"Suite {chosen.name}: {len(cells)} cells, {len(todo)} to run{stale}", file=sys.stderr)
    store.prepare()
    if rerun is RerunName.all:
        for cell in todo:
            bench.forget(cell)
    try:
        run_cells(todo, bench, store)
    finally:
        _write(chosen, store, results)
    failed = sum((record := store.load(cell)) is None or record.status == "failed" for cell in cells)
    if failed:
        print(f"{failed} of {len(cells)} cells are not there; the table says why.", file=sys.stderr)
        raise typer.Exit(3)


@app.command()
def report(
    suite: SuiteOption = "mini", limit: LimitOption = None, results: ResultsOption = RESULTS,
    price_list: PricesOption = None,
) -> None:  # fmt: skip
    """Writes the tables of a suite and the leaderboard again from the records; measures nothing."""
    chosen = load_suite(suite).adjusted(limit=limit, price_list=price_list)
    store = Store(results, chosen.name)
    if not any(store.load(cell) for cell in chosen.cells()):
        raise BenchmarkError(f"There are no records of suite {chosen.name} in {store.cells}; run it first.")
    _write(chosen, store, results)


def _write(suite: Suite, store: Store, results: Path) -> None:
    page = write_tables(suite, store)
    # The repository's leaderboard is that of the published results; your own stands beside your own.
    leaderboard = Path("leaderboard.md") if results == PUBLISHED else results / "leaderboard.md"
    write_leaderboard(results, leaderboard)
    console = Console()
    if console.is_terminal:
        console.print(Markdown(page.read_text(encoding="utf-8")))
    else:
        print(page.read_text(encoding="utf-8"))
    print(f"Written: {page.with_name('results.csv')}, {page}, {leaderboard}", file=sys.stderr)


@app.command()
def convert(
    dataset: Annotated[str, typer.Option(help="A task, as `list tasks` names it.")],
    arch: Annotated[str, typer.Option(help="A network, as `list networks` names it.")],
    steps: Annotated[int, typer.Option("--T", min=1, help="Timesteps.")],
    calib: Annotated[CalibrationName | None, typer.Option(help="light when left out.")] = None,
    maxspike: Annotated[int | None, typer.Option(min=1, help="phi, and the target of --search; 4.")] = None,
    search: Annotated[bool, typer.Option("--search", help="AdaFire: choose phi for each layer.")] = False,
    maxspike_ratio: Annotated[
        float | None, typer.Option("--maxspike_ratio", "--maxspike-ratio", help="Energy budget of --search; 1.0.")
    ] = None,
    initialspike: Annotated[int | None, typer.Option(min=1, help="Largest phi of --search; 8.")] = None,
    desired_spike: Annotated[
        int | None, typer.Option("--desired_spike", "--desired-spike", help="Has to be that of --maxspike.")
    ] = None,
    minspike: Annotated[int | None, typer.Option(min=1, help="Smallest phi of --search; 1.")] = None,
    search_threshold: Annotated[
        bool, typer.Option("--search_threshold", "--search-threshold", help="SSC: enlarge thresholds.")
    ] = False,
    threshold_ratio: Annotated[
        float | None,
        typer.Option("--threshold_ratio", "--threshold-ratio", help="Error budget of --search_threshold; 1.0."),
    ] = None,
    iat: Annotated[bool, typer.Option("--iat", help="IAT: samples leave when the network is sure.")] = False,
    method: Annotated[str | None, typer.Option(help="In place of these flags: burst, burst:phi=4 ...")] = None,
    data_root: DataOption = None, weights: WeightsOption = WEIGHTS, limit: LimitOption = None, seed: int = 0,
    calibration: Annotated[int, typer.Option(min=1, help="Training samples that the conversion may look at.")] = 512,
    device: DeviceOption = "cpu",
    precision: Annotated[PrecisionName, typer.Option(help="Of weights and activations.")] = PrecisionName.auto,
    output: Annotated[Path | None, typer.Option(help="Write records and report to this file as JSON.")] = None,
    save: Annotated[Path | None, typer.Option(help="Keep the converted network; conversion.load reads it.")] = None,
) -> None:  # fmt: skip
    """Converts one network, with the flags of the paper's released scripts, and says what each layer loses."""
    flags = Flags(
        calib=calib.value if calib else None, maxspike=maxspike, search=search, maxspike_ratio=maxspike_ratio,
        initialspike=initialspike, desired_spike=desired_spike, minspike=minspike, search_threshold=search_threshold,
        threshold_ratio=threshold_ratio, iat=iat,
    )  # fmt: skip
    name, options = chosen_method(flags, method)
    for option, path in (("--output", output), ("--save", save)):
        if path is not None and not path.parent.is_dir():
            raise BenchmarkError(f"There is no folder {path.parent} for {option}; make it first.")
    cell = Cell(
        task=dataset, network=arch, method=name, options=options, T=steps if METHODS[name].timed else None, seed=seed,
        limit=limit, calibration=calibration,
    )  # fmt: skip
    bench = Workbench(data_root, weights, device, precision.value)
    console = Console(stderr=True)
    print(f"Converting {cell.label}", file=sys.stderr)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        progress = bar.add_task(
            "samples, of the conversion and its ANN", total=2 * bench.task(dataset).test_size(limit)
        )
        found = measure_conversion(cell, bench, lambda done: bar.advance(progress, done))
    if output is not None:
        write_atomically(output, found.model_dump_json(indent=1).encode())
    if save is not None:
        save_network(bench.convert(cell).network, save)
    show(found, "horowitz45", Console())


@app.command(name="list")
def list_(kind: Annotated[Kind, typer.Argument(help="What to list.")]) -> None:
    """Lists what there is, one name a line."""
    names: dict[Kind, Iterable[str]] = {
        Kind.tasks: TASKS,
        Kind.networks: NETWORKS,
        Kind.methods: METHODS,
        Kind.suites: suite_names(),
    }
    for name in names[kind]:
        print(name)


@app.command()
def doctor(data_root: DataOption = None, weights: WeightsOption = WEIGHTS) -> None:
    """Says which datasets and trained networks are on disk, and what is missing."""
    for name in TASKS:
        task = TASKS[name](data_root)
        gap = task.missing()
        print(f"task {name}: " + ("ready" if gap is None else f"{gap} Expected layout: {task.layout}"))
        for network in NETWORKS:
            if name in NETWORKS[network].tasks:
                try:
                    print(f"  network {network}: {find_weights(network, name, weights).name}")
                except BenchmarkError:
                    print(f"  network {network}: no weights; python run_all.py train --task {name} --network {network}")


@app.command()
def train(
    task: Annotated[str, typer.Option(help="What to train on.")],
    network: Annotated[str, typer.Option(help="What to train.")],
    data_root: DataOption = None,
    weights: WeightsOption = WEIGHTS,
    epochs: Annotated[int | None, typer.Option(help="In place of the network's recipe.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="In place of the network's recipe.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="In place of the network's recipe.")] = None,
    seed: int = 0,
    device: DeviceOption = "cpu",
    precision: Annotated[
        TrainingPrecision, typer.Option(help="bfloat16 is mixed precision.")
    ] = TrainingPrecision.float32,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted run.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace weights that are there already.")] = False,
) -> None:
    """Trains a network; the best epoch on a validation split of the training set is kept."""
    result = train_network(
        NETWORKS[network], TASKS[task](data_root), weights, epochs=epochs, batch_size=batch_size,
        learning_rate=learning_rate, seed=seed, device=device, precision=precision.value, resume=resume,
        overwrite=overwrite,
    )  # fmt: skip
    print(
        f"{result.path}: validation {result.validation_accuracy:.2f} at epoch {result.best_epoch} of {result.epochs}, "
        f"{result.seconds:.0f} s"
    )


def main() -> None:
    """Runs the command line; what the user can mend is one sentence and exit status 2."""
    try:
        app()
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        print(f"{error.filename or 'A file'} cannot be read or written: {error.strerror}.", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
