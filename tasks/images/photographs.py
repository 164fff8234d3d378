"""Listings of many labelled photographs on disk, compact in memory: files below a folder, or rows of Parquet files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from filecmp import cmp
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from conversion.errors import InvalidInput
from tasks.disk import file_hash
from tasks.images.files import decoded, opened
from tasks.images.hugging_face import embedded

Indices = NDArray[np.int64]
CHUNK = 100_000


class Photographs(ABC):
    """The labelled photographs of one part of a dataset, in a fixed order.

    Args:
        labels: the class of each, int16 of shape (N,).
    """

    def __init__(self, labels: NDArray[np.int16]) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def broken(self) -> tuple[Path, str] | None:
        """Path and name of the first photograph that is a link which leads nowhere; None without one."""
        return None

    @abstractmethod
    def image(self, index: int) -> Image.Image:
        """A photograph as it is stored. Raises InvalidInput if it cannot be decoded."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What a photograph is called in `skip.txt` and in messages."""

    @abstractmethod
    def content(self, index: int) -> bytes:
        """SHA-256 of a photograph's bytes on disk. Raises InvalidInput if they cannot be read."""

    @abstractmethod
    def without(self, names: frozenset[str]) -> Photographs:
        """Those that are not called by any of the names, or by one of them with the suffix of a file."""

    def names(self, indices: Indices) -> Iterator[str]:
        """The names of some photographs."""
        return map(self.name, indices.tolist())


class Files(Photographs):
    """Photographs that are files below a folder.

    A million names are one Arrow array, which takes some 40 bytes a name; a list of paths would take ten times as much.

    Args:
        folder: the folder.
        names: their paths below it.
        labels: see `Photographs`.
        dangling: those that are links which lead nowhere.
    """

    def __init__(self, folder: Path, names: Any, labels: NDArray[np.int16], dangling: Sequence[str] = ()) -> None:
        super().__init__(labels)
        self.folder, self.stored, self.dangling = folder, names, dangling

    @property
    def broken(self) -> tuple[Path, str] | None:
        return next(((self.folder / own, self._name(own)) for own in self.dangling), None)

    def path(self, index: int) -> Path:
        return Path(self.folder, self.stored[index].as_py())

    def image(self, index: int) -> Image.Image:
        return decoded(self.path(index), mode=None)

    def name(self, index: int) -> str:
        return self._name(self.stored[index].as_py())

    def content(self, index: int) -> bytes:
        path = self.path(index)
        try:
            return file_hash(path)
        except OSError as error:
            raise InvalidInput(f"The image {path} cannot be read ({error.strerror}); replace it.") from error

    def names(self, indices: Indices) -> Iterator[str]:
        for start in range(0, len(indices), CHUNK):
            yield from self.stored.take(pa.array(indices[start : start + CHUNK])).to_pylist()

    def without(self, names: frozenset[str]) -> Files:
        if not names:
            return self

        def stays(own: str) -> bool:
            return f"{self.folder.name}/{own}" not in names and self._name(own) not in names

        kept = np.array([stays(own) for own in self.names(np.arange(len(self)))], dtype=bool)
        dangling = [own for own in self.dangling if stays(own)]
        return Files(self.folder, self.stored.filter(pa.array(kept)), self.labels[kept], dangling)

    def _name(self, own: str) -> str:
        return f"{self.folder.name}/{own.rpartition('.')[0]}"


class Rows(Photographs):
    """Photographs that are rows of Parquet or Arrow files of Hugging Face's `datasets`.

    Args:
        part: the name of the part.
        groups: file and group of rows of each range of rows, in order.
        offsets: number of the first row of each group, and the number of all rows.
        labels: see `Photographs`.
        rows: numbers of the rows of these photographs; all if None.
    """

    def __init__(
        self, part: str, groups: Sequence[tuple[Path, int]], offsets: Indices, labels: NDArray[np.int16],
        rows: Indices | None = None,
    ) -> None:  # fmt: skip
        super().__init__(labels)
        self.part, self.groups, self.offsets = part, groups, offsets
        self.rows = np.arange(len(labels)) if rows is None else rows

    def image(self, index: int) -> Image.Image:
        path, _, _ = self._place(index)
        with opened(self._bytes(index), f"image in row {self.rows[index]} ({path})") as image:
            return image.copy()

    def name(self, index: int) -> str:
        return f"{self.part}/{self.rows[index]}"

    def content(self, index: int) -> bytes:
        return sha256(self._bytes(index)).digest()

    def without(self, names: frozenset[str]) -> Rows:
        if not names:
            return self
        kept = np.array([self.name(index) not in names for index in range(len(self))], dtype=bool)
        return Rows(self.part, self.groups, self.offsets, self.labels[kept], self.rows[kept])

    def _place(self, index: int) -> tuple[Path, int, int]:
        """File, group of rows, and row in it."""
        row = int(self.rows[index])
        group = int(np.searchsorted(self.offsets, row, side="right")) - 1
        return *self.groups[group], row - int(self.offsets[group])

    def _bytes(self, index: int) -> bytes:
        return embedded(*self._place(index), "image", f"Row {self.rows[index]}")


def overlap(one: Photographs, other: Photographs) -> tuple[Path, Path] | None:
    """The first files of two parts that are the same: one file, or equal bytes below the same name; None without.

    Parquet and Arrow files are compared whole, under any name.
    """
    pairs: Iterable[tuple[Path, Path]]
    if isinstance(one, Files) and isinstance(other, Files):
        shared = np.flatnonzero(pc.is_in(one.stored, value_set=other.stored).to_numpy(zero_copy_only=False))
        pairs = ((one.path(index), other.folder / one.path(index).relative_to(one.folder)) for index in shared.tolist())
    elif isinstance(one, Rows) and isinstance(other, Rows):
        pairs = product(dict(one.groups), dict(other.groups))
    else:
        return None
    return next((pair for pair in pairs if _same(*pair)), None)


def _same(one: Path, other: Path) -> bool:
    """Whether two files are one, or have equal bytes."""
    try:
        return one.samefile(other) or cmp(one, other, shallow=False)
    except OSError:  # A file that cannot be read is an error when it is read for its image.
        return False


class Streamed(Dataset[tuple[Tensor, Tensor]]):
    """Photographs that are read on access and never kept.

    Args:
        source: the part that they are of.
        indices: their places in it.
        sized: makes the pixels of a photograph.
        advice: says, of a name, how to leave a photograph out.
    """

    def __init__(
        self, source: Photographs, indices: Indices, sized: Callable[[Image.Image], Tensor],
        advice: Callable[[str], str],
    ) -> None:  # fmt: skip
        self.source, self.indices = source, indices
        self._sized, self._advice = sized, advice

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        place = int(self.indices[index])
        try:
            pixels = self._sized(self.source.image(place))
        except InvalidInput as error:
            raise InvalidInput(f"{error} {self._advice(self.source.name(place))}") from error
        return pixels, torch.tensor(int(self.source.labels[place]))
