"""The progress of a conversion, as its code logs it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOGGER = "conversion"
"""The logger above those of all modules of the package that converts."""


@contextmanager
def listening(say: Callable[[str], None]) -> Iterator[None]:
    """Calls `say` with every message that conversions of this thread log, of level INFO and above, inside the `with`.

    Threads may listen at the same time, each to its own conversion. Whoever listens to the root logger hears no more
    than before.
    """
    ear = _Ear(say)
    _gate.open()
    logging.getLogger(LOGGER).addHandler(ear)
    try:
        yield
    finally:
        logging.getLogger(LOGGER).removeHandler(ear)
        _gate.close()


class _Ear(logging.Handler):
    """Passes the messages of one thread on."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self.say, self.thread = say, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.say(record.getMessage())


class _Gate(logging.Handler):
    """Lets the logger speak from level INFO while anybody listens, and the root logger hear what it heard before.

    The first that listens changes the logger, and the last one restores it: listeners end in any order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.changes, self.listeners = threading.Lock(), 0
        self.level, self.effective, self.propagate = logging.NOTSET, logging.WARNING, True

    def open(self) -> None:
        with self.changes:
            self.listeners += 1
            if self.listeners > 1:
                return
            logger = logging.getLogger(LOGGER)
            self.level, self.effective, self.propagate = logger.level, logger.getEffectiveLevel(), logger.propagate
            logger.addHandler(self)
            logger.setLevel(min(self.effective, logging.INFO))
            logger.propagate = False

    def close(self) -> None:
        with self.changes:
            self.listeners -= 1
            if self.listeners:
                return
            logger = logging.getLogger(LOGGER)
            logger.removeHandler(self)
            logger.setLevel(self.level)
            logger.propagate = self.propagate

    def emit(self, record: logging.LogRecord) -> None:
        if self.propagate and record.levelno >= self.effective:
            logging.getLogger().handle(record)


_gate = _Gate()
