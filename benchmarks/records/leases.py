"""Leases with a heartbeat: they give a cell to one of the runs that share a store, and show which are measured.

Whether a holder on this machine still lives is a matter of its process, whatever any clock says: clocks are corrected,
and processes are stopped. Of a holder elsewhere only its heartbeat is known, by the clock of the store's disk.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Self

import psutil
from pydantic import ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError, with_config

from benchmarks.records.reading import Results
from benchmarks.records.sealed import Damaged, seal, unseal
from benchmarks.suites.cell import Cell

HEARTBEAT = 1.0
# Seconds without a heartbeat after which a lease expires; more than clocks of machines that share a store differ.
EXPIRY = 60.0


Count = Annotated[int, Field(ge=0, lt=2**63)]


@cache
def this_system() -> str:
    """Where process numbers mean the same: this boot of this machine, and in it this container.

    A host name says neither: containers get the same ones, and machines are started again.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # Not Linux, or all of it is hidden.
        return f"{socket.gethostname()} {uuid.getnode()}"


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Running:
    """The content of a lease: a cell that is being measured.

    Attributes:
        cell: id of the cell.
        label: the cell in a few words.
        host, pid: host and number of the process that measures it.
        system: see `this_system`.
        born: start of that process, since process numbers are reused, see `born`.
        started: start of the measurement, in seconds since the epoch.
        done, total: numbers of test samples; total is 0 while data are loaded.
        doing: what is being done before test samples are simulated, in a few words.
        token: unique for each lease.
    """

    cell: str
    label: str
    host: str = field(default_factory=socket.gethostname)
    pid: Annotated[int, Field(ge=1, lt=2**31)] = field(default_factory=os.getpid)
    born: FiniteFloat = field(default_factory=lambda: born(os.getpid()))
    started: FiniteFloat = field(default_factory=time.time)
    done: Count = 0
    total: Count = 0
    doing: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    system: str = field(default_factory=this_system)

    def expired(self, age: float) -> bool:
        """Whether its holder is gone, given the seconds since the last heartbeat.

        A heartbeat that is to come by more than clocks differ is that of no process: its age says nothing.
        """
        if self.system == this_system():
            return not alive(self.pid, self.born)
        return not -EXPIRY <= age <= EXPIRY


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
        content = _text(self.running)
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
                running = replace(self.running, done=self.done, total=self.total, doing=self.doing)
                temporary.write_bytes(_text(running))
                os.replace(temporary, self.path)
            except OSError:  # A full disk: the work goes on, and the record will say what is wrong.
                continue


_RUNNING = TypeAdapter(Running)


def _text(running: Running) -> bytes:
    return seal(json.dumps(vars(running)).encode())


def _read(path: Path) -> tuple[Running, float] | None:
    """A lease and the seconds since its last heartbeat; None where there is none, or what is there is no lease."""
    try:
        text = unseal(path.read_bytes())
        if text is None:
            return None
        return _RUNNING.validate_json(text, strict=True), time.time() - path.stat().st_mtime
    except (OSError, Damaged, ValidationError):
        return None


def _live(path: Path) -> Running | None:
    """The content of a lease that has not expired; None otherwise."""
    found = _read(path)
    return None if found is None or found[0].expired(found[1]) else found[0]


def alive(pid: int, since: float) -> bool:
    """Whether a process exists on this system and was started at `since`, see `born`."""
    try:
        return born(pid) == since
    except (psutil.Error, OSError):
        return False


def born(pid: int) -> float:
    """When a process of this system was started: clock ticks after the machine was, which no clock changes.

    On systems without /proc it is seconds since the epoch.

    Raises:
        psutil.NoSuchProcess: there is no such process.
        OSError: it is of somebody else, and hidden.
    """
    try:
        content = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            raise psutil.NoSuchProcess(pid) from None
        return psutil.Process(pid).create_time()
    except ProcessLookupError:
        raise psutil.NoSuchProcess(pid) from None
    # Behind the name of the program, which may hold brackets and blanks, the first field is the third of all.
    state, *fields = content.rpartition(")")[2].split()
    if state in ("Z", "X"):
        raise psutil.NoSuchProcess(pid, msg="it has ended, and nobody has asked for its status")
    return float(fields[18])


def watch_over(pid: int, since: float, end: Callable[[], None]) -> threading.Thread:
    """Calls `end` once the process `pid` is gone, so that workers end with a run that was killed."""

    def watch() -> None:
        while alive(pid, since):
            time.sleep(HEARTBEAT)
        end()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread
