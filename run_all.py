#!/usr/bin/env python
"""The command line of the benchmark. `python run_all.py --help` lists its commands.

Each command reads its options and hands them to `benchmarks`, which is imported in the command: help pages and tab
completion answer without loading torch.
"""

from __future__ import annotations

import gc
import io
import sys
from typing import cast

import typer
from typer.core import TyperGroup

from benchmarks.choices import PUBLISHED, RESULTS, WEIGHTS
from benchmarks.commands import options as opt
from benchmarks.commands.config import user_defaults
from benchmarks.commands.stopping import Stopped, stoppable
from benchmarks.text import printable

# The libraries leave half a million objects that stay; looking through them for garbage again and again takes a fifth
# of the time of a command.
gc.set_threshold(50_000)

app = typer.Typer(no_args_is_help=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """The benchmark of ANN-to-SNN conversion. Without a command: run --suite mini."""
    commands = cast(TyperGroup, context.command)
    context.default_map = user_defaults(commands)
    if context.invoked_subcommand is None:
        command = commands.commands["run"]
        with command.make_context("run", [], parent=context) as own:
            command.invoke(own)


@app.command()
def run(
    suite: opt.Suite = "mini", task: opt.Task = None, network: opt.Network = None, method: opt.Method = None,
    steps: opt.Steps = None, seed: opt.Seed = None, limit: opt.Limit = None, data_root: opt.Data = None,
    weights: opt.Weights = WEIGHTS, device: opt.Device = "cpu", precision: opt.Precision = "auto",
    results: opt.Results = RESULTS, engine: opt.Engine = "local", workers: opt.Workers = None,
    address: opt.Address = None, rerun: opt.Rerun = "stale", price_list: opt.Prices = None,
    energy: opt.Energy = None, log: opt.Log = None,
) -> None:  # fmt: skip
    """Measures what is missing of a suite and writes results.csv, results.md and the leaderboard.

    Exits with 0 when all selected cells are there, 2 for a usage error, 3 when some failed or are impossible.
    """
    from benchmarks.commands.run import measure

    status = measure(
        suite, tasks=task, networks=network, methods=method, T=steps, seeds=seed, limit=limit, price_list=price_list,
        data_root=data_root, weights=weights, device=device, precision=precision, engine=engine, workers=workers,
        address=address, rerun=rerun, results=results, energy=energy, log=log,
    )  # fmt: skip
    raise typer.Exit(status)


@app.command()
def plan(
    suite: opt.Suite = "mini", task: opt.Task = None, network: opt.Network = None, method: opt.Method = None,
    steps: opt.Steps = None, seed: opt.Seed = None, limit: opt.Limit = None, data_root: opt.Data = None,
    weights: opt.Weights = WEIGHTS, device: opt.Device = "cpu", precision: opt.Precision = "auto",
    results: opt.Results = RESULTS, rerun: opt.Rerun = "stale", workers: opt.Workers = None,
    energy: opt.Energy = None,
) -> None:  # fmt: skip
    """Says of every selected cell whether `run` would measure it, and why; measures nothing."""
    from benchmarks.api import select_suites
    from benchmarks.commands.plan import print_plan
    from benchmarks.execution.worker import Settings

    selected = select_suites(
        suite, tasks=task, networks=network, methods=method, T=steps, seeds=seed, limit=limit, energy=energy,
        results=results,
    )  # fmt: skip
    for chosen in selected:
        print_plan(chosen, Settings(data_root, weights, device, precision), rerun, workers)


@app.command()
def status(
    suite: opt.Suite = "mini", task: opt.Task = None, network: opt.Network = None, method: opt.Method = None,
    steps: opt.Steps = None, seed: opt.Seed = None, limit: opt.ReadLimit = None, results: opt.Results = RESULTS,
    energy: opt.ReadEnergy = None,
) -> None:  # fmt: skip
    """Says what is stored of a suite and which cells are being measured now, by whatever run."""
    from rich.console import Console

    from benchmarks.api import select_suites
    from benchmarks.execution.watch import status as show_status

    for selected in select_suites(
        suite, tasks=task, networks=network, methods=method, T=steps, seeds=seed, limit=limit, energy=energy,
        results=results,
    ):  # fmt: skip
        show_status(selected.cells, selected.store, Console())
        if selected.absence:
            print(printable(selected.absence), file=sys.stderr)


@app.command()
def report(
    suite: opt.Suite = "mini", task: opt.Task = None, network: opt.Network = None, method: opt.Method = None,
    steps: opt.Steps = None, seed: opt.Seed = None, limit: opt.ReadLimit = None, results: opt.Results = RESULTS,
    price_list: opt.Prices = None, data_root: opt.Data = None, pictures: opt.Pictures = None,
    energy: opt.ReadEnergy = None,
) -> None:  # fmt: skip
    """Writes tables, pictures, the leaderboard and the page for the browser again from the records; measures nothing.

    A selection is what is shown and drawn; the tables hold the whole suite, leaderboard and page all suites.
    """
    from benchmarks.api import select_suites
    from benchmarks.commands.report import write_page_of, write_report

    chosen = select_suites(
        suite, tasks=task, networks=network, methods=method, T=steps, seeds=seed, limit=limit,
        price_list=price_list, energy=energy, results=results,
    )  # fmt: skip
    for selected in chosen:
        write_report(selected, pictures, data_root)
    write_page_of(results, chosen)


@app.command(name="serve")
def serve_(results: opt.Results = RESULTS, port: opt.Port = 8000) -> None:
    """Writes the page of all results and serves it to a browser of this machine, until Control-C; measures nothing."""
    from benchmarks.commands.serve import serve

    serve(results, port)


@app.command(name="compare")
def compare_(first: opt.First, second: opt.Second) -> None:
    """Compares two folders of results, or two commits of the published ones, cell by cell; measures nothing.

    Exits with 0 when nothing differs, 1 when something does, 2 when they cannot be compared.
    """
    from benchmarks.commands.compare import compare

    raise typer.Exit(compare(first, second))


@app.command()
def figures(
    suite: opt.Suites = "mini", figure: opt.Figures = None, task: opt.Task = None, network: opt.Network = None,
    method: opt.Method = None, steps: opt.Steps = None, seed: opt.Seed = None, limit: opt.ReadLimit = None,
    results: opt.Results = RESULTS, price_list: opt.Prices = None, energy: opt.ReadEnergy = None,
    data_root: opt.Data = None, to: opt.To = None,
) -> None:  # fmt: skip
    """Draws figures of suites from their records, as PDF, SVG and PNG; measures nothing.

    Without --figure: all that the records hold what they need for.
    """
    from benchmarks.api import select_suites
    from benchmarks.commands.figures import draw_figures

    selected = [
        chosen for name in suite.split(",") for chosen in select_suites(
            name, tasks=task, networks=network, methods=method, T=steps, seeds=seed, limit=limit,
            price_list=price_list, energy=energy, results=results,
        )
    ]  # fmt: skip
    draw_figures(selected, figure or (), to, data_root)


@app.command()
def tables(
    suite: opt.Suites = "mini", form: opt.TableFormat = None, task: opt.Task = None, network: opt.Network = None,
    method: opt.Method = None, steps: opt.Steps = None, seed: opt.Seed = None, limit: opt.ReadLimit = None,
    results: opt.Results = RESULTS, price_list: opt.Prices = None, energy: opt.ReadEnergy = None, to: opt.To = None,
) -> None:  # fmt: skip
    """Writes accuracy and energy of suites as LaTeX, CSV and Markdown tables for a paper; measures nothing."""
    from benchmarks.api import select_suites
    from benchmarks.commands.tables import write_grids

    selected = [
        chosen for name in suite.split(",") for chosen in select_suites(
            name, tasks=task, networks=network, methods=method, T=steps, seeds=seed, limit=limit,
            price_list=price_list, energy=energy, results=results,
        )
    ]  # fmt: skip
    write_grids(selected, form, to)


@app.command(name="paper")
def paper_(
    data_root: opt.Data = None, weights: opt.Weights = WEIGHTS, plan: opt.PlanOnly = False, train: opt.Train = False,
    epochs: opt.Epochs = None, steps: opt.Steps = None, limit: opt.Limit = None, device: opt.Device = "cpu",
    precision: opt.Precision = "auto", results: opt.Results = RESULTS, engine: opt.Engine = "local",
    workers: opt.Workers = None,
) -> None:  # fmt: skip
    """Regenerates every table of the paper: trains what is missing, if asked to, measures what is missing, reports.

    Exits with 0 when all cells are there, 3 when some are not; numbers that are not ours are quoted either way.
    """
    from benchmarks.commands.paper import plan_paper, train_missing
    from benchmarks.commands.run import measure
    from benchmarks.execution.worker import Settings

    settings = Settings(data_root, weights, device, precision)
    if epochs is not None and not train:
        raise typer.BadParameter("it does nothing without --train; add that or drop this one.", param_hint="--epochs")
    if plan:
        plan_paper(settings, results, steps, limit)
        return
    if train:
        train_missing(settings, epochs)
    status = measure(
        "paper", T=steps, limit=limit, data_root=data_root, weights=weights, device=device, precision=precision,
        engine=engine, workers=workers, results=results,
    )  # fmt: skip
    raise typer.Exit(status)


@app.command()
def gate(
    baseline: opt.Baseline, suite: opt.GatedSuite = None, limit: opt.ReadLimit = None,
    results: opt.Results = RESULTS, update: opt.Update = False, markdown: opt.Markdown = None,
    junit: opt.Junit = None,
) -> None:  # fmt: skip
    """Compares the records of a suite with a committed baseline; measures nothing.

    Exits with 0 when every cell passes, 4 when one regressed, 5 when not all could be compared, 2 for a usage error.
    """
    from benchmarks.commands.gate import gate as compare

    status = compare(
        baseline, suite=suite, limit=limit, results=results, update=update, markdown=markdown, junit=junit
    )  # fmt: skip
    raise typer.Exit(status)


@app.command(name="publish")
def publish_(suite: opt.Suite = "mini", results: opt.Results = RESULTS, to: opt.Published = PUBLISHED) -> None:
    """Publishes what was measured of a suite as a few files, each bound to what measured it; measures nothing.

    Exits with 3 when cells are missing; the others are published.
    """
    from benchmarks.commands.published import publish

    raise typer.Exit(publish(suite, results, to))


@app.command(name="dataset")
def dataset_(
    to: opt.DatasetFolder, suite: opt.Suite = "mini", results: opt.Results = PUBLISHED, push: opt.Push = None
) -> None:
    """Writes a published suite as the folder of a Hugging Face dataset; sends nothing without --push."""
    from benchmarks.commands.dataset import dataset

    dataset(suite, results, to, push)


@app.command(name="verify")
def verify_(
    suite: opt.Suite = "mini", cells: opt.Cells = 6, seed: opt.Draw = 0, data_root: opt.Data = None,
    weights: opt.Weights = WEIGHTS, results: opt.Results = PUBLISHED, engine: opt.Engine = "local",
    workers: opt.Workers = None, record: opt.RecordOutcome = False,
) -> None:  # fmt: skip
    """Measures cells of a published suite again and says of each: equal, within tolerance, or different.

    Exits with 0 when none is different, 4 when one is, 3 when some could not be measured, 2 for a usage error.
    """
    from benchmarks.commands.published import verify

    status = verify(
        suite, results, cells=cells, seed=seed, data_root=data_root, weights=weights, engine=engine, workers=workers,
        record=record,
    )  # fmt: skip
    raise typer.Exit(status)


@app.command()
def convert(
    dataset: opt.Dataset, arch: opt.Arch, steps: opt.OneSteps, calib: opt.Calib = None,
    maxspike: opt.Maxspike = None, search: opt.Search = False, maxspike_ratio: opt.MaxspikeRatio = None,
    initialspike: opt.Initialspike = None, desired_spike: opt.DesiredSpike = None, minspike: opt.Minspike = None,
    search_threshold: opt.SearchThreshold = False, threshold_ratio: opt.ThresholdRatio = None,
    iat: opt.Iat = False, method: opt.OneMethod = None, data_root: opt.Data = None,
    weights: opt.Weights = WEIGHTS, limit: opt.Limit = None, seed: int = 0, calibration: opt.Calibration = 512,
    device: opt.Device = "cpu", precision: opt.Precision = "auto", output: opt.Output = None,
    save: opt.Save = None,
) -> None:  # fmt: skip
    """Converts one network, with the flags of the paper's released scripts, and says what each layer loses."""
    from benchmarks.commands.convert import convert as convert_cell
    from benchmarks.commands.convert import requested_cell
    from benchmarks.execution.workbench import Workbench
    from benchmarks.references.released import Flags

    flags = Flags(
        calib=calib, maxspike=maxspike, search=search, maxspike_ratio=maxspike_ratio,
        initialspike=initialspike, desired_spike=desired_spike, minspike=minspike, search_threshold=search_threshold,
        threshold_ratio=threshold_ratio, iat=iat,
    )  # fmt: skip
    cell = requested_cell(
        dataset, arch, steps, flags, method=method, seed=seed, limit=limit, calibration=calibration
    )  # fmt: skip
    convert_cell(cell, Workbench(data_root, weights, device, precision), output, save)


@app.command()
def export(
    format: opt.Format, output: opt.Exported, dataset: opt.Dataset, arch: opt.Arch, method: opt.ExportedMethod = None,
    steps: opt.ExportedSteps = None, converted: opt.Converted = None, samples: opt.Samples = None,
    data_root: opt.Data = None, weights: opt.Weights = WEIGHTS, seed: int = 0, calibration: opt.Calibration = 512,
    device: opt.Device = "cpu",
) -> None:  # fmt: skip
    """Writes a converted network for other tools, and says how what they read compares with it."""
    from benchmarks.commands.export import export as export_network
    from benchmarks.execution.workbench import Workbench

    bench = Workbench(data_root, weights, device, "float32")
    export_network(
        format, output, bench, task=dataset, network=arch, method=method, T=steps, converted=converted, seed=seed,
        calibration=calibration, samples=samples,
    )  # fmt: skip


@app.command(name="list")
def list_(kind: opt.Listed) -> None:
    """Lists what there is, one name a line; behind a plug-in's name, where it comes from.

    On a terminal, tasks and networks are a table.
    """
    from rich.console import Console

    from benchmarks.conformance import REGISTRIES
    from benchmarks.pages.catalogue import print_catalogue
    from benchmarks.suites.plugins import load_plugins, origin
    from benchmarks.suites.shipped import GROUPS, suite_names

    load_plugins()
    if kind in ("tasks", "networks") and sys.stdout.isatty():
        print_catalogue(kind, Console())
        return
    registry = REGISTRIES.get(kind.removesuffix("s"))
    for name in sorted((*suite_names(), *GROUPS)) if registry is None else registry:
        source = None if registry is None else origin(registry[name])
        print(printable(name if source is None else f"{name}  (plug-in {source})"))


@app.command()
def check(name: opt.Checked, kind: opt.Kind = None, data_root: opt.Data = None) -> None:
    """Tries whether a method, task or network keeps what the benchmark takes for granted.

    Exits with 0 when every check that applies passes, 1 when one fails, 2 for a usage error.
    """
    from rich.console import Console

    from benchmarks import conformance

    results = conformance.check(name, kind, data_root)
    conformance.print_results(name, results, Console())
    if any(result.verdict == "failed" for result in results):
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Prints the JSON schema of suite files, for editors (docs/suites.md)."""
    from benchmarks.suites.plugins import load_plugins
    from benchmarks.suites.schema import schema_text

    load_plugins()
    print(schema_text(), end="")


@app.command()
def doctor(
    data_root: opt.Data = None, weights: opt.Weights = WEIGHTS, task: opt.AnyTask = None,
    suite: opt.CheckedSuite = None,
) -> None:  # fmt: skip
    """Says which datasets and trained networks are on disk, and what is missing."""
    from benchmarks.execution.doctor import checkup, overview
    from benchmarks.suites.files import load_suites
    from benchmarks.suites.plugins import load_plugins

    load_plugins()
    if suite is not None:
        task = [*(task or ()), *dict.fromkeys(cell.task for each in load_suites(suite) for cell in each.cells())]
    for line in overview(data_root, weights) if task is None else checkup(data_root, weights, task):
        print(printable(line))


@app.command()
def cache(
    results: opt.Results = RESULTS, data_root: opt.Data = None, keep: opt.Keep = None, clean: opt.Clean = False
) -> None:
    """Says what is kept to save time, converted networks and encoded recordings, and removes it if asked to."""
    from benchmarks.commands.cache import cache as show_caches

    if clean and keep is not None:
        raise typer.BadParameter("it keeps something, and --clean nothing; drop one of the two.", param_hint="--keep")
    show_caches(results, data_root, 0.0 if clean else keep)


@app.command()
def train(
    task: opt.TrainedTask, network: opt.TrainedNetwork, data_root: opt.Data = None,
    weights: opt.Weights = WEIGHTS, epochs: opt.Epochs = None, batch_size: opt.BatchSize = None,
    learning_rate: opt.LearningRate = None, seed: int = 0, device: opt.Device = "cpu",
    precision: opt.TrainingPrecision = "float32", backbone: opt.Backbone = None,
    log: opt.Log = None, resume: opt.Resume = True, overwrite: opt.Overwrite = False,
) -> None:  # fmt: skip
    """Trains a network; the best epoch on a validation split of the training set is kept."""
    from adapters import NETWORKS
    from adapters import train as train_network
    from benchmarks.references.released import released_network
    from benchmarks.suites.plugins import load_plugins
    from tasks import TASKS

    load_plugins()
    kind = NETWORKS[released_network(task, network)]
    result = train_network(
        kind, TASKS[task](data_root), weights, epochs=epochs, batch_size=batch_size,
        learning_rate=learning_rate, seed=seed, device=device, precision=precision, backbone=backbone,
        log=log or (), resume=resume, overwrite=overwrite,
    )  # fmt: skip
    print(
        f"{result.path}: validation {result.validation_accuracy:.2f} at epoch {result.best_epoch} of {result.epochs}, "
        f"{result.seconds:.0f} s"
    )


def main() -> None:
    """Runs the command line; what the user can mend is one sentence and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal or log that lacks a character gets another one; the work is not lost over it.
            stream.reconfigure(errors="replace")
    try:
        with stoppable():
            _run()
    except Stopped as stopped:
        stopped.say()
        raise SystemExit(stopped.status) from None


def _run() -> None:
    try:
        app()
    except OSError as error:
        print(printable(f"{error.filename or 'A file'} cannot be read or written: {error.strerror}."), file=sys.stderr)
        raise SystemExit(2) from None
    except Exception as error:
        from conversion.errors import BenchmarkError  # Here, because its package loads torch.

        if not isinstance(error, BenchmarkError):
            raise
        print(printable(str(error)), file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
