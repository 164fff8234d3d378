"""SIGINT and SIGTERM end a command within seconds and in one line, whatever it is doing.

The signal is raised as an exception, so that processes are ended and leases returned on the way out. Where that takes
longer than `GRACE`, as within a long call of a library, a thread ends the process; its workers then end by themselves.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

GRACE, EXIT = 2.0, 0.8
"""Seconds that a command has to clean up, and then the interpreter to end its threads."""
SIGNALS = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Terminated"}


class Stopped(BaseException):
    """A signal that ends the command; no Exception, since no cell and no library has to handle it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status, as a shell has it for a command that a signal ended."""
        return 128 + self.number

    def say(self) -> None:
        """Prints the one line."""
        word = SIGNALS[signal.Signals(self.number)]
        print(f"{word}. What was finished is stored; the same command does the rest.", file=sys.stderr, flush=True)


@contextmanager
def stoppable() -> Iterator[None]:
    """While its block lasts, signals raise `Stopped` in it. Signals that are ignored stay so, as with nohup."""
    chosen = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread() or not chosen:
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # The interpreter runs handlers between instructions of Python only; to this pipe it writes at once.
    pipe_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, _raise) for number in chosen}
    done = threading.Event()
    threading.Thread(target=_wait, args=(reading, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(pipe_before)
        os.close(writing)  # Which ends the thread.


def _raise(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # A second one must not break off the cleaning up.
    raise Stopped(number)


def _wait(reading: int, done: threading.Event) -> None:
    """Ends the process after a signal, if it has not ended by itself in time."""
    with suppress(OSError), os.fdopen(reading, "rb", buffering=0) as pipe:
        while numbers := pipe.read(1):
            if numbers[0] in SIGNALS:
                if done.wait(GRACE):
                    time.sleep(EXIT)
                else:
                    Stopped(numbers[0]).say()
                os._exit(128 + numbers[0])
