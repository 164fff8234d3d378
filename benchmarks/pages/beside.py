"""The numbers that the paper prints, each with what was measured for it, and the verdict.

A number is reproduced if the paper's lies in our 95 % interval or within `POINTS` of ours, else it is off; a change of
energy is reproduced within `ENERGY_POINTS`. There is no verdict on a part of the test split, whose interval is wide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from benchmarks.pages.seeds import half_width
from benchmarks.references.paper import NONE, Printed, energy_changes, printed
from benchmarks.suites.paper import PaperTable, Target
from tasks import TASKS

POINTS = 0.5
"""Accepted distance of a score from the paper's, in points, where our interval is narrower."""
ENERGY_POINTS = 5.0
"""Accepted distance of a change of energy from the paper's, in points of percent."""


@dataclass(frozen=True)
class Score:
    """A score of ours: the mean over seeds, its 95 % interval, and the ANN's score on the same samples."""

    value: float
    low: float
    high: float
    ann: float


@dataclass(frozen=True, eq=False)
class Beside:
    """A printed number, and what was measured for it.

    Attributes:
        target: what is measured for it; None where it is quoted, or the mean of others.
        rows: the rows of results.csv of the target, one for each seed.
        parts: the numbers whose mean it is.
    """

    printed: Printed
    target: Target | None
    rows: pd.DataFrame
    parts: tuple[Beside, ...] = ()

    @property
    def quoted(self) -> bool:
        return self.target is None and not self.parts

    @cached_property
    def score(self) -> Score | None:
        """Ours; None where it is quoted or anything of it is missing."""
        if self.parts:
            return _mean([part.score for part in self.parts])
        if self.rows.empty or not (self.rows["status"] == "done").all():
            return None
        value, (low, high) = self.rows["value"].mean(), self.rows[["ci_low", "ci_high"]].iloc[0]
        if len(self.rows) > 1:
            half = half_width(self.rows["value"])
            low, high = value - half, value + half
        return Score(float(value), float(low), float(high), float(self.rows["ann_value"].mean()))

    @property
    def profile(self) -> str:
        """The part of the test split that was measured."""
        return self.parts[0].profile if self.parts else str(self.rows["profile"].iloc[0])

    @property
    def reasons(self) -> list[str]:
        """Why there is no score, in sentences."""
        absent = self.rows[self.rows["status"] != "done"]
        return list(dict.fromkeys(absent["reason"].astype(str)))

    def energy(self, coding: str) -> float:
        """The energy of one sample in mJ, a mean over seeds."""
        return float(self.rows[f"energy_{coding}_mJ"].mean())


def beside(spec: PaperTable, frame: pd.DataFrame) -> list[Beside]:
    """The printed numbers of a table in its order, with what was measured for each.

    Args:
        spec: the table of a suite.
        frame: the rows of the suite's results.csv.
    """
    metrics = frame["task"].map(lambda task: TASKS[task].primary_metric)
    rows = frame[(frame["metric"] == metrics) | frame["metric"].isna()]
    places: dict[tuple[object, ...], list[int]] = {}
    for place, key in enumerate(zip(*(rows[name] for name in ("task", "network", "method", "T")), strict=True)):
        places.setdefault(key, []).append(place)
    found = [Beside(row, (target := spec.target(row)), _of(target, rows, places)) for row in printed(spec.number)]
    if spec.mean is None:
        return found
    return [_with_parts(one, found) if one.printed.dataset == spec.mean else one for one in found]


def _of(target: Target | None, rows: pd.DataFrame, places: Mapping[tuple[object, ...], Sequence[int]]) -> pd.DataFrame:
    """The rows of a target, by the places of each task, network, method and T."""
    key = None if target is None else (target.task, target.network, target.method, target.T)
    return rows.iloc[list(places.get(key, ())) if key is not None else []]


def _with_parts(mean: Beside, found: Sequence[Beside]) -> Beside:
    own = mean.printed
    parts = tuple(
        one for one in found if (one.printed.method, one.printed.T) == (own.method, own.T) and one.target is not None
    )
    return Beside(own, None, mean.rows, parts)


def _mean(scores: Sequence[Score | None]) -> Score | None:
    """The unweighted mean of scores on different samples, whose errors are independent; None if one is missing."""
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        return None
    n = len(known)
    value, ann = sum(score.value for score in known) / n, sum(score.ann for score in known) / n
    half = math.hypot(*((score.high - score.low) / 2 for score in known)) / n
    return Score(value, value - half, value + half, ann)


def verdict(one: Beside) -> str:
    """The mark of a number: reproduced, off, quoted, not run; or the part of the test split that was measured."""
    if one.quoted:
        return "quoted"
    if one.score is None:
        return "not run" if len(one.rows) or one.parts else "not selected"
    if one.profile != "full":
        return one.profile
    theirs, ours = one.printed.value, one.score
    near = ours.low <= theirs <= ours.high or abs(ours.value - theirs) <= POINTS
    return "reproduced" if near else "off"


@dataclass(frozen=True)
class EnergyChange:
    """Changes of energy in percent of the dataset's row "none", by the paper's mJ and ours; None without that row."""

    paper: float
    unary: float | None
    graded: float | None

    @property
    def near(self) -> bool:
        """Whether ours, priced as the released estimator prices bursts, is that of the paper."""
        return self.graded is not None and abs(self.graded - self.paper) <= ENERGY_POINTS


def energy_change(one: Beside, found: Sequence[Beside]) -> EnergyChange:
    """The change of energy of a number that was measured, among all numbers of its table."""
    own = one.printed
    base = next(other for other in found if (other.printed.dataset, other.printed.method) == (own.dataset, NONE))
    paper = energy_changes(own.dataset)[own.method]
    if base.score is None:
        return EnergyChange(paper, None, None)
    unary, graded = (100 * (one.energy(coding) / base.energy(coding) - 1) for coding in ("unary", "graded"))
    return EnergyChange(paper, unary, graded)
