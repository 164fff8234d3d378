"""Files that are written whole or not at all; leftovers of writers that were killed; folders bounded in size."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from conversion.errors import InvalidInput

LEFTOVER = 3600.0
"""Age in seconds at which a temporary file is a leftover of a writer that was killed."""


def writable(path: str | Path) -> Path:
    """The path of a file that is to be written.

    Raises:
        InvalidInput: its folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InvalidInput(f"There is no folder {path.parent} for {path.name}; make it first.")
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces `path` in one step: a reader, even after a crash, sees either the old content or the new."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path, pattern: str, keep: str = "") -> int:
    """Removes files that are as old as leftovers, or as far in the future, by a pattern; returns their number.

    Args:
        keep: the name of a file that stays.
    """
    removed = 0
    for path in (path for path in folder.glob(pattern) if path.name != keep):
        with suppress(FileNotFoundError):  # Somebody else was faster, or the writer is not gone and has renamed it.
            if abs(time.time() - path.stat().st_mtime) > LEFTOVER:
                path.unlink()
                removed += 1
    return removed


def bound(files: Iterable[Path], limit: int) -> list[Path]:
    """Removes those of the files that were used longest ago until the others are within a number of bytes.

    A file is used when it is written and when `used` was called. The youngest stays, however large it is.

    Returns:
        What was removed.
    """
    found = []
    for path in files:
        with suppress(FileNotFoundError):
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    found.sort(reverse=True)
    removed, total = [], 0
    for index, (_, size, path) in enumerate(found):
        total += size
        if index and total > limit:
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def used(path: Path) -> None:
    """Notes that a file is used, for `bound`; nothing where it may not be changed."""
    with suppress(OSError):
        os.utime(path)
