"""Encoded recordings on disk: one file for each split and encoding, mapped into memory.

Only the values of a recording that are not zero are stored: a tenth of all cells, and faster to read.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversion.errors import InvalidInput
from tasks.events.encoding import Cells

MAGIC = b"event-cells-1\n"
DTYPES = {"uint8": torch.uint8, "int16": torch.int16, "int32": torch.int32, "float32": torch.float32}


class CellStore:
    """The encoded recordings of one split, read from a file that `write_cells` wrote.

    Args:
        path: the file.
        shape: shape of one encoded recording.

    Raises:
        InvalidInput: the file is damaged.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.shape = shape
        try:
            self._bytes = np.memmap(path, np.uint8, "r")
            size = len(self._bytes)
            if bytes(self._bytes[: len(MAGIC)]) != MAGIC:
                raise ValueError
            footer = int(np.frombuffer(self._bytes[size - 8 :], "<u8")[0])
            header = json.loads(bytes(self._bytes[footer : size - 8]))
            self.dtype = DTYPES[header["dtype"]]
            self._value = np.dtype(header["dtype"])
            starts, count = header["starts"], header["count"]
            self._starts = np.frombuffer(self._bytes[starts : starts + 8 * count], "<u8").tolist()
            counts = starts + 8 * count
            self._counts = np.frombuffer(self._bytes[counts : counts + 8 * count], "<u8").tolist()
        except (ValueError, KeyError, IndexError, OverflowError) as error:
            raise InvalidInput(f"The cache {path} is damaged; delete it, it is made again.") from error

    def __len__(self) -> int:
        return len(self._starts)

    def read_into(self, index: int, sample: Tensor) -> None:
        """Writes one recording into a tensor of zeros of its shape and type."""
        start, count = self._starts[index], self._counts[index]
        end = start + 4 * count
        cells = self._bytes[start:end].view("<u4")
        sample.numpy().reshape(-1)[cells] = self._bytes[end : end + self._value.itemsize * count].view(self._value)

    def read(self, indices: Iterable[int]) -> Tensor:
        """Some recordings, shape (N, *shape)."""
        chosen = list(indices)
        samples = torch.zeros(len(chosen), *self.shape, dtype=self.dtype)
        for sample, index in zip(samples, chosen, strict=True):
            self.read_into(index, sample)
        return samples


def write_cells(path: Path, encoded: Iterable[Cells]) -> None:
    """Writes recordings one by one; the file appears complete or not at all.

    Whole numbers get the smallest type that holds all of them exactly: uint8, int16 or int32; others are float32.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    # The common type is known only at the end; until then each recording's values have their own.
    values: list[NDArray[np.generic]] = []
    spool = temporary.with_suffix(".index")
    try:
        with spool.open("wb") as file:
            for cells in encoded:
                file.write(cells.index.astype("<u4").tobytes())
                values.append(_narrow(cells.value))
        widest = np.result_type(np.uint8, *(value.dtype for value in values))
        with spool.open("rb") as indices, temporary.open("wb") as file:
            file.write(MAGIC)
            starts = []
            for value in values:
                # Padding: arrays are mapped with their type, so they begin at multiples of four bytes.
                file.write(b"\0" * (-file.tell() % 4))
                starts.append(file.tell())
                file.write(indices.read(4 * len(value)))
                file.write(value.astype(widest).tobytes())
            file.write(b"\0" * (-file.tell() % 8))
            header = {"dtype": widest.name, "starts": file.tell(), "count": len(values)}
            file.write(np.array(starts, "<u8").tobytes())
            file.write(np.array([len(value) for value in values], "<u8").tobytes())
            footer = file.tell()
            file.write(json.dumps(header).encode())
            file.write(np.array([footer], "<u8").tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        spool.unlink(missing_ok=True)
        temporary.unlink(missing_ok=True)


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
