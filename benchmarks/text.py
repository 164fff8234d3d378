"""Text from outside, escaped for where it lands: a terminal, Markdown, CSV or XML.

Names, paths and reasons come from suites, records, data and plug-ins of others. A line break must not make a row of
its own, an escape sequence must not move a terminal's cursor, and a reason must not become a formula or a tag.
"""

from __future__ import annotations

import re

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that control instead of being shown, among them those that turn the direction of writing; but tab and
line feed. Surrogates stand for bytes of file names that are no text."""
FORMULA = ("=", "+", "-", "@", "\t")
"""Beginnings of texts that spreadsheets take for formulas."""


def printable(text: str) -> str:
    """The text with control characters as their escapes, as in "\\x1b[2J"; lines stay lines."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def one_line(text: str) -> str:
    """The same in one line, blanks as single spaces."""
    return printable(" ".join(text.split()))


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
