"""Files of torch written instruction by instruction, for those that `torch.save` would not write."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from pathlib import Path

from adapters.foreign import MAGIC, PROTOCOL


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def name(module: str, own: str) -> bytes:
    return f"c{module}\n{own}\n".encode()


def call(of: bytes, *arguments: bytes) -> bytes:
    return of + b"(" + b"".join(arguments) + b"tR"


def mapping(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def storage(key: str, numbers: int, kind: str = "FloatStorage") -> bytes:
    """A reference to numbers that lie outside of the pickle."""
    parts = (text("storage"), name("torch", kind), text(key), text("cpu"), b"J" + struct.pack("<i", numbers))
    return b"(" + b"".join(parts) + b"tQ"


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(key: str, stored: int, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    hooks = call(name("collections", "OrderedDict"))
    return call(rebuild, storage(key, stored), number(offset), numbers(*size), numbers(*stride), b"\x89", hooks)


def programme(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


def zipped(path: Path, value: bytes, **stored: bytes) -> Path:
    """A file of torch from version 1.6 on."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", programme(value))
        archive.writestr("archive/byteorder", sys.byteorder)
        for key, data in stored.items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", "3\n")
    path.write_bytes(content.getvalue())
    return path


def legacy(path: Path, value: bytes) -> Path:
    """A file of torch before version 1.6, without a storage."""
    system = {"protocol_version": PROTOCOL, "little_endian": sys.byteorder == "little", "type_sizes": {}}
    head = b"".join(pickle.dumps(part, protocol=2) for part in (MAGIC, PROTOCOL, system))
    path.write_bytes(head + programme(value) + pickle.dumps([], protocol=2))
    return path
