"""Text from outside made safe to show: names out of files and networks, paths, and messages of libraries.

A line break must not make a row of its own, and an escape sequence must not move a terminal's cursor.
"""

from __future__ import annotations

import re

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that control instead of being shown, among them those that turn the direction of writing; but tab and
line feed. Surrogates stand for bytes of file names that are no text."""


def printable(text: str) -> str:
    """The text with control characters as their escapes, as in "\\x1b[2J"; lines stay lines."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def one_line(text: str) -> str:
    """The same in one line, blanks as single spaces."""
    return printable(" ".join(text.split()))
