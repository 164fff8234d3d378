"""Files that `torch.save` wrote, from state dicts to whole networks: their tensors, and nothing else of them.

A network in such a file is an object of a class of somebody's library. Its class is not needed for its weights: of its
attributes `_parameters`, `_buffers` and `_modules` are taken, and no class or function that the file names is imported
or called (`adapters.pickles`).
"""

from __future__ import annotations

import io
import math
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from adapters.pickles import Damaged, Name, Noted, Persistent, unpickled
from conversion.errors import InvalidInput

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""The first two values in files of torch before version 1.6."""
ARCHIVE = b"PK\x03\x04"
"""The first bytes of files since."""
DTYPES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
OF_STORAGE = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool, "ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128,
}  # fmt: skip
WRAPPERS = ("state_dict", "ema", "model")
"""Keys that a state dict or a network may be under; ultralytics validates the average of its weights, if it has one."""
MOST_DIMENSIONS, LARGEST_SIDE = 64, 2**40
DEEPEST, MOST_TENSORS = 100, 10**5
"""How deep modules may lie in each other, and how many names of tensors a network may have; sharing multiplies them."""
UNREADABLE = (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError, EOFError, OSError,
              struct.error)  # fmt: skip
"""Errors of `zipfile`, by the place of the damage."""
Storages = Callable[[str], bytes]


def read_state(content: bytes) -> dict[str, Tensor]:
    """The state dict in a file of torch: its own, that of a network in it, or that under a key of `WRAPPERS`.

    Weights of a network are float32, whatever it was saved in.

    Raises:
        Damaged: the bytes are no file of torch, or a tensor does not lie within what is stored.
        InvalidInput: it holds no state dict.
    """
    root, storages = _zipped(content) if content.startswith(ARCHIVE) else _legacy(content)
    for key in WRAPPERS:
        inner = None if _is_module(root) else (_mapping(root) or {}).get(key)
        if _is_module(inner) or _mapping(inner) is not None:
            root = inner
    if _is_module(root):
        named = dict(_of_module(root))
        tensors = _tensors(named.values(), storages)
        single = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
        return {name: single[id(value)] for name, value in named.items()}
    values = _mapping(root)
    if not values or not all(isinstance(name, str) and _is_tensor(value) for name, value in values.items()):
        calls = [value.of for value in (root, *(values or {}).values()) if isinstance(value, Noted)]
        calls = [of for of in calls if of.module != "collections" and not of.module.startswith("torch.")]
        what = f"; it names {calls[0]}, which is not called" if calls else ""
        raise InvalidInput(f"holds no state dict, a mapping from names to tensors{what}.")
    tensors = _tensors(values.values(), storages)
    return {name: tensors[id(value)] for name, value in values.items()}


def _zipped(content: bytes) -> tuple[Any, Storages]:
    """The pickle in a file of torch from version 1.6 on, and what gives the bytes of a storage by its key."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > len(content):
            raise Damaged("the parts of its archive are larger than the file")  # torch does not compress them.
        pickles = [entry.filename for entry in entries if entry.filename.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise Damaged(f"its archive has {len(pickles)} parts called data.pkl, where torch writes one")
        folder = pickles[0].removesuffix("data.pkl")
        known = {entry.filename for entry in entries}
        order = archive.read(f"{folder}byteorder").decode() if f"{folder}byteorder" in known else "little"
        if order != sys.byteorder:
            raise InvalidInput(f"keeps its numbers in the order '{order}', and this machine's is '{sys.byteorder}'.")
        pickle = archive.read(pickles[0])
    except UNREADABLE as error:
        raise Damaged(f"its archive cannot be read: {error}") from error

    @cache  # Tensors may share a storage.
    def bytes_of(key: str) -> bytes:
        name = f"{folder}data/{key}"
        if name not in known:
            raise Damaged(f"its archive has no part {name}")
        try:
            return archive.read(name)
        except UNREADABLE as error:
            raise Damaged(f"the part {name} of its archive cannot be read: {error}") from error

    return unpickled(io.BytesIO(pickle)), bytes_of


def _legacy(content: bytes) -> tuple[Any, Storages]:
    """As `_zipped`, of files before version 1.6: five pickles, then the storages."""
    stream = io.BytesIO(content)
    if unpickled(stream) != MAGIC or unpickled(stream) != PROTOCOL:
        raise Damaged("it is no file of torch")
    system, root, keys = unpickled(stream), unpickled(stream), unpickled(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not (sys.byteorder == "little"):
        raise InvalidInput("keeps its numbers in another order of bytes than this machine, or does not say in which.")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Damaged("it has no list of what it stores")
    sizes = dict(_storage_sizes(root))
    stored: dict[str, bytes] = {}
    for key in keys:
        head = stream.read(8)
        count = int.from_bytes(head, sys.byteorder)
        size = sizes.get(key)
        if len(head) < 8 or size is None:
            raise Damaged(f"its part {key} is not there, or nothing in it refers to it")
        stored[key] = stream.read(min(count * size, len(content)))
        if len(stored[key]) != count * size:
            raise Damaged(f"it ends within its part {key}")

    def bytes_of(key: str) -> bytes:
        if key not in stored:
            raise Damaged(f"it has no part {key}")
        return stored[key]

    return root, bytes_of


def _storage_sizes(root: Any) -> Iterator[tuple[str, int]]:
    """The bytes of one number of every storage that something refers to, by its key."""
    seen: set[int] = set()
    left = [root]
    while left:
        value = left.pop()
        if isinstance(value, Persistent):
            dtype, key, _ = _reference(value)
            yield key, dtype.itemsize
        elif isinstance(value, (dict, list, tuple, Noted)) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, Noted):
                left += [value.args, value.state, value.items, value.members]
            else:
                left += value.values() if isinstance(value, dict) else value


def _mapping(value: Any) -> Mapping[Any, Any] | None:
    """What a mapping maps; None for anything else."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, Noted):
        return None
    if value.of == Name("collections", "OrderedDict"):
        first = value.args[0] if value.args and isinstance(value.args[0], list) else []
        pairs = [pair for pair in first if isinstance(pair, (list, tuple)) and len(pair) == 2]
        return {name: kept for name, kept in pairs if isinstance(name, str)} | value.items
    return None


def _attributes(value: Noted) -> dict[Any, Any]:
    """The attributes of an object; those in slots are given beside the others."""
    state = value.state[0] if isinstance(value.state, tuple) and value.state else value.state
    return state if isinstance(state, dict) else {}


def _is_module(value: Any) -> bool:
    return isinstance(value, Noted) and {"_parameters", "_buffers", "_modules"} <= _attributes(value).keys()


def _of_module(root: Noted) -> Iterator[tuple[str, Noted]]:
    """Names and tensors of a network, as its `state_dict` has them."""
    count = 0
    left: list[tuple[str, Any, int]] = [("", root, 0)]
    while left:
        prefix, module, depth = left.pop()
        if not _is_module(module):
            raise InvalidInput(f"has something other than a module at '{prefix}'.")
        if depth > DEEPEST:
            raise InvalidInput(f"has modules more than {DEEPEST} deep in each other.")
        attributes = _attributes(module)
        unsaved = _members(attributes.get("_non_persistent_buffers_set"))
        for kind in ("_parameters", "_buffers"):
            for name, value in (_mapping(attributes[kind]) or {}).items():
                if value is None or (kind == "_buffers" and name in unsaved):
                    continue
                if not isinstance(name, str) or not _is_tensor(value):
                    raise InvalidInput(f"has something other than a tensor at '{prefix}{name}'.")
                count += 1
                yield prefix + name, value
        inner = {name: part for name, part in (_mapping(attributes["_modules"]) or {}).items() if part is not None}
        left += [(f"{prefix}{name}.", part, depth + 1) for name, part in reversed(inner.items())]
        if count + len(left) > MOST_TENSORS:
            raise InvalidInput(f"has a network of more than {MOST_TENSORS:,} tensors.")


def _members(value: Any) -> set[Any]:
    """The members of a set; older pickles spell it as a call."""
    if isinstance(value, Noted) and value.of.name == "set" and value.args and isinstance(value.args[0], list):
        return {member for member in value.args[0] if isinstance(member, str)}
    return value if isinstance(value, set) else set()


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Noted) and _rebuilt(value) is not None


def _rebuilt(value: Noted) -> tuple[Any, ...] | None:
    """The arguments of torch's function that makes a plain tensor; None for anything else.

    Parameters and tensors of subclasses are wrapped around them.
    """
    of, args = value.of, value.args
    while of.module in ("torch._utils", "torch._tensor"):
        if of.name in ("_rebuild_parameter", "_rebuild_parameter_with_state") and args and isinstance(args[0], Noted):
            of, args = args[0].of, args[0].args
        elif of.name == "_rebuild_from_type_v2" and len(args) == 4 and isinstance(args[0], Name):
            of, args = args[0], args[2] if isinstance(args[2], tuple) else ()
        else:
            break
    least = {"_rebuild_tensor": 4, "_rebuild_tensor_v2": 6, "_rebuild_tensor_v3": 7}.get(of.name)
    return args if of.module == "torch._utils" and least is not None and len(args) >= least else None


def _tensors(notes: Iterable[Noted], storages: Storages) -> dict[int, Tensor]:
    """The tensors that notes describe, by the identity of the note: names that share a note share a tensor."""
    return {key: _tensor(note, storages) for key, note in {id(note): note for note in notes}.items()}


def _tensor(value: Noted, storages: Storages) -> Tensor:
    """The tensor that a note of torch's describes, if it lies within its storage."""
    args = _rebuilt(value)
    assert args is not None  # `_is_tensor` says so before.
    storage, offset, size, stride = args[0], args[1], _size(args[2]), _size(args[3])
    if not isinstance(storage, Persistent):
        raise Damaged("a tensor has no storage")
    dtype, key, view = _reference(storage)
    if len(args) > 6 and isinstance(args[6], Name):  # A storage without a type of its own.
        dtype = DTYPES.get(str(args[6]), dtype)
    elif any(args[6:8]):
        raise InvalidInput("holds a tensor whose numbers are conjugated or negated; save it resolved.")
    raw = storages(key)
    if view is not None:
        raw = raw[view[0] * dtype.itemsize : (view[0] + view[1]) * dtype.itemsize]
    flat = _numbers(raw, dtype)
    if size is None or stride is None or len(size) != len(stride) or type(offset) is not int or offset < 0:
        raise Damaged("a tensor has no shape")
    if not math.prod(size):
        return flat.new_empty(size)
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if last >= len(flat) or math.prod(size) > len(flat):
        raise Damaged(f"a tensor of shape {tuple(size)} does not lie within the {len(flat)} numbers stored for it")
    return flat.as_strided(size, stride, offset)


def _numbers(raw: bytes, dtype: torch.dtype) -> Tensor:
    """The numbers of a storage, shape (n,)."""
    if len(raw) % dtype.itemsize:
        raise Damaged(f"it ends within a number of type {dtype}")
    if dtype == torch.bool and raw.strip(b"\0\1"):
        raise Damaged("it has truth values other than 0 and 1")
    return torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.empty(0, dtype=dtype)


def _reference(storage: Persistent) -> tuple[torch.dtype, str, tuple[int, int] | None]:
    """The type of a storage's numbers, its key, and begin and length of the part of it, if it is not all."""
    identity = storage.identity
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] not in ("storage", b"storage"):
        raise Damaged("it refers to something that is no storage")
    kind, key, part = identity[1], identity[2], identity[5] if len(identity) > 5 else None
    name = kind.name.removesuffix("Storage") if isinstance(kind, Name) and kind.module.startswith("torch") else ""
    dtype = torch.uint8 if name == "Untyped" else OF_STORAGE.get(name)
    if dtype is None:
        raise InvalidInput(f"stores numbers as {kind}, which is not read.")
    if not isinstance(key, str):
        raise Damaged("it refers to a storage by something other than text")
    if part is None:
        return dtype, key, None
    if not (isinstance(part, tuple) and len(part) == 3 and all(type(side) is int and side >= 0 for side in part[1:])):
        raise Damaged("it refers to a part of a storage that is none")
    return dtype, key, (part[1], part[2])


def _size(value: Any) -> list[int] | None:
    """A shape or strides; None if it is none."""
    if isinstance(value, Noted) and value.of == Name("torch", "Size") and len(value.args) == 1:
        value = value.args[0]
    if not isinstance(value, (tuple, list)) or len(value) > MOST_DIMENSIONS:
        return None
    return list(value) if all(type(side) is int and 0 <= side <= LARGEST_SIDE for side in value) else None
