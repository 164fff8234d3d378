"""Leases with a heartbeat: they give a cell to one of the runs that share a store, and show which are measured."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.records.reading import Results
from benchmarks.suites.cell import Cell

HEARTBEAT = 1.0
# Seconds without a heartbeat after which a lease expires; more than clocks of machines that share a store differ.
EXPIRY = 60.0


@dataclass(frozen=True)
class Running:
    """The content of a lease: a cell that is being measured.

    Attributes:
        cell: id of the cell.
        label: the cell in a few words.
        host, pid: host and number of the process that measures it.
        born: start of that process, since process numbers are reused, in seconds since the epoch.
        started: start of the measurement, in seconds since the epoch.
        done, total: numbers of test samples; total is 0 while data are loaded.
        doing: what is being done before test samples are simulated, in a few words.
        token: unique for each lease.
    """

    cell: str
    label: str
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    born: float = field(default_factory=lambda: psutil.Process().create_time())
    started: float = field(default_factory=time.time)
    done: int = 0
    total: int = 0
    doing: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    def expired(self, age: float) -> bool:
        """Whether its holder is gone, given the seconds since the last heartbeat."""
        if self.host != socket.gethostname():
            return age > EXPIRY
        return not alive(self.pid, self.born) or age > EXPIRY


class Leases:
    """The leases of one store: `<root>/<suite>/leases/<cell>.json`."""

    def __init__(self, store: Results) -> None:
        self.folder = store.folder / "leases"

    def take(self, cell: Cell) -> Lease | None:
        """The lease of a cell; None while another process has it.

        Two processes that find the same expired lease at once could, in rare cases, both get it: then the same record
        is written twice, which does no harm.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{cell.id}.json"
        lease = Lease(path, Running(cell.id, cell.label))
        if lease.create():
            return lease
        if _live(path) is not None:
            return None
        # Of several processes that see it expired, one moves it away; one that has moved a fresh lease puts it back.
        aside = path.with_name(f"{path.name}.{lease.running.token}")
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return lease if lease.create() else None
        if _live(aside) is not None:
            os.replace(aside, path)
            return None
        aside.unlink()
        return lease if lease.create() else None

    def running(self) -> Iterator[Running]:
        """The cells that are being measured now."""
        yield from filter(None, map(_live, sorted(self.folder.glob("*.json"))))

    def held(self, cell: Cell) -> bool:
        """Whether a cell is being measured now."""
        return _live(self.folder / f"{cell.id}.json") is not None


class Lease:
    """The right to measure one cell, renewed by a thread while its `with` block lasts.

    Attributes:
        done, total, doing: as in `Running`, for the display.
    """

    def __init__(self, path: Path, running: Running) -> None:
        self.path, self.running = path, running
        self.done = self.total = 0
        self.doing = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def create(self) -> bool:
        """Creates the lease's file; False if there is one."""
        content = json.dumps(vars(self.running)).encode()
        temporary = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}.tmp")
        temporary.write_bytes(content)
        try:
            # Atomic, and fails where the lease exists. It needs a file system with hard links.
            os.link(temporary, self.path)
            return True
        except FileExistsError:
            return False
        finally:
            temporary.unlink()

    def advance(self, samples: int) -> None:
        """Adds finished test samples."""
        self.done += samples

    def say(self, doing: str) -> None:
        """Sets what is being done."""
        self.doing = doing

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        found = _read(self.path)
        if found is not None and found[0].token == self.running.token:
            self.path.unlink(missing_ok=True)

    def _renew(self) -> None:
        temporary = self.path.with_name(f"{self.path.name}.{self.running.token}.tmp")
        while not self._end.wait(HEARTBEAT):
            found = _read(self.path)
            if found is not None and found[0].token != self.running.token:
                return  # It expired while this process was suspended, and somebody else has it.
            try:
                progress = {"done": self.done, "total": self.total, "doing": self.doing}
                temporary.write_text(json.dumps(vars(self.running) | progress))
                os.replace(temporary, self.path)
            except OSError:  # A full disk: the work goes on, and the record will say what is wrong.
                continue


def _read(path: Path) -> tuple[Running, float] | None:
    """A lease and the seconds since its last heartbeat; None where there is none."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Running(**content), time.time() - path.stat().st_mtime
    except (OSError, ValueError, TypeError):
        return None


def _live(path: Path) -> Running | None:
    """The content of a lease that has not expired; None otherwise."""
    found = _read(path)
    return None if found is None or found[0].expired(found[1]) else found[0]


def alive(pid: int, born: float) -> bool:
    """Whether a process exists and was started at `born`, but for a correction of the clock since."""
    try:
        return abs(psutil.Process(pid).create_time() - born) < EXPIRY
    except psutil.NoSuchProcess:
        return False


def watch_over(pid: int, born: float, end: Callable[[], None]) -> threading.Thread:
    """Calls `end` once the process `pid` is gone, so that workers end with a run that was killed."""

    def watch() -> None:
        while alive(pid, born):
            time.sleep(HEARTBEAT)
        end()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread
