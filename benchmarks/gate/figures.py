"""Every figure of a record beside the same one measured again: equal, within tolerance, or different.

The gate compares outcomes sample by sample, and operations. What is compared here is the rest of a record, so that no
published figure goes unverified: other metrics and intervals, the curve over the steps, counts of every layer, shares
of samples that left, spikes of every step, and the report of errors.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.gate.judge import TOLERANCE
from benchmarks.records.record import Record
from conversion.counting.operations import KINDS

MEASURED = ("metrics", "curve", "totals", "layers", "exits", "activity", "report", "departures")
"""The fields of a record that hold what was measured."""
ROUNDING = 1e-6
"""Relative; the tables show six digits."""
UNTESTED = 5
"""So many samples may differ without being a test: no split of five reaches 5 % (docs/gate.md)."""
REPORT = 0.02
"""Of the errors of a layer, which come from a few calibration samples: relative, and of the activation's scale."""


def same(before: float, now: float) -> bool:
    """Whether two figures are the same but for rounding."""
    return math.isclose(before, now, rel_tol=ROUNDING, abs_tol=1e-12)


def figures(record: Record) -> dict[str, float]:
    """Every measured figure by its place in the record, as in "layers.relu_1.spikes"."""
    content = record.model_dump(include=set(MEASURED))
    return dict(_leaves(content, ""))


def _leaves(content: Any, place: str) -> Iterator[tuple[str, float]]:
    if isinstance(content, bool | str) or content is None:
        return
    if isinstance(content, int | float):
        yield place, float(content)
        return
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        # Layers are known by their names; that of code lines above them may have changed.
        name = value.get("name", key) if isinstance(value, dict) else key
        yield from _leaves(value, f"{place}.{name}" if place else str(name))


def changed(before: Record, now: Record) -> dict[str, tuple[float, float]]:
    """The published figures that are not the same now, by place; one that is not there any more is not a number."""
    found = figures(now)
    pairs = {place: (figure, found.get(place, math.nan)) for place, figure in figures(before).items()}
    return {place: pair for place, pair in pairs.items() if not same(*pair)}


def counted_alike(
    pairs: dict[str, tuple[float, float]], table: pd.DataFrame | None, again: pd.DataFrame | None
) -> bool:
    """Whether every sample fired as much and came out as before; where samples were not kept, every layer.

    Args:
        pairs: what `changed` found.
        table, again: the samples as published and as measured again.
    """
    if table is None or again is None:
        return not any(place.startswith(("layers.", "totals.")) for place in pairs)
    columns = [name for name in ("outcome", "steps", *KINDS) if name in table]
    return all(name in again and np.array_equal(table[name], again[name]) for name in columns)


def exact_fields(pairs: dict[str, tuple[float, float]], alike: bool) -> set[str]:
    """The fields that have to be equal: none where a spike moved, else what is counted at the end.

    A spike may still have come a step later, which shows in the spikes of the steps; where none did, the curve over
    the steps has to be equal, too. The report never has to be: it is made of float32 sums in the order of threads.

    Args:
        pairs: what `changed` found.
        alike: what `counted_alike` found.
    """
    if not alike:
        return set()
    late = {"curve", "activity"} if any(place.startswith("activity.") for place in pairs) else set()
    return set(MEASURED) - {"report"} - late


def beyond(before: Record, pairs: dict[str, tuple[float, float]], exact: Collection[str] = ()) -> list[str]:
    """Those of the changed figures that are beyond tolerance, as sentences; of exact fields, all."""
    return [
        f"{place} was {old:.6g} and is {new:.6g}" if not math.isnan(new) else f"{place} is not there any more"
        for place, (old, new) in pairs.items()
        if place.split(".")[0] in exact or not abs(new - old) <= _allowed(before, place, old)
    ]


def _allowed(record: Record, place: str, figure: float) -> float:
    """By how much a figure may move with the rounding of another processor."""
    field, *_, last = place.split(".")
    totals = record.totals
    samples = record.metrics[record.primary_metric].n
    if field in ("metrics", "curve"):
        return 0.0 if last == "n" else 100 * UNTESTED / samples
    if field == "exits":
        return UNTESTED / samples
    if field == "layers" and last in KINDS and totals is not None:
        return TOLERANCE * float(getattr(totals, last))
    if field == "activity" and totals is not None:
        return TOLERANCE * totals.spikes
    if field == "report":
        return 0.0 if last in ("phi", "neurons") else REPORT * max(abs(figure), 1.0)
    return TOLERANCE * abs(figure) if field == "totals" else 0.0


def contradictions(record: Record, table: pd.DataFrame | None) -> list[str]:
    """Where a record does not agree with itself or with its samples; needs no measuring."""
    totals = record.totals
    if totals is None:
        return []
    pairs: dict[str, tuple[float, float]] = {}
    for kind in KINDS:
        pairs[f"{kind} in all and of the layers"] = getattr(totals, kind), sum(getattr(a, kind) for a in record.layers)
    value = record.metrics[record.primary_metric]
    if record.curve:
        pairs[f"{record.primary_metric} and its curve"] = value.value, record.curve[max(record.curve)]
    if record.exits:
        pairs["the exits and one"] = sum(record.exits), 1.0
    if table is not None:
        pairs["test samples and rows of them"] = value.n, len(table)
        pairs["steps and those of the samples"] = totals.steps, float(table["steps"].mean())
        for kind in (kind for kind in KINDS if kind in table):
            pairs[f"{kind} and those of the samples"] = getattr(totals, kind), float(table[kind].mean())
        if {"prediction", "target"} <= set(table):
            right = float((table["prediction"] == table["target"]).mean())
            pairs["outcomes and predictions"] = float(table["outcome"].mean()), right
            pairs[f"{record.primary_metric} and predictions"] = value.value, 100 * right
    return [
        f"{name} disagree: {a:.6g} and {b:.6g}"
        for name, (a, b) in pairs.items()
        if not math.isclose(a, b, rel_tol=1e-5)
    ]
