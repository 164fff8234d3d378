"""The progress of a conversion, as its code logs it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOGGER = "conversion"
"""The logger above those of all modules of the package that converts."""


@contextmanager
def listening(say: Callable[[str], None]) -> Iterator[None]:
    """Calls `say` with every message that conversions log, of level INFO and above, while the `with` block lasts.

    Whoever listens to the root logger hears no more than before.
    """
    logger = logging.getLogger(LOGGER)
    level, effective, propagate = logger.level, logger.getEffectiveLevel(), logger.propagate
    handler = _Ear(say, effective if propagate else None)
    logger.addHandler(handler)
    logger.setLevel(min(effective, logging.INFO))
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


class _Ear(logging.Handler):
    """Passes messages on, and records of at least `above` to the root logger; None keeps all from it."""

    def __init__(self, say: Callable[[str], None], above: int | None) -> None:
        super().__init__()
        self.say, self.above = say, above

    def emit(self, record: logging.LogRecord) -> None:
        self.say(record.getMessage())
        if self.above is not None and record.levelno >= self.above:
            logging.getLogger().handle(record)
