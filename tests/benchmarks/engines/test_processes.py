"""Why a process ended is known, whoever asks."""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing import forkserver
from typing import Any

import pytest

from benchmarks.engines.processes import process_context


def test_the_exit_status_is_read_once_by_however_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    # Reading takes so long that all threads which see the end of the process want to read its status.
    read = forkserver.read_signed
    process: Any = process_context([]).Process(target=time.sleep, args=(600,))  # type: ignore[attr-defined]
    process.start()

    def slowly(pipe: int) -> int:
        time.sleep(0.2)
        return read(pipe)

    monkeypatch.setattr(forkserver, "read_signed", slowly)
    os.kill(process.pid, signal.SIGKILL)
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(process._popen.poll(0))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [-signal.SIGKILL] * 4
    assert process.exitcode == -signal.SIGKILL
