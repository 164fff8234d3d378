"""Means over seeds. A seed draws the calibration samples and whatever a method draws; test samples stay the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

# Columns that identify a table cell; its rows differ in the seed.
ROW = ["task", "network", "profile", "calibration", "method", "T"]


class Rows:
    """Some rows of a tidy table by column, as `frame["value"]` of them. A page looks at thousands of such parts.

    Args:
        columns: the columns of the whole table.
        places: the places of the rows in it.
    """

    def __init__(self, columns: Mapping[Hashable, NDArray[Any]], places: NDArray[np.intp]) -> None:
        self._columns, self._places = columns, places

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name][self._places]

    def __len__(self) -> int:
        return len(self._places)


def parts(frame: pd.DataFrame, keys: Sequence[str]) -> dict[Any, Rows]:
    """The rows of every combination of values of some columns, in the order in which they come first.

    Rows without a value in one of them are left out.
    """
    columns = {name: frame[name].to_numpy() for name in frame}
    found = frame.groupby(list(keys), sort=False).indices
    return {key: Rows(columns, np.asarray(places)) for key, places in found.items()}


def half_width(values: Iterable[float]) -> float:
    """Half of the 95 % interval of a mean over seeds: t(0.975, n - 1) s / sqrt(n), of two values or more."""
    found = np.asarray(list(values), dtype=float)
    return float(_quantile(len(found)) * found.std(ddof=1) / np.sqrt(len(found)))


@cache
def _quantile(n: int) -> float:
    """t(0.975, n - 1)."""
    return float(stdtrit(n - 1, 0.975))


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """The done rows of which no seed is missing, failed or stale; means over some of the seeds would mislead.

    Args:
        frame: rows of any number of suites; a cell that is missing in one may be done in another.
    """
    done = frame[frame["status"] == "done"]
    absent = frame[(frame["status"] != "done") & ~frame["cell"].isin(done["cell"])]
    lacking = pd.MultiIndex.from_frame(absent[ROW].astype(str))
    return done[~pd.MultiIndex.from_frame(done[ROW].astype(str)).isin(lacking)]


def shortage(statuses: Iterable[str]) -> str:
    """The text in a table for a mean that is missing: "missing", or "2 of 3 seeds missing"."""
    found = list(statuses)
    counts = Counter(status for status in found if status != "done")
    if len(found) == 1:
        return found[0]
    (first, count), *others = counts.items()
    return ", ".join([f"{count} of {len(found)} seeds {first}", *(f"{count} {status}" for status, count in others)])


def mean_text(values: NDArray[Any], digits: str, spread: str) -> str:
    """A mean over seeds; of several with the half width of its interval."""
    mean = f"{values.mean():{digits}}"
    return mean if len(values) == 1 else f"{mean} ±{half_width(values):{spread}}"


def over_seeds(rows: Rows | None, text: Callable[[Rows], str]) -> str:
    """The mean over seeds as text, or why there is none: it never averages over some of the seeds.

    Args:
        rows: those of one method and T; None where there are none.
    """
    if rows is None:
        return ""
    return text(rows) if (rows["status"] == "done").all() else shortage(rows["status"])
