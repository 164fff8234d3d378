"""Means over seeds. A seed draws the calibration samples and whatever a method draws; test samples stay the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from scipy import stats

# Columns that identify a table cell; its rows differ in the seed.
ROW = ["task", "network", "profile", "calibration", "method", "T"]


def half_width(values: Iterable[float]) -> float:
    """Half of the 95 % interval of a mean over seeds: t(0.975, n - 1) s / sqrt(n), of two values or more."""
    found = np.asarray(list(values), dtype=float)
    return float(stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found)))


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """The done rows of which no seed is missing, failed or stale; means over some of the seeds would mislead.

    Args:
        frame: rows of any number of suites; a cell that is missing in one may be done in another.
    """
    done = frame[frame["status"] == "done"]
    absent = frame[(frame["status"] != "done") & ~frame["cell"].isin(done["cell"])]
    lacking = pd.MultiIndex.from_frame(absent[ROW].astype(str))
    return done[~pd.MultiIndex.from_frame(done[ROW].astype(str)).isin(lacking)]


def shortage(statuses: pd.Series) -> str:
    """The text in a table for a mean that is missing: "missing", or "2 of 3 seeds missing"."""
    counts = statuses[statuses != "done"].value_counts(sort=False)
    if len(statuses) == 1:
        return str(counts.index[0])
    (first, count), *others = counts.items()
    return ", ".join([f"{count} of {len(statuses)} seeds {first}", *(f"{count} {status}" for status, count in others)])


def mean_text(values: pd.Series, digits: str, spread: str) -> str:
    """A mean over seeds; of several with the half width of its interval."""
    mean = f"{values.mean():{digits}}"
    return mean if len(values) == 1 else f"{mean} ±{half_width(values):{spread}}"


def over_seeds(rows: pd.DataFrame, text: Callable[[pd.DataFrame], str]) -> str:
    """The mean over seeds as text, or why there is none: it never averages over some of the seeds."""
    if rows.empty:
        return ""
    return text(rows) if (rows["status"] == "done").all() else shortage(rows["status"])
