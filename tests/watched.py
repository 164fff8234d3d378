"""What code does to the world outside of it while a block runs: Python's own audit events say it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

DEEDS = (
    "os.", "shutil.", "subprocess.", "socket.", "urllib.", "ftplib.", "http.", "exec", "pty.", "ctypes.",
    "pickle.find_", "marshal.", "webbrowser.", "import",
)  # fmt: skip
HARMLESS = ("os.listdir", "os.scandir", "os.walk", "os.fwalk")
_watching: list[list[str]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event.startswith(DEEDS) and not event.startswith(HARMLESS):
        _watching[-1].append(f"{event} {arguments!r:.200}")
    if _watching and event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        _watching[-1].append(f"open {arguments!r:.200}")


@contextmanager
def watched() -> Iterator[list[str]]:
    """Lists processes started, sockets, files written, modules imported, code executed and classes unpickled."""
    if not _hook.__dict__.get("added"):
        sys.addaudithook(_hook)  # It cannot be removed, and costs nothing while nobody watches.
        _hook.__dict__["added"] = True
    deeds: list[str] = []
    _watching.append(deeds)
    try:
        yield deeds
    finally:
        _watching.pop()
