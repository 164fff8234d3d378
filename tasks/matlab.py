"""Files of MATLAB, versions 5 to 7 (MathWorks, "MAT-File Format"), as data sets have them.

scipy reads these files, too, but ends the process for some damage; tests hold this reader against it.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conversion.errors import InvalidInput

HEADER = 128
MATRIX, COMPRESSED = 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""NumPy's type of numbers by the type of their element."""
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""NumPy's type of an array by its class."""
CELL, STRUCT, TEXT = 1, 2, 4
DEEPEST = 20
MOST_BYTES = 2**28
"""Bytes of a file, and of what is compressed in it."""


def read_mat(path: Path, name: str, what: str) -> Any:
    """A variable: an array of numbers, a text, a list of cells, or a list of structures by field names.

    What is of another class, sparse arrays for instance, is None.

    Args:
        what: the file for the error message: "class map of SBD".

    Raises:
        InvalidInput: the file is missing, damaged, or has no such variable.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidInput(f"The file {path} has more than {MOST_BYTES:,} bytes, which no {what} has.")
        content = path.read_bytes()
        order = {b"IM": "<", b"MI": ">"}.get(content[126:HEADER])
        if order is None:
            raise ValueError("it is no file of MATLAB 5 to 7")
        for kind, part in _elements(content[HEADER:], order):
            if kind == COMPRESSED:
                [(kind, part)] = _elements(_decompressed(part), order)
            if kind == MATRIX:
                found, value = _matrix(part, order, 0)
                if found == name:
                    return value
        raise ValueError(f"it has no variable {name}")
    except OSError as error:
        raise InvalidInput(f"The file {path} cannot be read: {error.strerror}.") from error
    except (ValueError, struct.error, zlib.error) as error:
        raise InvalidInput(f"The file {path} is no {what} ({error}); unpack its archive again.") from error


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of the elements that follow each other, each padded to 8 bytes."""
    position = 0
    while position < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, position)
        start, end = position + 8, position + 8 + size
        if kind >> 16:  # A small one, whose bytes are in its tag.
            kind, size = kind & 0xFFFF, kind >> 16
            start, end = position + 4, position + 4 + size
            if size > 4:
                raise ValueError("a small element has more than four bytes")
        if end > len(content):
            raise ValueError("it ends within an element")
        yield kind, content[start:end]
        position = end if kind == COMPRESSED else max(position + 8, end + -end % 8)


def _decompressed(content: bytes) -> bytes:
    machine = zlib.decompressobj()
    found = machine.decompress(content, MOST_BYTES)
    if not machine.eof:
        raise ValueError(f"what is compressed breaks off, or has more than {MOST_BYTES:,} bytes")
    return found


def _matrix(content: bytes, order: str, depth: int) -> tuple[str, Any]:
    """Name and value of an array of any class."""
    if depth > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    parts = list(_elements(content, order))
    if len(parts) < 3:
        return "", None
    (_, flags), (_, sides), (_, name), *rest = parts
    number = struct.unpack_from(f"{order}I", flags)[0] & 0xFF
    shape = np.frombuffer(sides, f"{order}i4").tolist()
    count = math.prod(shape)
    if min(shape, default=-1) < 0 or count > MOST_BYTES:
        raise ValueError(f"an array has the shape {shape}")
    label, wide = name.decode("latin-1"), "utf-16-le" if order == "<" else "utf-16-be"
    if number in CLASSES:
        return label, _numbers(rest, count, order).astype(CLASSES[number]).reshape(shape, order="F")
    if number == TEXT:
        kind, text = rest[0] if rest else (0, b"")
        return label, text.decode({4: wide, 16: "utf-8", 17: wide}.get(kind, "latin-1"))
    if number == CELL:
        return label, [_matrix(part, order, depth + 1)[1] for _, part in _exactly(rest, count)]
    if number == STRUCT:
        return label, _structures(rest, count, order, depth)
    return label, None


def _numbers(parts: list[tuple[int, bytes]], count: int, order: str) -> NDArray[Any]:
    kind, stored = parts[0] if parts else (0, b"")
    if kind not in STORED:
        raise ValueError(f"an array is stored as type {kind}")
    numbers = np.frombuffer(stored, f"{order}{STORED[kind]}")
    if len(numbers) != count:
        raise ValueError(f"an array of {count} numbers has {len(numbers)}")
    return numbers


def _structures(parts: list[tuple[int, bytes]], count: int, order: str, depth: int) -> list[dict[str, Any]]:
    if len(parts) < 2:
        raise ValueError("a structure has no fields")
    (_, size), (_, text), *values = parts
    length = struct.unpack_from(f"{order}i", size)[0]
    if length < 1 or len(text) % length:
        raise ValueError("a structure has no names of fields")
    names = [text[k : k + length].partition(b"\0")[0].decode("latin-1") for k in range(0, len(text), length)]
    found = [_matrix(part, order, depth + 1)[1] for _, part in _exactly(values, count * len(names))]
    rows = (found[k * len(names) : (k + 1) * len(names)] for k in range(count))
    return [dict(zip(names, row, strict=True)) for row in rows]


def _exactly(parts: list[tuple[int, bytes]], count: int) -> list[tuple[int, bytes]]:
    if len(parts) != count or any(kind != MATRIX for kind, _ in parts):
        raise ValueError(f"there are {len(parts)} arrays in one of {count}")
    return parts
