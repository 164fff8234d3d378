"""How far a search has come, said from time to time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

# Seconds between two messages: a search of minutes says some dozens.
EVERY = 2.0


class Progress:
    """Logs what a search is doing and about how long it has to go, every two seconds.

    Args:
        logger: the logger of whoever searches.
        what: what it is, as messages begin.
        total: number of parts, of about the same length.
        clock: seconds.
    """

    def __init__(self, logger: logging.Logger, what: str, total: int, clock: Callable[[], float] = time.monotonic):
        self.logger, self.what, self.total, self.clock = logger, what, total, clock
        self.done, self.began = 0, clock()
        self.said = self.began

    def finish(self, part: str) -> None:
        """Counts one more part as done."""
        self.done += 1
        now = self.clock()
        if now - self.said >= EVERY:
            self.said = now
            left = (now - self.began) / self.done * (self.total - self.done)
            share = self.done / self.total
            self.logger.info("%s: %s, %.0f %%, about %.0f s left", self.what, part, 100 * share, left)
