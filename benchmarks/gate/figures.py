"""Compares every figure of a record with the same one measured again: equal, within tolerance, or different.

The gate compares outcomes sample by sample, and operations. This module compares the rest of a record, so that no
published figure goes unverified: other metrics and intervals, the curve over the steps, counts of every layer, shares
of samples that left, spikes of every step, and the report of errors.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.records.record import Record
from conversion.counting.operations import KINDS
from tasks import TASKS

TOLERANCE = 1e-3
"""Relative tolerance of counts, which are deterministic but for spikes that rounding moves across a threshold."""
MEASURED = ("metrics", "curve", "totals", "layers", "exits", "activity", "report", "departures")
"""The fields of a record that hold what was measured."""
ROUNDING = 1e-6
"""Relative tolerance of equal figures; the tables show six digits."""
LATER = frozenset({"totals.payload_bits"})
"""Figures that records from before they were counted do not have."""
UNTESTED = 5
"""Number of differing samples that are too few to test: no split of five reaches 5 % (docs/gate.md)."""
REPORT = 0.02
"""Tolerance of layers' errors, which come from few calibration samples: relative, and of the activation's scale."""


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
        # Layers are identified by name, not by index.
        name = value.get("name", key) if isinstance(value, dict) else key
        yield from _leaves(value, f"{place}.{name}" if place else str(name))


def unrecorded(records: Iterable[Record]) -> set[str]:
    """The measured fields that no record of a suite has: it was published before they were recorded.

    A field that some records have and another lacks is a figure that is missing there, not one of these.
    """
    absent = set(MEASURED)
    for record in records:
        absent = {field for field in absent if not getattr(record, field)}
    return absent


def changed(before: Record, now: Record, without: Collection[str] = ()) -> dict[str, tuple[float, float]]:
    """The figures that are not as published, before and now, by place; NaN on the side that lacks one.

    Args:
        without: fields that are not compared, see `unrecorded`.
    """
    old, new = figures(before), figures(now)
    places = [place for place in old | new if place in old or place not in LATER]
    pairs = {place: (old.get(place, math.nan), new.get(place, math.nan)) for place in places}
    return {
        place: pair for place, pair in pairs.items() if place.split(".")[0] not in without and not same(*pair)
    }  # fmt: skip


def counted_alike(
    pairs: dict[str, tuple[float, float]], table: pd.DataFrame | None, again: pd.DataFrame | None
) -> bool:
    """Whether every sample fired as much as before; where counts of samples were not kept, every layer.

    Outcomes follow from spikes, so they are compared only where nothing fires: an ANN's may change by rounding alone.

    Args:
        pairs: the result of `changed`.
        table, again: the samples as published and as measured again.
    """
    kept = [] if table is None or again is None else [name for name in KINDS if name in table]
    if table is None or again is None or not kept:
        return not any(place.startswith(("layers.", "totals.")) for place in pairs)
    fires = any(bool(table[name].any()) for name in kept)
    columns = ["steps", *kept] if fires else ["outcome", "steps", *kept]
    # Spikes are whole numbers; their amplitudes in units of the smallest are rounded.
    return all(
        name in again and np.allclose(table[name], again[name], rtol=0 if _whole(table[name]) else ROUNDING, atol=0)
        for name in columns
    )


def _whole(values: pd.Series[Any]) -> bool:
    return bool(np.equal(values, values.round()).all())


def other_outcomes(table: pd.DataFrame | None, again: pd.DataFrame | None) -> int:
    """The number of samples whose outcome is another one; 0 where samples were not kept."""
    if table is None or again is None:
        return 0
    before, now = table["outcome"].to_numpy(float), again["outcome"].to_numpy(float)
    return int((~np.isclose(before, now, rtol=ROUNDING, atol=ROUNDING, equal_nan=True)).sum())


def exact_fields(pairs: dict[str, tuple[float, float]], alike: bool) -> set[str]:
    """The fields that have to be equal: none where a spike moved, else what is counted at the end.

    A spike may still have come a step later, which shows in the spikes of the steps; where none did, the curve over
    the steps has to be equal, too. The report never has to be: its float32 sums depend on the order of threads.

    Args:
        pairs: the result of `changed`.
        alike: the result of `counted_alike`.
    """
    if not alike:
        return set()
    late = {"curve", "activity"} if any(place.startswith("activity.") for place in pairs) else set()
    return set(MEASURED) - {"report"} - late


def beyond_tolerance(before: Record, pairs: dict[str, tuple[float, float]], exact: Collection[str] = ()) -> list[str]:
    """A sentence for each changed figure that is beyond tolerance; for exact fields, for each changed figure."""
    return [
        _sentence(place, old, new)
        for place, (old, new) in pairs.items()
        if place.split(".")[0] in exact or not abs(new - old) <= _allowed(before, place, old)
    ]


def _sentence(place: str, old: float, new: float) -> str:
    if math.isnan(new):
        return f"{place} is not there any more"
    return (
        f"{place} is {new:.6g}, and nothing is published"
        if math.isnan(old)
        else f"{place} was {old:.6g} and is {new:.6g}"
    )


def _allowed(record: Record, place: str, figure: float) -> float:
    """The change of a figure that the rounding of another processor may cause."""
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
    """Sentences on figures of a record that contradict each other or the samples; nothing is measured."""
    totals = record.totals
    if totals is None:
        return []
    if table is not None and (absent := [name for name in ("outcome", "steps") if name not in table]):
        return [f"its samples have no {' and no '.join(absent)}"]
    pairs: dict[str, tuple[float, float]] = {}
    for kind in KINDS:
        pairs[f"{kind} in all and of the layers"] = getattr(totals, kind), sum(getattr(a, kind) for a in record.layers)
    value = record.metrics[record.primary_metric]
    if record.curve:
        pairs[f"{record.primary_metric} and its curve"] = value.value, record.curve[max(record.curve)]
    if record.exits:
        pairs["the exits and one"] = sum(record.exits), 1.0
    return _disagreeing(pairs) + ([] if table is None else incoherences(record, table))


def incoherences(record: Record, table: pd.DataFrame) -> list[str]:
    """Sentences on figures of a record that do not follow from its samples, or that no measurement gives."""
    totals, value = record.totals, record.metrics[record.primary_metric]
    assert totals is not None  # Of a cell that was measured.
    pairs: dict[str, tuple[float, float]] = {"test samples and rows of them": (value.n, len(table))}
    found = []
    if "steps" in table:
        pairs["steps and those of the samples"] = totals.steps, float(table["steps"].mean())
    for kind in (kind for kind in KINDS if kind in table):
        pairs[f"{kind} and those of the samples"] = getattr(totals, kind), float(table[kind].mean())
    if record.cell.task in TASKS:
        target = TASKS[record.cell.task].target
        columns = {str(name): table[name].to_numpy() for name in table}
        for metric, again in target.recomputed(columns).items():
            if metric in record.metrics:
                pairs[f"{metric} and outcomes"] = record.metrics[metric].value, again
        if not target.in_order(columns):
            found.append("its samples are not in the order of the test split")
    if {"prediction", "target"} <= set(table):
        right = float((table["prediction"] == table["target"]).mean())
        pairs["outcomes and predictions"] = float(table["outcome"].mean()), right
        pairs[f"{record.primary_metric} and predictions"] = value.value, 100 * right
        if not np.array_equal(
            table["outcome"].to_numpy(float), (table["prediction"] == table["target"]).to_numpy(float)
        ):
            found.append("outcomes of single samples are not those of their predictions")
    return _disagreeing(pairs) + found


def _disagreeing(pairs: dict[str, tuple[float, float]]) -> list[str]:
    return [
        f"{name} disagree: {a:.6g} and {b:.6g}"
        for name, (a, b) in pairs.items()
        if not math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-9)
    ]
