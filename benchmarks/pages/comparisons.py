"""Comparisons within a suite: accuracy at equal energy, and the ablation beside the paper's.

A family is all rows of one idea, whatever their options and T. A random choice between two rows for every sample gives
accuracy and energy on the line between them, so a family reaches the upper concave hull of its rows.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from benchmarks.pages.markdown import table
from benchmarks.references.paper import NONE, energy_changes, printed
from benchmarks.suites.comparisons import Ablation, IsoEnergy

CODINGS = ("unary", "graded")


def frontier(points: pd.DataFrame, energy: str = "energy") -> pd.DataFrame:
    """The Pareto frontier: rows whose `value` no row of less or equal energy reaches, by increasing energy."""
    ordered = points.sort_values([energy, "value"], ascending=[True, False])
    best = ordered["value"].astype(float).cummax().shift(fill_value=float("-inf"))
    return ordered[ordered["value"] > best]


def value_at(points: pd.DataFrame, budget: float) -> float | None:
    """The best value of a family within an energy budget; None where even its cheapest row costs more."""
    best = frontier(points)
    hull: list[tuple[float, float]] = []
    for energy, value in zip(best["energy"].astype(float), best["value"].astype(float), strict=True):
        # A row below the line from the one before it to this one is beaten by a random choice between those two.
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], (energy, value)):
            hull.pop()
        hull.append((energy, value))
    if not hull or budget < hull[0][0]:
        return None
    energies, values = zip(*hull, strict=True)
    return float(np.interp(budget, energies, values))


def _slope(left: tuple[float, float], right: tuple[float, float]) -> float:
    return (right[1] - left[1]) / (right[0] - left[0])


def iso_energy(rows: pd.DataFrame, spec: IsoEnergy) -> list[str]:
    """Markdown of the comparison at equal energy, of one task, network, profile and metric.

    Args:
        rows: rows with the columns of results.csv.
        spec: budgets, families and reference.
    """
    lines = []
    rows = _complete(rows)
    steps = sorted(int(T) for T in rows["T"].dropna().unique())
    for coding in CODINGS:
        points = _points(rows, coding)
        members = {name: points[matches(points, patterns)] for name, patterns in spec.families.items()}
        # A task may lack some of the suite's families; a single one cannot be compared.
        members = {name: family for name, family in members.items() if len(family)}
        if len(members) < 2 or spec.reference not in members:
            return []
        for budget in spec.budgets:
            body = []
            for name, family in members.items():
                by_step = [_shown(family[family["T"] == T], budget) for T in steps]
                body.append([name, *by_step, _shown(family, budget)])
            header = ["family", *[f"T={T}" for T in steps], "any T"]
            lines += [f"At {100 * budget:g} % of the ANN's energy, {coding}:", "", *table(header, body), ""]
        lines += _against(members, spec.reference, coding)
    return lines


def _against(members: dict[str, pd.DataFrame], reference: str, coding: str) -> list[str]:
    """Compares every row of the other families with the reference at the row's own energy."""
    body = []
    for name, family in members.items():
        for row in family.to_dict("records") if name != reference else ():
            same = members[reference][members[reference]["T"] == row["T"]]
            differences = [value_at(points, row["energy"]) for points in (same, members[reference])]
            body.append([
                f"`{row['method']}`", f"{row['T']:.0f}", f"{row['value']:.2f}", f"{100 * row['energy']:.1f}",
                *["" if other is None else f"{row['value'] - other:+.2f}" for other in differences],
            ])  # fmt: skip
    header = ["method", "T", "value", f"{coding}, % of ANN", f"over {reference}, same T", f"over {reference}, any T"]
    return [f"Each row against {reference} at the row's own energy, {coding}:", "", *table(header, body), ""]


def ablation(rows: pd.DataFrame, spec: Ablation) -> list[str]:
    """Markdown of the ablation at every T, with the percent changes of the paper beside ours."""
    accuracies = {row.method: row.value for row in printed(7) if row.dataset == spec.paper}
    changes_of_energy = energy_changes(spec.paper)
    lines = []
    for T, of_step in _complete(rows).groupby("T"):
        columns = ["value", *[f"energy_{coding}_mJ" for coding in CODINGS]]
        ours = of_step.groupby("method")[columns].mean().to_dict("index")
        if spec.baseline not in ours:
            continue
        base = ours[spec.baseline]
        body = []
        named = {NONE: spec.baseline} | {str(techniques): label for techniques, label in spec.rows.items()}
        for techniques, label in named.items():
            beside = [
                f"{accuracies[techniques] - accuracies[NONE]:+.2f}", f"{changes_of_energy[techniques]:+.1f}",
            ]  # fmt: skip
            if label in ours:
                row = ours[label]
                changes = [f"{100 * (row[energy] / base[energy] - 1):+.1f}" for energy in columns[1:]]
                figures = [f"{row['value']:.2f}", f"{row['value'] - base['value']:+.2f}", *changes]
            else:
                figures = ["not run", "", "", ""]
            body.append([techniques, f"`{label}`", *figures, *beside])
        header = [
            "techniques", "method", "value", "change", "unary energy, %", "graded energy, %", "paper: change",
            "paper: energy, %",
        ]  # fmt: skip
        lines += [
            f"Ablation at T={T:.0f}: changes against `{spec.baseline}`, beside the paper's on {spec.paper}:",
            "",
            *table(header, body),
            "",
        ]
    return lines


def _complete(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of methods and T of which every seed is done; means over some of the seeds would mislead."""
    timed = rows[rows["T"].notna()]
    done = (timed["status"] == "done").groupby([timed["method"], timed["T"]]).transform("all")
    return timed[done]


def _points(rows: pd.DataFrame, coding: str) -> pd.DataFrame:
    """Mean over seeds of value and relative energy, by method and T."""
    energy = rows[f"energy_{coding}_mJ"] / rows["energy_ann_mJ"]
    points = rows.assign(energy=energy)[["method", "T", "value", "energy"]].astype({"T": float, "value": float})
    return points.groupby(["method", "T"], sort=False).mean().reset_index()


def matches(points: pd.DataFrame, patterns: list[str]) -> pd.Series:
    """Whether the method of each row matches a pattern."""
    return points["method"].map(lambda label: any(fnmatchcase(label, pattern) for pattern in patterns)).astype(bool)


def _shown(points: pd.DataFrame, budget: float) -> str:
    value = value_at(points, budget) if len(points) else None
    return "" if value is None else f"{value:.1f}"
