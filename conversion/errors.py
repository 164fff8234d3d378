"""Errors a user can act on. Their text is a sentence: what was wrong, where, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BenchmarkError(Exception):
    """Base class of errors in what the user gave. The command line prints the message and exits with 2."""


class UnsupportedOp(BenchmarkError):
    """The network holds an operation that no rule of the role table covers."""


class InvalidInput(BenchmarkError):
    """A setting or a tensor is out of range, empty, or not finite."""


class UnknownName(BenchmarkError):
    """A task, network, method, suite or option that does not exist; the message names the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}."
        super().__init__(f"There is no {kind} called '{name}'; {hint}")


class NameTaken(BenchmarkError):
    """Two classes want the same name; the message says where both are."""

    def __init__(self, kind: str, name: str, first: str, second: str) -> None:
        super().__init__(f"The {kind} '{name}' is registered twice, by {first} and by {second}; rename one of them.")


class CheckpointError(BenchmarkError):
    """A checkpoint is missing, unreadable, or does not fit the network."""


class DataMissing(BenchmarkError):
    """A dataset is not on disk in the layout that the task reads."""
