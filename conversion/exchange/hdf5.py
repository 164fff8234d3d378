"""NIR's files, which are HDF5: read with what a stranger could put into them in mind.

HDF5 runs no code of a file. It can, however, point at other files (links, external storage, virtual data sets), and
say in a few bytes that a data set has any size. Both are looked for before a value is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from conversion.errors import InvalidInput
from conversion.exchange.libraries import library

if TYPE_CHECKING:
    import nir

MOST_BYTES = 2**32
"""Size of all data sets of a file as they are computed with: decompressed, at least 8 bytes a number."""
MOST_ENTRIES = 100_000
DEEPEST = 8
FAILURES = (
    OSError, AssertionError, KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError,
)  # fmt: skip
"""What `nir` raises on files that hold something else than it expects."""


def read_graph(path: Path) -> nir.NIRGraph:
    """Reads a graph of NIR from a file that is not trusted.

    Raises:
        InvalidInput: the file cannot be opened, is no such file, points out of itself or is too large; the message
            names it.
    """
    nir = library("nir", "nir")
    _inspect(path)
    try:
        # Types are checked by computing the network: nir 1.0.8 does not know grouped convolutions.
        graph = nir.read(path, type_check=False)
    except FAILURES as error:
        raise InvalidInput(
            f"The NIR file {path} is damaged, or has a node that NIR does not know: {_reason(error)}."
        ) from error
    if not isinstance(graph, nir.NIRGraph):
        raise InvalidInput(f"The NIR file {path} holds a single {type(graph).__name__} and no graph.")
    return graph


def read_trace(path: Path) -> nir.NIRGraphData:
    """Reads the data of a NIR graph, as `read_graph` does a graph."""
    nir = library("nir", "nir")
    _inspect(path)
    try:
        return nir.read_data(path)
    except FAILURES as error:
        raise InvalidInput(f"The file {path} is no trace in NIR's format: {_reason(error)}.") from error


def _inspect(path: Path) -> None:
    h5py = library("h5py", "nir")
    try:
        path.open("rb").close()  # Of a missing file h5py does not say why in a sentence.
        with h5py.File(path, "r") as file:
            _Inspection(h5py, path).group(file, 0)
    except InvalidInput:
        raise
    except OSError as error:
        reason = error.strerror or "it is no HDF5 file, or a damaged one"
        raise InvalidInput(f"The file {path} cannot be read: {reason}.") from error
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"The file {path} is damaged: {_reason(error)}.") from error


class _Inspection:
    """One walk through a file, by its headers alone."""

    def __init__(self, h5py: Any, path: Path) -> None:
        self.h5py, self.path = h5py, path
        self.entries = self.bytes = 0

    def group(self, group: Any, depth: int) -> None:
        if depth > DEEPEST:
            raise InvalidInput(f"The file {self.path} has groups within groups, more than {DEEPEST} deep.")
        for name in group:
            self.entries += 1
            if self.entries > MOST_ENTRIES:
                raise InvalidInput(f"The file {self.path} has more than {MOST_ENTRIES:,} entries.")
            if not isinstance(group.get(name, getlink=True), self.h5py.HardLink):
                raise InvalidInput(
                    f"The file {self.path} has a link, '{name}', in place of a value; it is not followed."
                )
            entry = group[name]
            if isinstance(entry, self.h5py.Group):
                self.group(entry, depth + 1)
            elif isinstance(entry, self.h5py.Dataset):
                self.dataset(name, entry)
            else:
                raise InvalidInput(f"The file {self.path} has an entry, '{name}', that is neither a group nor values.")

    def dataset(self, name: str, entry: Any) -> None:
        if entry.is_virtual or entry.external:
            raise InvalidInput(f"The file {self.path} has values '{name}' that lie in other files; they are not read.")
        numeric = entry.dtype.kind in "biuf"
        if not numeric and self.h5py.check_string_dtype(entry.dtype) is None:
            raise InvalidInput(f"The file {self.path} has values '{name}' that are neither numbers nor text.")
        self.bytes += int(entry.size or 0) * max(8, int(entry.dtype.itemsize))
        if self.bytes > MOST_BYTES:
            raise InvalidInput(
                f"The file {self.path} says that it holds more than {MOST_BYTES // 2**30} GiB of values."
            )


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "").rstrip(".") or type(error).__name__
