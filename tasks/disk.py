"""Data on disk: folders of classes, and the list of samples that the user leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
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


def folder_gap(folder: Path, classes: Sequence[str]) -> str | None:
    """Why `folder` is not exactly one sub-folder per class, as a sentence; None when it is. Opens no file."""
    if not folder.is_dir():
        return f"There is no folder {folder}."
    present = {entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    for name in sorted(present - set(classes)):
        near = get_close_matches(name, classes, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"the classes are {', '.join(classes)}."
        return f"The folder {folder / name} is not named after a class; {hint}"
    for name in classes:
        if name not in present:
            return f"The class folder {folder / name} is not there."
    return None
