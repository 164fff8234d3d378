"""The sections of docs/paper.md, one for each table of the paper, made from the suites.

`python -m benchmarks.pages.paper_docs docs/paper.md` writes them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from benchmarks.pages.paper import listed, needs_page, slips
from benchmarks.suites.files import load_suites
from benchmarks.suites.suite import Suite
from conversion.files import write_atomically


def section(suite: Suite) -> str:
    """Markdown of one table: what is in it, how it deviates, what it needs, and the slips of the paper."""
    assert suite.table is not None
    lines = [
        f"## {suite.title}", "", suite.note.strip(), "",
        f"Conversions look at {suite.calibrated_on} training samples at most.", "",
        *needs_page(suite), *listed("Slips of the paper:", slips(suite.table.number)),
    ]  # fmt: skip
    return "\n".join(lines)


def with_sections(page: str) -> str:
    """Replaces the sections of a page, between `<!-- paper -->` and `<!-- end -->`."""
    sections = "\n".join(section(suite) for suite in load_suites("paper"))
    return re.sub(
        r"<!-- paper -->\n.*?<!-- end -->", lambda _: f"<!-- paper -->\n{sections}<!-- end -->", page, flags=re.DOTALL
    )


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        write_atomically(page, with_sections(page.read_text(encoding="utf-8")).encode())
