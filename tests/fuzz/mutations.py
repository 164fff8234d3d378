"""Seeded changes to files: of bits and bytes, of numbers in text, of whole lines."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

TARGETS: tuple[()] = ()
EXTREMES = (
    b"0", b"-1", b"1.7", b"nan", b"inf", b"-inf", b"1e400", b"1e308", b"1e-308", b"2147483648", b"4294967295",
    b"18446744073709551616", b"9" * 400, b"0x10", b"1_0", b"", b" ", b"null", b"true", b'""', b"[]", b"{}", b"\x00",
    b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"\\", b"../..", b"/etc/passwd", b"\xe2\x80\xa8", b"\\ud800",
)  # fmt: skip
WIDE = (b"\xff" * 4, b"\x00" * 4, b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f", b"\x01\x00\x00\x00", b"\xff" * 8)


def mutated(source: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """The bytes with one to eight changes; `others` are files from which parts may come."""
    data = content
    for _ in range(source.choice((1, 1, 1, 2, 4, 8))):
        data = _changed(source, data, others)
    return data


def _changed(source: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    place = source.randrange(len(data) + 1)
    length = source.choice((1, 2, 4, 8, 32, 256, 4096))
    match source.randrange(11):
        case 0 | 1 if place < len(data):
            return data[:place] + bytes([data[place] ^ 1 << source.randrange(8)]) + data[place + 1 :]
        case 2 if place < len(data):
            return data[:place] + source.randbytes(1) + data[place + 1 :]
        case 3:
            return data[:place] + data[place + length :]
        case 4:
            return data[:place] + data[place : place + length] * source.choice((2, 2, 3, 50)) + data[place + length :]
        case 5:
            return data[:place] + source.randbytes(length) + data[place:]
        case 6:
            return data[:place]
        case 7:
            wide = source.choice(WIDE)
            return data[:place] + wide + data[place + len(wide) :]
        case 8:
            other = source.choice(others)
            begin = source.randrange(len(other) + 1)
            return data[:place] + other[begin : begin + length] + data[place + length :]
        case 9:
            numbers = list(re.finditer(rb"-?\d+(?:\.\d+)?", data[:100_000]))
            if numbers:
                found = source.choice(numbers)
                return data[: found.start()] + source.choice(EXTREMES) + data[found.end() :]
        case 10:
            lines = data.split(b"\n")
            source.shuffle(lines) if source.random() < 0.3 else lines.insert(
                source.randrange(len(lines) + 1), source.choice(lines)
            )
            return source.choice((b"\n", b"\n", b"\r\n", b"\r")).join(lines)
    return data + source.choice(EXTREMES)
