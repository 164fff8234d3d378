"""`convert`: one network, by the names and flags of the paper's released scripts."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from benchmarks.execution.workbench import Workbench
from benchmarks.pages.conversion import measure_conversion, print_conversion
from benchmarks.references.released import Flags, chosen_method, defaults_of, released_network
from benchmarks.suites.cell import Cell
from benchmarks.suites.plugins import load_plugins
from conversion import save as save_network
from conversion.errors import BenchmarkError
from conversion.files import write_atomically
from conversion.methods import METHODS, auto

SIMULATES = "samples, of the conversion and its ANN"


def requested_cell(
    dataset: str, arch: str, steps: int, flags: Flags, *, method: str | None, seed: int, limit: int | None,
    calibration: int,
) -> Cell:  # fmt: skip
    """The cell that a command line of the released scripts asks for.

    Args:
        dataset, arch: names as registered, or as in the released scripts.
        flags: flags of the released scripts.
        method: method in place of flags, with options as in "burst:phi=4".

    Raises:
        BenchmarkError: there is no such name, or flags do not go together.
    """
    load_plugins()
    name, options = chosen_method(flags, method, defaults_of(dataset))
    return Cell(
        task=dataset, network=released_network(dataset, arch), method=name, options=options,
        T=steps if METHODS[name].timed else None, seed=seed, limit=limit, calibration=calibration,
    )  # fmt: skip


def convert(cell: Cell, bench: Workbench, output: Path | None, save: Path | None) -> None:
    """Measures a cell and its ANN, prints the error that each layer adds, and writes the files asked for.

    Args:
        output: file for records and report as JSON.
        save: file for the converted network.

    Raises:
        BenchmarkError: the network cannot be converted, or a folder is missing.
    """
    for option, path in (("--output", output), ("--save", save)):
        if path is not None and not path.parent.is_dir():
            raise BenchmarkError(f"There is no folder {path.parent} for {option}; make it first.")
    console = Console(stderr=True)
    print(f"Converting {cell.label}", file=sys.stderr)
    with Progress(console=console, disable=not console.is_terminal) as bar, _printed_choices(console):
        samples = 2 * bench.task(cell.task).test_size(cell.limit)
        progress = bar.add_task(SIMULATES, total=samples)
        found = measure_conversion(
            cell, bench, lambda done: bar.advance(progress, done),
            lambda doing: bar.update(progress, description=doing or SIMULATES),
        )  # fmt: skip
    if output is not None:
        write_atomically(output, found.model_dump_json(indent=1).encode())
    if save is not None:
        save_network(bench.convert(cell).network, save)
    print_conversion(found, "horowitz45", Console())


@contextmanager
def _printed_choices(console: Console) -> Iterator[None]:
    """Prints what the method `auto` tries and takes, which the label of the conversion does not say."""
    printer = _Printer(console)
    auto.LOG.addHandler(printer)
    try:
        yield
    finally:
        auto.LOG.removeHandler(printer)


class _Printer(logging.Handler):
    """Prints messages above the bar of progress."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(escape(record.getMessage()), soft_wrap=True, highlight=False)
