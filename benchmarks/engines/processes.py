"""How worker processes start, and how one learns for certain why they ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from multiprocessing import popen_forkserver
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext, ForkServerContext, ForkServerProcess
from multiprocessing.process import BaseProcess


class _Popen(popen_forkserver.Popen):
    """A process whose exit status is read by one thread at a time.

    Whoever starts a process also asks all other children whether they still run. With a pool in each of several
    threads, two of them may ask the same process at once. The fork server hands its status out only once, and Python
    takes the end of the pipe, which the other thread finds, for status 255.
    """

    def __init__(self, process: BaseProcess) -> None:
        self._reading = threading.Lock()
        super().__init__(process)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        # Waiting holds no lock: another thread may wait for longer.
        if self.returncode is None and wait([self.sentinel], 0 if flag == os.WNOHANG else None):
            with self._reading:
                return super().poll(flag)
        return self.returncode


class _Process(ForkServerProcess):
    @staticmethod
    def _Popen(process_obj: BaseProcess) -> _Popen:
        return _Popen(process_obj)


class _Context(ForkServerContext):
    Process = _Process


def process_context(preload: Sequence[str]) -> BaseContext:
    """A context whose processes are forked by a server that has imported these modules.

    The server forks in milliseconds, even with torch, and runs no thread that a fork would break.
    """
    context = _Context()
    context.set_forkserver_preload(list(preload))
    return context
