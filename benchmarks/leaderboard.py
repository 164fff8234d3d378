"""The leaderboard: for every task and network, what no other row beats in both accuracy and energy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.comparisons import frontier
from benchmarks.markdown import table
from benchmarks.seeds import complete, half_width
from conversion.files import write_atomically

PREAMBLE = """# Leaderboard

Generated from the results.csv of every suite by `python run_all.py report`; do not edit. "Same T" is no fair axis: a
burst neuron does in one step what a single spike does in phi. So rows compete on accuracy against energy. A row is
listed if no other row of the same task, network, test samples, calibration samples, precision and price list has at
least its accuracy for less energy, with a burst of n spikes priced as n spikes (unary); the graded column prices it as
one event. Rows are means over seeds. In italics the ANN and the quantised twins, which are no spiking networks and do
not compete.
"""
KEYS = ["task", "network", "profile", "calibration", "precision", "price_list", "metric"]
FIGURES = ["value", "ci_low", "ci_high", "n", "energy_unary_mJ", "energy_graded_mJ", "energy_ann_mJ"]
SEVERAL = """Brackets hold the 95 % interval of drawing the test samples; of several seeds, the t-interval of the mean.
Rows of which a seed is missing are left out.
"""


def write_leaderboard(results: Path, path: Path) -> None:
    """Writes the leaderboard of all suites that have a results.csv under `results`."""
    frames = [pd.read_csv(file) for file in sorted(results.glob("*/results.csv"))]
    write_atomically(path, leaderboard(pd.concat(frames, ignore_index=True)).encode())


def leaderboard(frame: pd.DataFrame) -> str:
    """The page, from the tidy tables of any number of suites."""
    lines = [PREAMBLE]
    done = complete(frame).drop_duplicates(["cell", "metric", "precision", "price_list"])
    if done.groupby([*KEYS, "method", "T"]).size().gt(1).any():
        lines.append(SEVERAL)
    for keys, group in done.groupby(KEYS):
        named = dict(zip(KEYS, keys, strict=True))
        rows = pd.DataFrame([_row(of_row) for _, of_row in group.groupby(["method", "T"], dropna=False, sort=False)])
        ann, others = rows[rows["method"] == "ann"], rows[rows["method"] != "ann"]
        if ann.empty or others.empty:
            continue
        samples = f"{'all' if named['profile'] == 'full' else 'the first'} {ann['n'].iloc[0]:.0f} test samples"
        lines += [
            f"## {named['task']}, {named['network']}: {samples}",
            "",
            f"{named['calibration']} calibration samples, {named['precision']}, prices `{named['price_list']}`.",
            "",
        ]
        header = ["method", "T", str(named["metric"]), "unary, % of ANN", "graded, % of ANN", "unary, mJ"]
        lines += [*table(header, _body(ann, others)), ""]
    return "\n".join(lines)


def _row(seeds: pd.DataFrame) -> dict[str, object]:
    """The mean over the seeds of a row; with several, its interval is that over seeds."""
    row = {"method": seeds["method"].iloc[0], "T": seeds["T"].iloc[0], "seeds": len(seeds)}
    row |= {str(name): mean for name, mean in seeds[FIGURES].mean().items()}
    if len(seeds) > 1:
        half = half_width(seeds["value"])
        row |= {"ci_low": row["value"] - half, "ci_high": row["value"] + half}
    return row


def _body(ann: pd.DataFrame, others: pd.DataFrame) -> list[list[str]]:
    twins = others["method"].str.startswith("quantised_ann")
    competing = set(others[~twins]["method"])
    shown = pd.concat([ann, frontier(others[~twins], "energy_unary_mJ"), others[twins]]).sort_values(
        "energy_unary_mJ", ascending=False
    )
    body = []
    for row in shown.to_dict("records"):
        body.append([
            f"`{row['method']}`" if row["method"] in competing else f"*`{row['method']}`*",
            "" if pd.isna(row["T"]) else f"{row['T']:.0f}",
            f"{row['value']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
            + (f" ({row['seeds']} seeds)" if row["seeds"] > 1 else ""),
            f"{100 * row['energy_unary_mJ'] / row['energy_ann_mJ']:.1f}",
            f"{100 * row['energy_graded_mJ'] / row['energy_ann_mJ']:.1f}",
            f"{row['energy_unary_mJ']:.4g}",
        ])  # fmt: skip
    return body
