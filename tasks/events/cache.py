"""Encoded recordings on disk: one Arrow file for each split and encoding, mapped into memory.

Only the values of a recording that are not zero are stored: a tenth of all cells, and faster to read. A file holds
lists of `index` and `value`, one of each for a recording, in batches; its name ends in the digest of its content, and
its schema holds the rest of its name, so that neither a changed file nor one of other recordings is taken.
"""

from __future__ import annotations

import glob
import hashlib
import os
import secrets
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversion.errors import InvalidInput
from conversion.files import bound, sweep, used
from tasks.events.encoding import Cells

DTYPES = {"uint8": torch.uint8, "int16": torch.int16, "int32": torch.int32, "float32": torch.float32}
NAME = b"encoded recordings"
"""The entry of a schema that holds the name of the recordings."""
DIGEST = 16
"""Hexadecimal digits of the digest in the name of a file."""
BATCH = 1 << 20
"""Cells from which on a batch is full."""
LIMIT = 64 << 30
"""Bytes that a folder of encoded recordings may have; those used longest ago go first."""


class CellStore:
    """The encoded recordings of one split, read from a file that `write_cells` wrote.

    Args:
        path: the file.
        shape: shape of one encoded recording.

    Raises:
        InvalidInput: the file is not what was written under its name.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.shape = shape
        name, _, digest = path.stem.rpartition("-")
        try:
            if _digest(path) != digest:
                raise ValueError("it was changed after it was written")
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            if (reader.schema.metadata or {}).get(NAME) != name.encode():
                raise ValueError("it holds other recordings than its name says")
            self.dtype = DTYPES[str(np.dtype(reader.schema.field("value").type.value_type.to_pandas_dtype()))]
            batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
            # Of every recording its batch, and its first and last cell in the batch.
            self._places = [
                (number, int(start), int(end))
                for number, batch in enumerate(batches)
                for start, end in _ends(batch["index"].offsets.to_numpy())
            ]
            self._cells = [batch["index"].values.to_numpy() for batch in batches]
            self._values = [batch["value"].values.to_numpy() for batch in batches]
        except (pa.ArrowException, OSError, ValueError, KeyError, AttributeError) as error:
            raise InvalidInput(f"The cache {path} is damaged ({error}); delete it, it is made again.") from error

    def __len__(self) -> int:
        return len(self._places)

    def read_into(self, index: int, sample: Tensor) -> None:
        """Writes one recording into a tensor of zeros of its shape and type."""
        batch, start, end = self._places[index]
        sample.numpy().reshape(-1)[self._cells[batch][start:end]] = self._values[batch][start:end]

    def read(self, indices: Iterable[int]) -> Tensor:
        """Some recordings, shape (N, *shape)."""
        chosen = list(indices)
        samples = torch.zeros(len(chosen), *self.shape, dtype=self.dtype)
        for sample, index in zip(samples, chosen, strict=True):
            self.read_into(index, sample)
        return samples


def stored_cells(folder: Path, name: str, shape: tuple[int, ...], encoded: Callable[[], Iterable[Cells]]) -> CellStore:
    """The encoded recordings of a name: those that are stored, or, if there are none or they are damaged, new ones.

    Args:
        folder: folder of the cache; it is kept within `LIMIT`.
        name: says all that the recordings depend on.
        shape: shape of one encoded recording.
        encoded: encodes the recordings.
    """
    for path in sorted(folder.glob(f"{glob.escape(name)}-{'[0-9a-f]' * DIGEST}.arrow")):
        try:
            store = CellStore(path, shape)
        except InvalidInput as error:
            print(f"{str(error).partition(';')[0]}; it is made again.", file=sys.stderr)
            path.unlink(missing_ok=True)
        else:
            used(path)
            return store
    path = write_cells(folder, name, encoded())
    sweep(folder, "*.tmp")
    bound(folder.glob("*.arrow"), LIMIT)
    return CellStore(path, shape)


def write_cells(folder: Path, name: str, encoded: Iterable[Cells]) -> Path:
    """Writes recordings one by one; the file appears complete or not at all. Returns its path.

    Whole numbers get the smallest type that holds all of them exactly: uint8, int16 or int32; others are float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary, spool = (folder / f"{name}.{secrets.token_hex(4)}.{kind}.tmp" for kind in ("arrow", "index"))
    # The common type is known only at the end; until then each recording's values have their own.
    values: list[NDArray[np.generic]] = []
    try:
        with spool.open("wb") as file:
            for cells in encoded:
                file.write(cells.index.astype("<u4").tobytes())
                values.append(_narrow(cells.value))
        _write(temporary, spool, name, values)
        path = folder / f"{name}-{_digest(temporary)}.arrow"
        os.replace(temporary, path)
        return path
    finally:
        spool.unlink(missing_ok=True)
        temporary.unlink(missing_ok=True)


def _write(path: Path, spool: Path, name: str, values: list[NDArray[np.generic]]) -> None:
    """Writes indices, from a file, and values of recordings in batches."""
    kind = pa.from_numpy_dtype(np.result_type(np.uint8, *(value.dtype for value in values)))
    lists = {"index": pa.large_list(pa.uint32()), "value": pa.large_list(kind)}
    schema = pa.schema(lists, metadata={NAME: name.encode()})
    with spool.open("rb") as indices, path.open("wb") as file:
        with pa.ipc.new_file(file, schema) as writer:
            waiting: list[NDArray[np.generic]] = []
            full = 0
            for number, value in enumerate(values, start=1):
                waiting.append(value)
                full += len(value)
                if number == len(values) or full >= BATCH:
                    offsets = pa.array(np.cumsum([0, *map(len, waiting)]), pa.int64())
                    index = np.fromfile(indices, "<u4", int(offsets[-1].as_py()))
                    flat = np.concatenate(waiting).astype(kind.to_pandas_dtype())
                    columns = [
                        pa.LargeListArray.from_arrays(offsets, pa.array(part, of.value_type))
                        for part, of in zip((index, flat), lists.values(), strict=True)
                    ]
                    writer.write_batch(pa.record_batch(columns, schema=schema))
                    waiting, full = [], 0
        file.flush()
        os.fsync(file.fileno())


def _ends(offsets: NDArray[np.int64]) -> Iterable[tuple[int, int]]:
    return zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST]


def _narrow(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Casts to the smallest of uint8, int16, int32 and float32 that holds all values."""
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    for name in ("uint8", "int16", "int32"):
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            return values.astype(name)
    raise InvalidInput(f"A cell of an encoded recording counts {high} events; {np.iinfo(np.int32).max} is the most.")
