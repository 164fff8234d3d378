"""The plan of a run: the cells of a suite compared with the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.choices import Rerun
from benchmarks.execution.failures import explain
from benchmarks.execution.workbench import Workbench
from benchmarks.records.record import Record
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from conversion.errors import BenchmarkError

State = Literal["new", "done", "stale", "failed", "impossible"]

# The inputs that are code; a record holds the digests of their modules.
CODE = {"method", "evaluation"}


@dataclass(frozen=True)
class Planned:
    """A cell, its state and the reason: the inputs that changed, the error, or what is missing."""

    cell: Cell
    state: State
    reason: str = ""


def plan(cells: Sequence[Cell], bench: Workbench, store: Store) -> list[Planned]:
    """Compares cells with the store. Loads data and networks, so that impossible cells are known before work starts.

    Raises:
        BenchmarkError: a record was written by a newer version.
    """
    return [_state(cell, bench, store) for cell in cells]


def _state(cell: Cell, bench: Workbench, store: Store) -> Planned:
    state, reason, record = store.look_up(cell)
    try:
        fingerprint = bench.fingerprint(cell)
        if state != "done" or record is None or record.fingerprint != fingerprint:
            _ = bench.network(cell.task, cell.network).graph  # To be converted, it has to be captured.
    except Exception as error:  # A network or task may break in any way; the others go on.
        # A record that was measured elsewhere stays valid.
        return Planned(cell, "done" if state == "done" else "impossible", explain(error))
    if record is None or state != "done":  # What was impossible, and is no more, was never measured.
        return Planned(cell, "failed", reason) if state == "failed" else Planned(cell, "new")
    changed = [key for key, value in fingerprint.items() if record.fingerprint.get(key) != value]
    if not changed:
        return Planned(cell, "done")
    if CODE.intersection(changed):
        modules = changed_modules(record, bench.sources(cell))
        changed = [key for key in changed if key not in CODE or not modules] + modules
    return Planned(cell, "stale", ", ".join(changed))


def changed_modules(record: Record, now: Mapping[str, str]) -> list[str]:
    """The modules whose digests have changed since a cell was measured; none for records without digests."""
    if not record.sources:
        return []
    modules = record.sources.keys() | now.keys()
    return sorted(module for module in modules if record.sources.get(module) != now.get(module))


def cells_to_run(planned: Sequence[Planned], rerun: Rerun) -> list[Cell]:
    """The cells to run: new ones, and by `rerun` also failed, stale or all ones."""
    states: dict[Rerun, set[State]] = {
        "missing": {"new"},
        "failed": {"new", "failed"},
        "stale": {"new", "failed", "stale"},
        "all": {"new", "failed", "stale", "done"},
    }
    return [item.cell for item in planned if item.state in states[rerun]]


def impossible_cells(planned: Sequence[Planned], *, refuse_all: bool = True) -> list[Planned]:
    """The cells that cannot be measured.

    Raises:
        BenchmarkError: with `refuse_all`, no cell can be measured; the message holds the reasons.
    """
    found = [item for item in planned if item.state == "impossible"]
    if refuse_all and found and len(found) == len(planned):
        raise BenchmarkError("\n".join(dict.fromkeys(item.reason for item in found)))
    return found


def summary(planned: Sequence[Planned]) -> str:
    """The number of cells in each state, as in "60 cells: 12 done, 48 new"."""
    counts = Counter(item.state for item in planned)
    order: tuple[State, ...] = ("done", "new", "stale", "failed", "impossible")
    return f"{len(planned)} cells: " + ", ".join(f"{counts[state]} {state}" for state in order if counts[state])
