"""Text from outside, escaped for the pages on which it lands: Markdown, CSV, XML (for terminals: conversion/text.py).

Names, paths and reasons come from suites, records, data and plug-ins of others. A line break must not make a row of
its own, and a reason must not become a formula or a tag.
"""

from __future__ import annotations

import re

from conversion.text import one_line, printable

FORMULA = ("=", "+", "-", "@", "\t")
"""Beginnings of texts that spreadsheets take for formulas."""


def page(text: str) -> str:
    """A page of Markdown without control characters, and without HTML outside of code."""
    return "\n".join(_without_tags(line) for line in printable(text).split("\n"))


def _without_tags(line: str) -> str:
    if "<" not in line:
        return line
    parts = line.split("`")
    # Between backticks characters stand for themselves; with an odd number of them nobody knows what is between.
    inside = len(parts) % 2 == 1
    return "`".join(part if inside and index % 2 else part.replace("<", "&lt;") for index, part in enumerate(parts))


def in_table(text: str) -> str:
    """The text of a cell of a Markdown table.

    Of several backslashes in front of a bar two would stand for one, and the bar would end the cell.
    """
    return re.sub(r"\\*\|", r"\\|", one_line(text))


def in_csv(text: str) -> str:
    """The text of a cell of a CSV file; a quote in front of what a spreadsheet would take for a formula."""
    said = one_line(text)
    return f"'{said}" if said.startswith(FORMULA) else said
