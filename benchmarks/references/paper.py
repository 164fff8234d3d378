"""The numbers that the paper prints in its Tables 1 to 7, from paper.csv."""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict

PAPER = Path(str(files("benchmarks.references"))) / "paper.csv"
NONE = "none"
"""The method of Table 7 without any of the paper's techniques."""


class Printed(BaseModel):
    """A number as it is printed, with what stands beside it in its row; a field that is not printed is None or "".

    Attributes:
        dataset: as the paper writes it; in Table 6 a category, or "mean".
        venue: where the method was published.
        training: "conversion", or "direct" for spiking networks that were trained as such.
        value: of the metric, in percent.
        ann: the ANN's.
        energy_mJ: of one sample.
        energy_change: in percent of the dataset's row "none".
        note: a slip of the paper.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    table: int
    dataset: str
    architecture: str
    method: str
    venue: str
    training: str
    T: int | None
    metric: str
    value: float
    ann: float | None
    energy_mJ: float | None
    energy_change: float | None
    note: str


@cache
def printed(table: int) -> tuple[Printed, ...]:
    """The numbers of one table, in the paper's order; none where there is no such table."""
    frame = pd.read_csv(PAPER, comment="#", dtype=object, keep_default_na=False)
    texts = ("dataset", "architecture", "method", "note")
    rows = (
        {str(name): text if text or name in texts else None for name, text in row.items()}
        for row in frame[frame["table"] == str(table)].to_dict("records")
    )
    return tuple(Printed.model_validate(row) for row in rows)


def energy_changes(dataset: str) -> dict[str, float]:
    """The changes of energy of Table 7's methods on a dataset, in percent of the row "none", from the printed mJ.

    The printed percentages are those of the mJ, but for slips.
    """
    energies = {row.method: row.energy_mJ for row in printed(7) if row.dataset == dataset}
    base = energies[NONE] or math.nan
    return {method: 100 * ((energy or math.nan) / base - 1) for method, energy in energies.items()}
