"""The interface of loggers, and the log of one call, which may have several."""

from __future__ import annotations

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from conversion.errors import InvalidInput
from conversion.registry import Registry

Setting = str | int | float | bool
"""The type of parameters that all loggers take."""


class Logger(ABC):
    """Receives runs, one after the other: `begin`, `add` for each step, `finish`. A subclass is registered by name.

    Args:
        where: a folder, address or project, as the user gives it behind the logger's name; empty for its default.

    Raises:
        InvalidInput: the logger's package is not installed, or nothing can be written there.
    """

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, where: str) -> None: ...

    @abstractmethod
    def begin(self, run: str, settings: Mapping[str, Setting]) -> None:
        """A run begins.

        Args:
            run: its name, parts of which may be separated by "/".
            settings: its parameters.
        """

    @abstractmethod
    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Writes the values of a step, from 1. The first step of a run may be a later one, after an interruption."""

    @abstractmethod
    def finish(self, row: Mapping[str, float] | None) -> None:
        """The run ends with these results; None if it was interrupted or failed."""


LOGGERS: Registry[type[Logger]] = Registry("logger")


class Log:
    """The loggers of one call of `train` or `run`; without any it does nothing.

    A logger that fails later on is named and left out: results do not depend on it.

    Args:
        chosen: each as `NAME` or `NAME:WHERE`, "tensorboard:curves".

    Raises:
        UnknownName: there is no such logger.
        InvalidInput: as of the logger.
    """

    def __init__(self, chosen: Sequence[str] = ()) -> None:
        self._loggers: list[Logger] = []
        for each in chosen:
            name, _, where = each.partition(":")
            self._loggers.append(LOGGERS[name](where))

    def __bool__(self) -> bool:
        """Whether anything is written."""
        return bool(self._loggers)

    @contextmanager
    def run(self, name: str, settings: Mapping[str, Any]) -> Iterator[dict[str, float]]:
        """Context of a run; yields its row of results, which the caller fills before the end."""
        plain = {key: value if isinstance(value, Setting) else str(value) for key, value in settings.items()}
        row: dict[str, float] = {}
        self._tell(lambda logger: logger.begin(name, plain))
        try:
            yield row
        except BaseException:
            self._tell(lambda logger: logger.finish(None))
            raise
        self._tell(lambda logger: logger.finish(row))

    def add(self, step: int, values: Mapping[str, float | None]) -> None:
        """Writes the values of a step of the current run; those that are None were not measured."""
        measured = {name: float(value) for name, value in values.items() if value is not None}
        self._tell(lambda logger: logger.add(step, measured))

    def _tell(self, message: Callable[[Logger], None]) -> None:
        for logger in [*self._loggers]:
            try:
                message(logger)
            except Exception as error:  # Of somebody's package, or a server that is gone.
                self._loggers.remove(logger)
                reason = without_passwords(next(iter(str(error).splitlines()), "")) or type(error).__name__
                print(f"The logger {logger.name} failed and is left out from here on: {reason}", file=sys.stderr)


def without_passwords(text: str) -> str:
    """A text whose addresses say no longer who logs in there: "https://host" for "https://me:secret@host"."""
    return re.sub(r"(?<=://)[^/?#\s'\"]*@", "", text)


def absent(logger: str, package: str) -> InvalidInput:
    """The error of a logger whose package is not installed; the extra has the logger's name."""
    return InvalidInput(
        f"--log {logger} needs {package}, which is not installed: pip install 'adaptive-calibration-bench[{logger}]'."
    )
