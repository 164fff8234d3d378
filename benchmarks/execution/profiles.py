"""Results of another profile: other test samples or another calibration set than the suite's."""

from __future__ import annotations

from benchmarks.records.reading import Results
from benchmarks.records.record import Record
from benchmarks.suites.suite import Suite
from conversion.errors import InvalidInput


def foreign_profiles(suite: Suite, store: Results) -> list[Record]:
    """Records of a store whose profile and calibration size do not occur in the suite.

    Records of cells that the suite no longer has, but of a profile that it has, are not foreign.
    """
    cells = {cell.id: (cell.profile, cell.calibration) for cell in suite.cells()}
    own = set(cells.values())
    # Those of the suite's cells are its own, and need not be read for that.
    return [record for record in store.records(cells) if (record.cell.profile, record.cell.calibration) not in own]


def refuse_foreign_profiles(suite: Suite, store: Results) -> None:
    """Raises InvalidInput if a store holds results of another profile: copied in, or of the suite as it was."""
    foreign = foreign_profiles(suite, store)
    if not foreign:
        return
    cell = foreign[0].cell
    others = f", and {len(foreign) - 1} more are of another profile too" if len(foreign) > 1 else ""
    own = sorted({f"{cell.profile} with {cell.calibration}" for cell in suite.cells()})
    raise InvalidInput(
        f"The record {cell.id} in {store.folder} is of profile {cell.profile} with {cell.calibration} calibration "
        f"samples{others}; suite {suite.name} has {' and '.join(own)}, and profiles are never mixed. Give another "
        "--results, or remove that record."
    )
