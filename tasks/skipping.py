"""Samples that the user leaves out: a bad file stops the work by name, unless it is on a list beside the dataset."""

from __future__ import annotations

from pathlib import Path

SKIPPED = "skip.txt"
"""Beside a dataset's folders of samples: what is left out of every split, one on a line, by stem."""


def skipping(path: Path) -> str:
    """How a user leaves out a sample that cannot be repaired: the advice at the end of an error message."""
    return f"To leave it out, write {path.stem} on a line of {path.parent.parent / SKIPPED}."


def skipped(folder: Path) -> frozenset[str]:
    """The samples that the user leaves out; what follows a # is a remark."""
    path = folder / SKIPPED
    lines = path.read_text().splitlines() if path.is_file() else []
    return frozenset(name for line in lines if (name := line.partition("#")[0].strip()))
