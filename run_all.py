"""The whole benchmark behind one command. `python run_all.py --help` lists what it can do."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from adapters import NETWORKS
from adapters import train as train_network
from benchmarks import conformance
from benchmarks.commands.options import (
    PUBLISHED,
    RESULTS,
    WEIGHTS,
    CalibrationName,
    DataOption,
    DeviceOption,
    LimitOption,
    Listed,
    MethodOption,
    NetworkOption,
    PrecisionOption,
    PricesOption,
    RerunOption,
    ResultsOption,
    SeedOption,
    StepsOption,
    SuiteOption,
    TaskOption,
    TrainingPrecision,
    WeightsOption,
    WorkersOption,
    leaderboard_of,
)  # fmt: skip
from benchmarks.engines import EngineName, make_engine, usual_workers
from benchmarks.engines.runner import run as run_jobs
from benchmarks.execution.doctor import checkup
from benchmarks.execution.estimate import time_needed
from benchmarks.execution.plan import due, impossible, summary
from benchmarks.execution.plan import plan as plan_cells
from benchmarks.execution.profiles import refuse_foreign_profiles
from benchmarks.execution.watch import status as show_status
from benchmarks.execution.workbench import Workbench
from benchmarks.execution.worker import Job, Settings, fail, workbench
from benchmarks.gate import reports as gate_reports
from benchmarks.gate.baselines import read_baseline, take_baseline, write_baseline
from benchmarks.gate.judge import judge_all
from benchmarks.gate.verify import verification, verify
from benchmarks.pages.conversion import measure_conversion, print_conversion
from benchmarks.pages.leaderboard import write_leaderboard
from benchmarks.pages.publication import publish_suite
from benchmarks.pages.publish import publish
from benchmarks.pages.tables import collect, write_tables
from benchmarks.records.published import PublishedSuite
from benchmarks.records.reading import Results, open_results, working_store
from benchmarks.references.released import Flags, chosen_method, defaults_of, released_network
from benchmarks.suites.cell import Cell
from benchmarks.suites.files import load_suite, suite_names
from benchmarks.suites.plugins import load_plugins, origin
from benchmarks.suites.schema import schema_text
from benchmarks.suites.selection import select
from benchmarks.suites.suite import Suite
from conversion import save as save_network
from conversion.errors import BenchmarkError
from conversion.files import write_atomically
from conversion.methods import METHODS
from tasks import TASKS

app = typer.Typer(no_args_is_help=False, pretty_exceptions_enable=False, add_completion=False)


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """The benchmark of ANN-to-SNN conversion. Without a command: run --suite mini."""
    load_plugins()
    if context.invoked_subcommand is None:
        run()


@app.command()
def run(
    suite: SuiteOption = "mini", task: TaskOption = None, network: NetworkOption = None, method: MethodOption = None,
    steps: StepsOption = None, seed: SeedOption = None, limit: LimitOption = None, data_root: DataOption = None,
    weights: WeightsOption = WEIGHTS, device: DeviceOption = "cpu", precision: PrecisionOption = "auto",
    results: ResultsOption = RESULTS,
    engine: Annotated[EngineName, typer.Option(help="Where cells are measured.")] = "local",
    workers: WorkersOption = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster, for --engine ray.")] = None,
    rerun: RerunOption = "stale", price_list: PricesOption = None,
) -> None:  # fmt: skip
    """Measures what is missing of a suite and writes results.csv, results.md and the leaderboard.

    Exits with 0 when all selected cells are there, 2 for a usage error, 3 when some failed or are impossible.
    """
    chosen, cells, _ = _selected(suite, limit, price_list, task, network, method, steps, seed, results)
    store = working_store(results, chosen.name)
    settings = Settings(data_root, weights, device, precision, results / "converted")
    pool = make_engine(engine, workers=workers, device=device, time_limit=chosen.time_limit, address=address)
    print(f"Suite {chosen.name}: loading data and networks", file=sys.stderr)
    planned = plan_cells(cells, workbench(settings), store)
    stuck = impossible(planned)
    for reason in dict.fromkeys(item.why for item in stuck):
        print(f"Impossible: {reason}", file=sys.stderr)
    todo = due(planned, rerun)
    needed = time_needed(todo, store.records(), pool.workers)
    print(f"Suite {chosen.name}: {summary(planned)}; {len(todo)} to run, {needed}", file=sys.stderr)
    again = rerun == "all"
    command = shlex.join(["python", "run_all.py", *sys.argv[1:]])
    jobs = {cell.id: Job(cell, results, chosen.name, settings, again, command) for cell in cells}
    store.prepare()
    for item in stuck:
        fail(jobs[item.cell.id], item.why, "impossible")
    for cell in todo if again else ():
        workbench(settings).forget(cell)
    interrupted = False
    try:
        run_jobs([jobs[cell.id] for cell in todo], pool, store, None if needed.unknown else needed.seconds)
    except KeyboardInterrupt:
        interrupted = True
    publish(chosen, store, results, leaderboard_of(results), cells)
    if interrupted:
        print("Interrupted. What is finished is stored; the same command does the rest.", file=sys.stderr)
        raise typer.Exit(130)
    absent = sum(store.state(cell)[0] != "done" for cell in cells)
    if absent:
        print(f"{absent} of {len(cells)} cells are not there; the table says why.", file=sys.stderr)
        raise typer.Exit(3)


@app.command()
def plan(
    suite: SuiteOption = "mini", task: TaskOption = None, network: NetworkOption = None, method: MethodOption = None,
    steps: StepsOption = None, seed: SeedOption = None, limit: LimitOption = None, data_root: DataOption = None,
    weights: WeightsOption = WEIGHTS, device: DeviceOption = "cpu", precision: PrecisionOption = "auto",
    results: ResultsOption = RESULTS, rerun: RerunOption = "stale", workers: WorkersOption = None,
) -> None:  # fmt: skip
    """Says of every selected cell whether `run` would measure it, and why; measures nothing."""
    chosen, cells, _ = _selected(suite, limit, None, task, network, method, steps, seed, results)
    store = working_store(results, chosen.name)
    planned = plan_cells(cells, workbench(Settings(data_root, weights, device, precision)), store)
    todo = due(planned, rerun)
    for item in planned:
        print(f"{item.state:10} {item.cell.label}" + f": {item.why}" * bool(item.why))
    needed = time_needed(todo, store.records(), workers or usual_workers(device))
    print(f"{summary(planned)}; {len(todo)} to run, {needed}")


@app.command()
def status(
    suite: SuiteOption = "mini", task: TaskOption = None, network: NetworkOption = None, method: MethodOption = None,
    steps: StepsOption = None, seed: SeedOption = None, limit: LimitOption = None, results: ResultsOption = RESULTS,
) -> None:  # fmt: skip
    """Says what is stored of a suite and which cells are being measured now, by whatever run."""
    _, cells, store = _selected(suite, limit, None, task, network, method, steps, seed, results)
    show_status(cells, store, Console())


def _selected(
    name: str, limit: int | None, price_list: str | None, tasks: list[str] | None, networks: list[str] | None,
    methods: list[str] | None, steps: list[int] | None, seeds: list[int] | None, results: Path,
) -> tuple[Suite, list[Cell], Results]:  # fmt: skip
    """A suite, the cells of it that were asked for, and its results."""
    suite = load_suite(name).adjusted(limit=limit, price_list=price_list)
    cells = select(
        suite.cells(), tasks=tasks or (), networks=networks or (), methods=methods or (), steps=steps or (),
        seeds=seeds or (),
    )  # fmt: skip
    store = open_results(results, suite.name)
    refuse_foreign_profiles(suite, store)
    return suite, cells, store


@app.command()
def report(
    suite: SuiteOption = "mini", task: TaskOption = None, network: NetworkOption = None, method: MethodOption = None,
    steps: StepsOption = None, seed: SeedOption = None, limit: LimitOption = None, results: ResultsOption = RESULTS,
    price_list: PricesOption = None, data_root: DataOption = None,
    pictures: Annotated[
        int | None, typer.Option(min=0, help="T of the pictures; 0 draws none, the fewest steps when left out.")
    ] = None,
) -> None:  # fmt: skip
    """Writes tables, pictures and the leaderboard of a suite again from the records; measures nothing.

    A selection is what is shown and drawn; the tables hold the whole suite.
    """
    chosen, cells, store = _selected(suite, limit, price_list, task, network, method, steps, seed, results)
    if all(store.state(cell)[0] == "missing" for cell in chosen.cells()):
        raise BenchmarkError(f"There are no records of suite {chosen.name} in {store.folder}; run it first.")
    publish(chosen, store, results, leaderboard_of(results), cells)
    if pictures != 0:
        from benchmarks.pages.pictures import draw  # Here, because matplotlib takes a moment to load.

        for line in draw(cells, store, store.folder / "pictures", pictures, data_root):
            print(line, file=sys.stderr)


@app.command()
def gate(
    baseline: Annotated[Path, typer.Option(help="The JSON file of a baseline; its samples lie beside it.")],
    suite: Annotated[str | None, typer.Option(help="Whose records to compare; the baseline's when left out.")] = None,
    limit: LimitOption = None, results: ResultsOption = RESULTS,
    update: Annotated[bool, typer.Option("--update", help="Take the records of --suite as the new baseline.")] = False,
    markdown: Annotated[Path | None, typer.Option(help="Write the verdicts to this file as Markdown.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdicts to this file as JUnit XML.")] = None,
) -> None:  # fmt: skip
    """Compares the records of a suite with a committed baseline; measures nothing.

    Exits with 0 when every cell passes, 4 when one regressed, 5 when not all could be compared, 2 for a usage error.
    """
    if suite is None and (update or limit is not None):
        raise BenchmarkError("--update and --limit need --suite: whose records are meant?")
    for file in (markdown, junit):
        if file is not None and not file.parent.is_dir():
            raise BenchmarkError(f"There is no folder {file.parent} for {file.name}; make it first.")
    chosen = load_suite(suite).adjusted(limit=limit) if suite is not None else None
    if update and chosen is not None:
        taken = take_baseline(chosen.name, chosen.cells(), open_results(results, chosen.name))
        samples = write_baseline(taken, baseline)
        print(f"Baseline of suite {taken.suite}, {len(taken.rows)} cells: {baseline}, {samples}")
        return
    kept = read_baseline(baseline)
    found = judge_all(kept, open_results(results, chosen.name if chosen else kept.suite))
    if markdown is not None:
        write_atomically(markdown, gate_reports.markdown(found).encode())
    if junit is not None:
        write_atomically(junit, gate_reports.junit(found))
    gate_reports.print_verdicts(found, Console())
    print(found.conclusion, file=sys.stderr)
    raise typer.Exit(found.exit_code)


@app.command(name="publish")
def publish_(
    suite: SuiteOption = "mini", results: ResultsOption = RESULTS,
    to: Annotated[Path, typer.Option(help="Folder of the published suites.")] = PUBLISHED,
) -> None:  # fmt: skip
    """Publishes what was measured of a suite as a few files, each bound to what measured it; measures nothing.

    Exits with 3 when cells are missing; the others are published.
    """
    chosen = load_suite(suite)
    published, missing = publish_suite(chosen, working_store(results, chosen.name), to)
    write_leaderboard(to, leaderboard_of(to))
    print(published.origin())
    if missing:
        print(f"Not there: {', '.join(cell.label for cell in missing)}; the table says so.", file=sys.stderr)
        raise typer.Exit(3)


@app.command(name="verify")
def verify_(
    suite: SuiteOption = "mini",
    cells: Annotated[int, typer.Option(min=1, help="How many cells, cheap ones of each method first.")] = 6,
    seed: Annotated[int, typer.Option(help="Draws the cells.")] = 0,
    data_root: DataOption = None, weights: WeightsOption = WEIGHTS, results: ResultsOption = PUBLISHED,
    engine: Annotated[EngineName, typer.Option(help="Where cells are measured.")] = "local",
    workers: WorkersOption = None,
    record: Annotated[bool, typer.Option("--record", help="Keep the outcome with the published suite.")] = False,
) -> None:  # fmt: skip
    """Measures cells of a published suite again and says of each: equal, within tolerance, or different.

    Exits with 0 when none is different, 4 when one is, 3 when some could not be measured, 2 for a usage error.
    """
    chosen = load_suite(suite)
    published = PublishedSuite(results, chosen.name)
    found = verify(chosen, published, cells, seed, data_root, weights, engine, workers)
    for line in (*found.faults, *found.cells):
        print(line)
    print(found.conclusion)
    if record:
        published.add(verification(found))
        write_tables(chosen, published, collect(chosen, published))
    raise typer.Exit(found.exit_code)


@app.command()
def convert(
    dataset: Annotated[str, typer.Option("--dataset", "--task", help="A task, as `list tasks` names it.")],
    arch: Annotated[
        str, typer.Option("--arch", "--network", help="A network, as `list networks` or the released scripts name it.")
    ],
    steps: Annotated[int, typer.Option("--T", min=1, help="Timesteps.")],
    calib: Annotated[CalibrationName | None, typer.Option(help="light when left out.")] = None,
    maxspike: Annotated[int | None, typer.Option(min=1, help="phi, and the target of --search; as released.")] = None,
    search: Annotated[bool, typer.Option("--search", help="AdaFire: choose phi for each layer.")] = False,
    maxspike_ratio: Annotated[
        float | None, typer.Option("--maxspike_ratio", "--maxspike-ratio", help="Energy budget of --search; 1.0.")
    ] = None,
    initialspike: Annotated[int | None, typer.Option(min=1, help="Largest phi of --search; as released.")] = None,
    desired_spike: Annotated[
        int | None, typer.Option("--desired_spike", "--desired-spike", help="Has to be that of --maxspike.")
    ] = None,
    minspike: Annotated[int | None, typer.Option(min=1, help="Smallest phi of --search; as released.")] = None,
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
    precision: PrecisionOption = "auto",
    output: Annotated[Path | None, typer.Option(help="Write records and report to this file as JSON.")] = None,
    save: Annotated[Path | None, typer.Option(help="Keep the converted network; conversion.load reads it.")] = None,
) -> None:  # fmt: skip
    """Converts one network, with the flags of the paper's released scripts, and says what each layer loses."""
    flags = Flags(
        calib=calib, maxspike=maxspike, search=search, maxspike_ratio=maxspike_ratio,
        initialspike=initialspike, desired_spike=desired_spike, minspike=minspike, search_threshold=search_threshold,
        threshold_ratio=threshold_ratio, iat=iat,
    )  # fmt: skip
    name, options = chosen_method(flags, method, defaults_of(dataset))
    for option, path in (("--output", output), ("--save", save)):
        if path is not None and not path.parent.is_dir():
            raise BenchmarkError(f"There is no folder {path.parent} for {option}; make it first.")
    arch = released_network(dataset, arch)
    cell = Cell(
        task=dataset, network=arch, method=name, options=options, T=steps if METHODS[name].timed else None, seed=seed,
        limit=limit, calibration=calibration,
    )  # fmt: skip
    bench = Workbench(data_root, weights, device, precision)
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
    print_conversion(found, "horowitz45", Console())


@app.command(name="list")
def list_(kind: Annotated[Listed, typer.Argument(help="What to list.")]) -> None:
    """Lists what there is, one name a line; behind a plug-in's name, where it comes from."""
    names: dict[str, Iterable[str]] = {
        "tasks": TASKS, "networks": NETWORKS, "methods": METHODS, "suites": suite_names(),
    }  # fmt: skip
    for name in names[kind]:
        source = None if kind == "suites" else origin(conformance.REGISTRIES[kind.removesuffix("s")][name])
        print(name if source is None else f"{name}  (plug-in {source})")


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A method, with options as in burst:phi=4; a task; or a network.")],
    kind: Annotated[conformance.Kind | None, typer.Option(help="Where a name means several things.")] = None,
    data_root: DataOption = None,
) -> None:
    """Tries whether a method, task or network keeps what the benchmark takes for granted.

    Exits with 0 when every check that applies passes, 1 when one fails, 2 for a usage error.
    """
    results = conformance.check(name, kind, data_root)
    conformance.print_results(name, results, Console())
    if any(result.verdict == "failed" for result in results):
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Prints the JSON schema of suite files, for editors (docs/suites.md)."""
    print(schema_text(), end="")


@app.command()
def doctor(data_root: DataOption = None, weights: WeightsOption = WEIGHTS, task: TaskOption = None) -> None:
    """Says which datasets and trained networks are on disk, and what is missing."""
    for line in checkup(data_root, weights, task or ["*"]):
        print(line)


@app.command()
def train(
    task: Annotated[str, typer.Option("--task", "--dataset", help="What to train on.")],
    network: Annotated[
        str, typer.Option("--network", "--arch", help="What to train, also as the released scripts name it.")
    ],
    data_root: DataOption = None,
    weights: WeightsOption = WEIGHTS,
    epochs: Annotated[int | None, typer.Option(help="In place of the network's recipe.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="In place of the network's recipe.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="In place of the network's recipe.")] = None,
    seed: int = 0,
    device: DeviceOption = "cpu",
    precision: Annotated[TrainingPrecision, typer.Option(help="bfloat16 is mixed precision.")] = "float32",
    resume: Annotated[bool, typer.Option(help="Continue an interrupted run.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace weights that are there already.")] = False,
) -> None:
    """Trains a network; the best epoch on a validation split of the training set is kept."""
    kind = NETWORKS[released_network(task, network)]
    result = train_network(
        kind, TASKS[task](data_root), weights, epochs=epochs, batch_size=batch_size,
        learning_rate=learning_rate, seed=seed, device=device, precision=precision, resume=resume,
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
