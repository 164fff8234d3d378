"""The benchmark from Python: measures what is missing of a suite, and reads what was measured (docs/running.md)."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from pydantic import InstanceOf

from adapters.loggers import Log, without_passwords
from benchmarks.arguments import Folder, Names, Numbers, Positive, Share, checked, listed
from benchmarks.choices import RESULTS, WEIGHTS, EngineName, Precision, Rerun
from benchmarks.engines import Engine, make_engine
from benchmarks.engines.runner import run as run_jobs
from benchmarks.execution.estimate import time_needed
from benchmarks.execution.plan import cells_to_run, impossible_cells, plan, summary
from benchmarks.execution.profiles import refuse_foreign_profiles
from benchmarks.execution.worker import Job, Settings, fail, workbench
from benchmarks.pages.logged import log_cell
from benchmarks.pages.publish import write_pages
from benchmarks.pages.tables import collect_cells, read_table
from benchmarks.records.manifest import check_files, is_published
from benchmarks.records.published import PublishedSuite
from benchmarks.records.reading import Results, open_results, working_store
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from benchmarks.suites.files import load_suite
from benchmarks.suites.plugins import load_plugins
from benchmarks.suites.selection import NothingSelected, select
from benchmarks.suites.shipped import members
from benchmarks.suites.suite import Suite
from benchmarks.text import printable
from conversion.errors import BenchmarkError


class Interrupted(KeyboardInterrupt):
    """Control-C during a run. Finished cells are stored, and the same call measures the others.

    Attributes:
        frame: the table that `run_suite` would have returned.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        super().__init__("Finished cells are stored; the same call measures the others.")
        self.frame = frame


@dataclass(frozen=True)
class Selected:
    """The cells of a suite that were asked for, and the store of its records.

    Attributes:
        results: the folder of all suites, with the store's in it.
    """

    suite: Suite
    cells: list[Cell]
    results: Path

    @cached_property
    def store(self) -> Results:
        """The results so far, in a working store or published."""
        return open_results(self.results, self.suite.name)

    @property
    def working(self) -> Store:
        """The store that records are written to. Raises InvalidInput where results are published."""
        return working_store(self.results, self.suite.name)

    @property
    def absence(self) -> str | None:
        """A sentence where the suite has no record, which names the results of --limit that there are; else None."""
        if any(self.store.state(cell)[0] != "missing" for cell in self.suite.cells()):
            return None
        said = f"There are no records of suite {self.suite.name} in {self.store.folder.absolute()}; "
        prefix = f"{self.suite.name}-first-"
        folders = self.results.glob(f"{prefix}*/*")  # Of what was measured; leftover folders are empty.
        limits = sorted({int(n) for path in folders if (n := path.parent.name.removeprefix(prefix)).isdecimal()})
        if not limits:
            return f"{said}run it first, or give the --results that it was run with."
        return f"{said}there are results of {' and '.join(f'--limit {n}' for n in limits)}, which need the same option."

    def write_pages(self) -> pd.DataFrame:
        """Writes the tables of the whole suite and the leaderboard; returns the rows of the selected cells."""
        frame = write_pages(self.suite, self.store, self.results)
        return frame[frame["cell"].isin([cell.id for cell in self.cells])].reset_index(drop=True)


@checked
def select_cells(
    suite: Folder | InstanceOf[Suite], *, tasks: Names = None, networks: Names = None, methods: Names = None,
    T: Numbers = None, seeds: Numbers = None, limit: Positive | None = None, price_list: str | None = None,
    energy: Share | None = None, results: Folder = RESULTS,
) -> Selected:  # fmt: skip
    """The selected cells of one suite; arguments and errors as of `run_suite`."""
    load_plugins()
    whole = suite if isinstance(suite, Suite) else load_suite(str(suite))
    adjusted = whole.adjusted(limit=limit, price_list=price_list, energy=energy, networks=listed(networks))
    cells = select(
        adjusted.cells(), tasks=listed(tasks), networks=listed(networks), methods=listed(methods), steps=listed(T),
        seeds=listed(seeds),
    )  # fmt: skip
    selected = Selected(adjusted, cells, Path(results))
    refuse_foreign_profiles(adjusted, selected.store)
    return selected


@checked
def select_suites(
    suite: Folder | InstanceOf[Suite], *, tasks: Names = None, networks: Names = None, methods: Names = None,
    T: Numbers = None, seeds: Numbers = None, limit: Positive | None = None, price_list: str | None = None,
    energy: Share | None = None, results: Folder = RESULTS,
) -> list[Selected]:  # fmt: skip
    """The selection that run, plan, status and report share, suite by suite; arguments and errors as of `run_suite`.

    Of a group of suites, those are left out that have nothing of the selection.
    """
    found: list[Selected] = []
    nothing: NothingSelected | None = None
    for member in (suite,) if isinstance(suite, Suite) else members(str(suite)):
        try:
            found.append(
                select_cells(
                    member, tasks=tasks, networks=networks, methods=methods, T=T, seeds=seeds, limit=limit,
                    price_list=price_list, energy=energy, results=results,
                )
            )  # fmt: skip
        except NothingSelected as error:
            nothing = error
    if nothing is not None and not found:
        raise nothing
    return found


@checked
def run_suite(
    suite: Folder | InstanceOf[Suite], *, tasks: Names = None, networks: Names = None, methods: Names = None,
    T: Numbers = None, seeds: Numbers = None, limit: Positive | None = None, data_root: Folder | None = None,
    weights: Folder = WEIGHTS, device: str = "cpu", precision: Precision = "auto", engine: EngineName = "local",
    workers: Positive | None = None, address: str | None = None, rerun: Rerun = "stale", price_list: str | None = None,
    energy: Share | None = None, results: Folder = RESULTS, log: Names = None,
) -> pd.DataFrame:  # fmt: skip
    """Measures what is missing of a suite, writes its tables and the leaderboard; what `run_all.py run` does.

    A script that calls it with the engine "local" needs `if __name__ == "__main__":` around the call, as everything
    that starts processes in Python. Progress is shown on stderr.

    Args:
        suite: a shipped suite by name, "paper" for those of all its tables, the path of a suite file, or a suite.
        tasks, networks, methods: only these; names or globs, one or several. None is all of them. Networks of a hub,
            timm/NAME, torchvision/NAME or hf/PATH, take the place of the suite's (docs/any_network.md); the results
            become a suite of their own.
        T, seeds: only these, one or several.
        limit: measure the first N test samples of one fixed shuffle; the results become a suite of their own.
        data_root: folder of the datasets.
        weights: folder of trained networks, before those that ship with the benchmark.
        device: torch's name of the device.
        precision: type of weights and activations; "auto" is bfloat16 on a GPU that has it, else float32.
        engine: name of the engine, see `benchmarks.engines`.
        workers: number of cells that are measured at once.
        address: address of a Ray cluster, for the engine "ray".
        rerun: the finished cells that are measured again: none, failed, stale or all.
        price_list: name of a price list in place of the suite's.
        energy: share of the ANN's energy: of the suite's methods, those that can aim at one, with this target; the
            results become a suite of their own.
        results: folder of records and tables.
        log: loggers that receive every cell that is measured, "tensorboard:DIR" (docs/running.md).

    Returns:
        The tidy table of results.csv, the rows of the selected cells: one for each cell and metric. A cell that could
        not be measured is a row with its `status` and `reason`.

    Raises:
        BenchmarkError: nothing can be measured: an argument is wrong, all data are missing, no record can be written.
        Interrupted: after Control-C; tables are written.
    """
    chosen = select_suites(
        suite, tasks=tasks, networks=networks, methods=methods, T=T, seeds=seeds, limit=limit, price_list=price_list,
        energy=energy, results=results,
    )  # fmt: skip
    folder = None if data_root is None else Path(data_root)
    settings = Settings(folder, Path(weights), device, precision, Path(results) / "converted")
    loggers = Log(listed(log))
    frames: list[pd.DataFrame] = []
    for selected in chosen:
        time_limit = selected.suite.time_limit
        pool = make_engine(engine, workers=workers, device=device, time_limit=time_limit, address=address)
        try:
            _measure(selected, settings, pool, rerun, loggers)
        except Interrupted as stopped:
            raise Interrupted(pd.concat([*frames, stopped.frame], ignore_index=True)) from None
        frames.append(selected.write_pages())
    return pd.concat(frames, ignore_index=True)


@checked
def load_results(path: Folder) -> pd.DataFrame:
    """The tidy table of what was measured: a row for each cell and metric.

    Args:
        path: a results.csv; the folder of a suite's results; or a folder of such folders, whose rows follow each other.
            Of a store without tables the rows come from the records, at the default prices.

    Raises:
        BenchmarkError: there are no results, the file is no table of results, or it is of a published suite of which
            a file is missing or was changed.
    """
    load_plugins()
    path = Path(path)
    if path.is_file():
        return _read_whole(path)
    if (path / "results.csv").is_file() or is_published(path):
        return _read_whole(path / "results.csv")
    store = open_results(path.parent, path.name)
    if cells := [record.cell for record in store.records()]:
        return collect_cells(cells, store, Suite.model_fields["price_list"].default)
    if tables := sorted(path.glob("*/results.csv")):
        return pd.concat([_read_whole(table) for table in tables], ignore_index=True)
    raise BenchmarkError(f"There are no results in {path}, neither a results.csv nor records; run a suite first.")


def _read_whole(table: Path) -> pd.DataFrame:
    """A table of results; of a published suite only if all its files are those that were published."""
    folder = table.parent.resolve()
    if is_published(folder):
        files = PublishedSuite(folder.parent, folder.name).manifest.files
        check_files(folder, files, [table.name])
    return read_table(table)


def _measure(selected: Selected, settings: Settings, pool: Engine, rerun: Rerun, log: Log) -> None:
    """Measures the cells that have to be run; for each that cannot be measured a record holds the reason."""
    suite, cells, store = selected.suite, selected.cells, selected.working
    print(f"Suite {suite.name}: loading data and networks", file=sys.stderr)
    planned = plan(cells, workbench(settings), store)
    # A table of the paper is of use without a cell of ours: it quotes.
    impossible = impossible_cells(planned, refuse_all=suite.table is None)
    for reason in dict.fromkeys(item.reason for item in impossible):
        print(f"Impossible: {printable(reason)}", file=sys.stderr)
    to_run = cells_to_run(planned, rerun)
    needed = time_needed(to_run, store.records(), pool.workers)
    print(f"Suite {suite.name}: {summary(planned)}; {len(to_run)} to run, {needed}", file=sys.stderr)
    again, command = rerun == "all", _command()
    jobs = {cell.id: Job(cell, selected.results, suite.name, settings, again, command) for cell in cells}
    store.prepare()
    for item in impossible:
        fail(jobs[item.cell.id], item.reason, "impossible")
    for cell in to_run if again else ():
        workbench(settings).forget(cell)
    try:
        run_jobs(
            [jobs[cell.id] for cell in to_run], pool, store, None if needed.unknown else needed.seconds,
            (lambda cell: log_cell(log, suite, store, cell)) if log else None,
        )  # fmt: skip
    except KeyboardInterrupt:
        raise Interrupted(selected.write_pages()) from None


def _command() -> str:
    """The command line of this process, as records and those who publish them may have it."""
    program = Path(sys.argv[0]).name
    arguments = map(without_passwords, sys.argv[1:])
    return shlex.join([*(["python"] if program.endswith(".py") else []), program, *arguments])
