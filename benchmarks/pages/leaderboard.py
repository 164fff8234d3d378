"""The leaderboard: for every task and network, the rows that no other row beats in both accuracy and energy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.choices import PUBLISHED
from benchmarks.pages.chance import chance
from benchmarks.pages.comparisons import frontier
from benchmarks.pages.markdown import table
from benchmarks.pages.seeds import Rows, complete, half_width, parts
from benchmarks.pages.tables import read_table
from benchmarks.records.manifest import MANIFEST, check_files, read_manifest
from benchmarks.text import one_line, page, printable
from conversion.errors import InvalidInput
from conversion.files import write_atomically
from tasks import TASKS

PREAMBLE = """# Leaderboard

Generated from the results.csv of every suite by `python run_all.py report`; do not edit. "Same T" is no fair axis: a
burst neuron does in one step what a single spike does in phi. So rows compete on accuracy against energy, with a burst
of n spikes priced as n spikes (unary); the graded column prices it as one event. Scores are those of a task's first
metric. Rows of the summary are named by their test scores, which flatters them a little where test samples are few.
"""
FRONTS = """A row is listed if no other row of the same task, network, test samples, calibration samples, precision and
price list has at least its score for less energy. Rows are means over seeds. Rows no better than chance are not listed.
In italics the ANN and the quantised twins, which are no spiking networks and compete among themselves.
"""
KEYS = ["task", "network", "profile", "calibration", "precision", "price_list"]
FIGURES = ["value", "ci_low", "ci_high", "n", "energy_unary_mJ", "energy_graded_mJ", "energy_ann_mJ"]
SEVERAL = """Brackets hold the 95 % interval of drawing the test samples; of several seeds, the t-interval of the mean.
Rows of which a seed is missing are left out.
"""
NEAR, SHARE = 1.0, 0.5
"""Limits of the summary: points below the ANN, and share of its energy."""
SUMMARY = ["task", "network", "ANN", f"within {NEAR:g} point of it", f"at most {100 * SHARE:g} % of its energy"]


@dataclass(frozen=True)
class Board:
    """The rows that compete with each other, and those beside them.

    Attributes:
        keys: their common values, by the names in KEYS.
        metric: name of their score.
        ann, twins, rows: the ANN's row, those of quantised twins, and those of spiking networks that are better than
            chance, as means over seeds.
    """

    keys: dict[str, Any]
    metric: str
    ann: pd.DataFrame
    twins: pd.DataFrame
    rows: pd.DataFrame

    @property
    def samples(self) -> str:
        """The number of test samples, in words."""
        return f"{'all' if self.keys['profile'] == 'full' else 'the first'} {self.ann['n'].iloc[0]:.0f} test samples"


def leaderboard_of(results: Path) -> Path:
    """The leaderboard's file: the repository's for the published results, and beside any other results their own."""
    published = results.resolve() == PUBLISHED.resolve()
    return Path("leaderboard.md") if published else results / "leaderboard.md"


def write_leaderboard(results: Path, path: Path) -> None:
    """Writes the leaderboard of all suites that have a results.csv under `results`.

    Raises:
        InvalidInput: one is published and was changed since.
    """
    for manifest in sorted(results.glob(f"*/{MANIFEST}")):
        check_files(manifest.parent, read_manifest(manifest.parent).files, ["results.csv"])
    frames = []
    for file in sorted(results.glob("*/results.csv")):
        try:
            frames.append(read_table(file))
        except InvalidInput as error:  # What somebody left there keeps nobody's results from the page.
            print(f"{printable(str(error))} The leaderboard is made without it.", file=sys.stderr)
    if frames:
        write_atomically(path, leaderboard(pd.concat(frames, ignore_index=True)).encode())


def leaderboard(frame: pd.DataFrame) -> str:
    """The page, from the tidy tables of any number of suites: a summary, then the frontier of every network."""
    done = _ranked(frame)
    several = bool(done.groupby([*KEYS, "method", "T"]).size().gt(1).any())
    boards = sorted(_boards(done), key=lambda board: _needs_no_data(board.keys["task"]))
    lines = [PREAMBLE, *table(SUMMARY, map(_summary, boards)), "", FRONTS]
    if several:
        lines.append(SEVERAL)
    for board in boards:
        header = ["method", "T", board.metric, "unary, % of ANN", "graded, % of ANN", "unary, mJ"]
        lines += [
            one_line(f"## {board.keys['task']}, {board.keys['network']}: {board.samples}"),
            "",
            one_line(
                f"{board.keys['calibration']} calibration samples, {board.keys['precision']}, "
                f"prices `{board.keys['price_list']}`."
            ),
            "",
            *table(header, _body(board)),
            "",
        ]
    return page("\n".join(lines))


def summary(frame: pd.DataFrame) -> list[str]:
    """The lines of a table with the best rows of every network whose ANN is in a tidy table."""
    boards = list(_boards(_ranked(frame)))
    return [*table(SUMMARY, map(_summary, boards)), ""] if boards else []


def _ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """Complete rows of each task's first metric, each cell once."""
    done = complete(frame).drop_duplicates(["cell", "metric", "precision", "price_list"])
    return done[done["metric"] == done.groupby("task")["metric"].transform("first")]


def _boards(done: pd.DataFrame) -> Iterator[Board]:
    for keys, group in done.groupby(KEYS):
        # The ANN has no T.
        found = parts(group.assign(T=group["T"].astype(float).fillna(-1.0)), ["method", "T"])
        rows = pd.DataFrame([_row(of_row) for of_row in found.values()])
        ann, twins = rows["method"] == "ann", rows["method"].str.startswith("quantised_ann")
        if ann.any() and not (ann | twins).all():
            named = dict(zip(KEYS, keys, strict=True))
            spiking = rows[~ann & ~twins & ~rows["at_chance"]]
            yield Board(named, str(group["metric"].iloc[0]), rows[ann], rows[twins], spiking)


def _needs_no_data(task: str) -> bool:
    """Whether a task needs nothing on disk; such tasks come last."""
    return task in TASKS and TASKS[task]().missing() is None


def _summary(board: Board) -> list[str]:
    ann, rows = board.ann.iloc[0], board.rows
    near = rows[rows["value"] >= ann["value"] - NEAR].sort_values(["energy_unary_mJ", "value"], ascending=[True, False])
    cheap = rows[rows["energy_unary_mJ"] <= SHARE * rows["energy_ann_mJ"]]
    cheap = cheap.sort_values(["value", "energy_unary_mJ"], ascending=[False, True])
    return [
        f"{board.keys['task']} ({board.samples})",
        str(board.keys["network"]),
        f"{ann['value']:.2f}",
        *(_summary_entry(found.iloc[0]) if len(found) else "none" for found in (near, cheap)),
    ]


def _summary_entry(row: pd.Series[Any]) -> str:
    share = 100 * row["energy_unary_mJ"] / row["energy_ann_mJ"]
    return f"{row['value']:.2f} at {share:.1f} %: `{row['method']}`, T={row['T']:.0f}"


def _row(seeds: Rows) -> dict[str, object]:
    """The mean over the seeds of a row; with several, its interval is that over seeds."""
    T = float(seeds["T"][0])
    row: dict[str, Any] = {"method": seeds["method"][0], "T": None if T < 0 else T, "seeds": len(seeds)}
    row |= {name: _mean(seeds[name].astype(float)) for name in FIGURES}
    row["at_chance"] = bool((seeds["ci_low"].astype(float) <= chance(str(seeds["task"][0]))).any())
    if len(seeds) > 1:
        half = half_width(seeds["value"])
        row |= {"ci_low": row["value"] - half, "ci_high": row["value"] + half}
    return row


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of those that are numbers."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _body(board: Board) -> list[list[str]]:
    competing = set(board.rows["method"])
    fronts = (frontier(rows, "energy_unary_mJ") for rows in (board.rows, board.twins))
    shown = pd.concat([board.ann, *fronts]).sort_values("energy_unary_mJ", ascending=False)
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
