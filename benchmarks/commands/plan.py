"""`plan`: what `run` would do with the selected cells of a suite."""

from __future__ import annotations

import gc

from benchmarks.api import Selected
from benchmarks.choices import Rerun
from benchmarks.engines import usual_workers
from benchmarks.execution.estimate import time_needed
from benchmarks.execution.plan import cells_to_run, plan, summary
from benchmarks.execution.worker import Settings, workbench
from benchmarks.text import one_line


def print_plan(
    selected: Selected, settings: Settings, rerun: Rerun, workers: int | None, *, cells: bool = True
) -> None:
    """Prints the state of every selected cell with its reason, and a summary with the estimated time.

    Args:
        workers: number of cells that are measured at once; None for as many as `run` takes.
        cells: False for the summary alone.
    """
    gc.freeze()  # What was imported stays: collections need not look through the million objects of torch.
    planned = plan(selected.cells, workbench(settings), selected.working)
    for item in planned if cells else ():
        said = item.cell.label + f": {item.reason}" * bool(item.reason)
        print(f"{item.state:10} {one_line(said)}")
    to_run = cells_to_run(planned, rerun)
    needed = time_needed(to_run, selected.store.records(), workers or usual_workers(settings.device))
    print(f"{summary(planned)}; {len(to_run)} to run, {needed}")
