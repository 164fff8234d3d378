"""What networks in several codes cost: the tables of suites that have other codes than rates (docs/energy.md)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from benchmarks.pages.markdown import table
from benchmarks.pages.seeds import Rows, mean_text, over_seeds, parts
from conversion.codes import RATE
from conversion.counting.prices import Coding

PRICES_OF_CODES = (
    "A spike is one accumulation (unary), whatever its amplitude. For machines that know one amplitude it is priced as "
    "so many spikes of its layer's smallest amplitude (smallest); for bursts the two are the same. Answers are timed "
    "in steps from the first input: where layers wait for theirs, the first answer comes later than after one step."
)
HEADER = [
    "method", "T", "code", "wait", "unary, % of ANN", "smallest, % of ANN", "graded, % of ANN", "packets, thousands",
    "payload, kbit", "updates, thousands", "first answer", "final answer",
]  # fmt: skip
CODINGS: tuple[Coding, ...] = ("unary", "smallest", "graded")
THOUSANDS = ("packets", "payload_bits", "neuron_updates")


def has_codes(frame: pd.DataFrame) -> bool:
    """Whether any network of a tidy table has another code than the rate code."""
    return bool(frame["code"].dropna().replace("", RATE).ne(RATE).any())


def codes_table(group: pd.DataFrame) -> list[str]:
    """The table of the networks of one task and network: a row for each method and T, means over seeds."""
    rows = []
    for (method, T), seeds in parts(group[group["T"].notna()], ["method", "T"]).items():
        # Of a row that lacks a seed the first figure says so, and the others stay empty.
        first, *others = (over_seeds(seeds, figure) for figure in FIGURES)
        done = bool((seeds["status"] == "done").all())
        rows.append([f"`{method}`", f"{T}", first, *(text if done else "" for text in others)])
    return ["Codes, and what they cost:", "", *table(HEADER, rows), ""]


def _share(coding: Coding, seeds: Rows) -> str:
    if pd.isna(seeds["energy_ann_mJ"]).any():
        return "no ANN"
    return mean_text(100 * seeds[f"energy_{coding}_mJ"] / seeds["energy_ann_mJ"], ".1f", ".1f")


def _thousands(column: str, seeds: Rows) -> str:
    return "not counted" if pd.isna(seeds[column]).any() else mean_text(seeds[column] / 1000, ".3g", ".2g")


FIGURES: tuple[Callable[[Rows], str], ...] = (
    lambda seeds: str(seeds["code"][0]),
    lambda seeds: str(seeds["wait"][0]),
    *(partial(_share, coding) for coding in CODINGS),
    *(partial(_thousands, column) for column in THOUSANDS),
    lambda seeds: mean_text(seeds["latency_first"], ".4g", ".2g"),
    lambda seeds: mean_text(seeds["latency_final"], ".4g", ".2g"),
)
