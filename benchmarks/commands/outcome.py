"""The exit status of `run`."""

from __future__ import annotations

import sys

import pandas as pd

DONE, ABSENT, INTERRUPTED = 0, 3, 130


def exit_status(frame: pd.DataFrame, interrupted: bool) -> int:
    """The exit status of a run with these rows; prints on stderr why it is not 0."""
    if interrupted:
        print("Interrupted. Finished cells are stored; the same command measures the others.", file=sys.stderr)
        return INTERRUPTED
    absent = frame.loc[frame["status"].isin(["failed", "impossible", "missing"]), "cell"].nunique()
    if absent:
        print(f"{absent} of {frame['cell'].nunique()} cells are missing; the table says why.", file=sys.stderr)
        return ABSENT
    return DONE
