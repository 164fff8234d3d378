"""Markdown that tables and the leaderboard share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.text import in_table


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, line by line. What would end a cell or a row is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(map(in_table, line)) + " |" for line in lines]
