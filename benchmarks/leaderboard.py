"""The leaderboard: for every task and network, what no other row beats in both accuracy and energy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.tables import table
from conversion.files import write_atomically

PREAMBLE = """# Leaderboard

Generated from `results/*/results.csv` by `python run_all.py report`; do not edit. "Same T" is no fair axis: a burst
neuron does in one step what a single spike does in phi. So rows compete on accuracy against energy. A row is listed if
no other row of the same task, network, test samples and price list has at least its accuracy for less energy, with a
burst of n spikes priced as n spikes (unary); the graded column prices it as one event. The ANN, and in italics the
quantised twins, stand beside them and do not compete: they are no spiking networks.
"""
KEYS = ["task", "network", "profile", "metric", "price_list"]


def write_leaderboard(results: Path, path: Path) -> None:
    """Writes the leaderboard of all suites that have a results.csv under `results`."""
    frames = [pd.read_csv(file) for file in sorted(results.glob("*/results.csv"))]
    write_atomically(path, leaderboard(pd.concat(frames, ignore_index=True)).encode())


def leaderboard(frame: pd.DataFrame) -> str:
    """The page, from the tidy tables of any number of suites."""
    lines = [PREAMBLE]
    done = frame[frame["status"] == "done"]
    for keys, group in done.groupby(KEYS):
        task, network, profile, metric, price_list = keys
        ann = group[group["method"] == "ann"]
        rows = group[group["method"] != "ann"].drop_duplicates("cell")
        if ann.empty or rows.empty:
            continue
        samples = "all" if profile == "full" else str(profile)
        n = int(ann["n"].iloc[0])
        lines += [f"## {task}, {network} ({samples} {n} test samples, `{price_list}`)", ""]
        header = ["method", "T", str(metric), "unary, % of ANN", "graded, % of ANN", "unary, mJ"]
        lines += [*table(header, _body(ann, rows)), ""]
    return "\n".join(lines)


def _body(ann: pd.DataFrame, rows: pd.DataFrame) -> list[list[str]]:
    twins = rows["method"].str.startswith("quantised_ann")
    shown = pd.concat([ann, pareto(rows[~twins]), rows[twins]]).sort_values("energy_unary_mJ", ascending=False)
    reference = float(ann["energy_unary_mJ"].iloc[0])
    body = []
    for row in shown.to_dict("records"):
        spiking = row["method"] != "ann" and not str(row["method"]).startswith("quantised_ann")
        name = f"`{row['method']}`" if spiking else f"*`{row['method']}`*"
        body.append([
            name,
            "" if pd.isna(row["T"]) else f"{row['T']:.0f}",
            f"{row['value']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]",
            f"{100 * row['energy_unary_mJ'] / reference:.1f}",
            f"{100 * row['energy_graded_mJ'] / reference:.1f}",
            f"{row['energy_unary_mJ']:.4g}",
        ])  # fmt: skip
    return body


def pareto(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that are more accurate than every row of less or equal energy."""
    ordered = rows.sort_values(["energy_unary_mJ", "value"], ascending=[True, False])
    best = ordered["value"].astype(float).cummax().shift(fill_value=float("-inf"))
    return ordered[ordered["value"] > best]
