"""Checks and their verdicts."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from conversion.errors import BenchmarkError

Subject = TypeVar("Subject")
Verdict = Literal["passed", "failed", "does not apply"]
# A function that raises Failed unless its promise, the first line of its docstring, holds.
Check = Callable[[Subject], None]


class Failed(Exception):
    """A promise is broken; the message tells the author of a plug-in what was seen and what to do."""


class DoesNotApply(Exception):
    """There is nothing to check; the message says why."""


@dataclass(frozen=True)
class Result:
    """The result of one check.

    Attributes:
        promise: the property that is checked, in a sentence.
        reason: the reason of a failure, or why the check does not apply; empty when it passed.
    """

    name: str
    promise: str
    verdict: Verdict
    reason: str = ""


def demand(holds: bool, reason: str) -> None:
    """Raises Failed with a reason unless a condition holds."""
    if not holds:
        raise Failed(reason)


def demand_none(fault: str | None) -> None:
    """Raises Failed with a fault unless it is None."""
    if fault is not None:
        raise Failed(fault)


def demand_refusal(attempt: Callable[[], object], advice: str) -> None:
    """Raises Failed, with advice, unless a call raises an error of the benchmark's own."""
    try:
        made = attempt()
    except BenchmarkError:
        return
    except Exception as error:
        raise Failed(f"It ends in {type(error).__name__}: {error}; {advice}") from error
    raise Failed(f"It is not refused and gives {type(made).__name__}; {advice}")


def check_name(check: Check[Subject]) -> str:
    """The name of a check for readers."""
    return check.__name__.strip("_").replace("_", " ")


def judge(check: Check[Subject], subject: Subject) -> Result:
    """Runs one check. Any exception of the plug-in is a failure, too."""
    promise = (check.__doc__ or "").strip().splitlines()[0]
    try:
        check(subject)
    except DoesNotApply as error:
        return Result(check_name(check), promise, "does not apply", str(error))
    except (Failed, BenchmarkError) as error:
        return Result(check_name(check), promise, "failed", str(error))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        return Result(check_name(check), promise, "failed", f"{type(error).__name__} in {where}: {error}")
    return Result(check_name(check), promise, "passed")
