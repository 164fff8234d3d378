"""`cache`: what is kept to save time, and where; everything in it can be made again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.execution.watch import duration
from benchmarks.text import printable
from conversion.files import bound
from tasks.events.base import cache_folders

GIB = 1 << 30


@dataclass(frozen=True)
class Kept:
    """A folder of a cache.

    Attributes:
        what: what is in it.
        patterns: its files by their names; nothing else in the folder is counted or removed.
    """

    what: str
    folder: Path
    patterns: tuple[str, ...]

    def files(self) -> Iterator[Path]:
        for pattern in self.patterns:
            yield from (path for path in self.folder.glob(pattern) if path.is_file())

    def __str__(self) -> str:
        sizes, ages = [], []
        for path in self.files():
            with suppress(FileNotFoundError):  # Removed since.
                status = path.stat()
                sizes.append(status.st_size)
                ages.append(max(time.time() - status.st_mtime, 0.0))
        used = f", last used {duration(min(ages))} ago" if ages else ""
        return f"{self.what}: {len(sizes)} files, {size_text(sum(sizes))}{used}: {self.folder}"

    def shrink(self, limit: int) -> int:
        """Removes what was used longest ago until the rest is within a number of bytes; returns the number of files."""
        files = list(self.files())
        if limit == 0:
            for path in files:
                path.unlink(missing_ok=True)
            return len(files)
        return len(bound(files, limit))


def folders(results: Path, data_root: Path | None) -> list[Kept]:
    """The folders of all caches, those of a folder of results and of a data root among them."""
    beside, users = cache_folders(data_root or Path())
    events = [users] if data_root is None else [beside, users]
    return [
        Kept("converted networks", results / "converted", ("*.safetensors", "*.json", "*.tmp")),
        # Files of earlier versions end in .cells.
        *(Kept("encoded recordings", folder, ("*.arrow", "*.cells", "*.tmp")) for folder in events),
    ]


def cache(results: Path, data_root: Path | None, keep: float | None) -> None:
    """Prints a line on every cache; with `keep`, first reduces each to so many GiB."""
    for kept in folders(results, data_root):
        removed = 0 if keep is None else kept.shrink(int(keep * GIB))
        print(printable(str(kept)) + f"; {removed} files removed" * bool(removed))


def size_text(size: int) -> str:
    """A number of bytes for people: "12 MiB"."""
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:.3g} GiB"
