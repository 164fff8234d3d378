"""ONNX files from anywhere: their graph and their tensors, and nothing outside of the file's folder.

A file is read without the onnx library's own loader of external data. What it says about sizes is compared with what is
there before anything is allocated.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from conversion.errors import InvalidInput, UnsupportedOp

if TYPE_CHECKING:
    import onnx

LARGEST_FILE = 2**31
"""Bytes: the limit of protocol buffers. Larger networks keep their tensors in files beside it."""
OPSETS = range(11, 26)
DEFAULT_DOMAINS = ("", "ai.onnx")
# By the numbers of `onnx.TensorProto.DataType`.
DTYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64, 9: torch.bool,
    10: torch.float16, 11: torch.float64, 16: torch.bfloat16,
}  # fmt: skip
# The fields of a tensor that hold its numbers where its bytes are not there, and what is stored for each number.
_FIELDS = {
    torch.float32: "float_data", torch.float64: "double_data", torch.int64: "int64_data",
    **dict.fromkeys((torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool), "int32_data"),
    **dict.fromkeys((torch.float16, torch.bfloat16), "int32_data"),
}  # fmt: skip


@dataclass(frozen=True)
class GraphInput:
    """The input of a network: its name, type and sizes, of which None are free."""

    name: str
    dtype: torch.dtype
    sizes: tuple[int | str | None, ...]


@dataclass(frozen=True)
class OnnxNode:
    """A node as its file has it.

    Attributes:
        label: its name, or where it has none its position, for messages.
        op: the operator.
        opset: the version of the operators that the file is written for.
        inputs, outputs: names of values; empty where an optional one is left out.
        attributes: by name, in Python's types; tensors are tensors.
        batch: the number of samples, where the file is for one number of them alone.
    """

    label: str
    op: str
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    batch: int | None = None

    def refusal(self, what: str) -> UnsupportedOp:
        """The error about this node."""
        return UnsupportedOp(f"The ONNX node '{self.label}' ({self.op}, opset {self.opset}) {what}")


@dataclass(frozen=True)
class OnnxFile:
    """A network as its file has it: one input, nodes in execution order, constants by name."""

    path: Path
    opset: int
    input: GraphInput
    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, Tensor]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """The file that is read, and how many bytes were taken of each file of external data."""

    path: Path
    taken: Counter[Path] = field(default_factory=Counter)

    def damaged(self, what: str) -> InvalidInput:
        return InvalidInput(f"The ONNX file {self.path} is damaged: {what}.")


def read_file(path: Path) -> OnnxFile:
    """Reads an ONNX file.

    Raises:
        InvalidInput: it is missing, damaged, too large, of other opsets than `OPSETS`, has not one input, or a tensor
            does not lie within what is stored for it; the package onnx is not installed.
        UnsupportedOp: a tensor is of a type that networks are not computed in.
    """
    model = _parsed(path)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    opset = next((opsets[domain] for domain in DEFAULT_DOMAINS if domain in opsets), 0)
    if opset not in OPSETS:
        raise InvalidInput(
            f"The ONNX file {path} is written for opset {opset}; those from {OPSETS[0]} to {OPSETS[-1]} are read. "
            "Export it for one of them, or convert it with onnx.version_converter."
        )
    graph = model.graph
    if graph.sparse_initializer:
        raise UnsupportedOp(
            f"The ONNX file {path} stores sparse tensors, which are not read; export it with dense ones."
        )
    if own := [function.name for function in model.functions if function.domain in DEFAULT_DOMAINS]:
        raise UnsupportedOp(
            f"The ONNX file {path} brings an operator '{own[0]}' of its own under the name of ONNX's; export it "
            "without."
        )
    source = _Source(path)
    _require_unique((tensor.name for tensor in graph.initializer), source, "tensor")
    constants = {tensor.name: _tensor(tensor, source, f"the tensor '{tensor.name}'") for tensor in graph.initializer}
    given = _input(graph, constants, path)
    batch = given.sizes[0] if isinstance(given.sizes[0], int) else None
    _require_unique((*constants, given.name, *(name for node in graph.node for name in node.output)), source, "value")
    nodes = []
    for position, node in enumerate(graph.node):
        label = node.name or f"{node.op_type} number {position}"
        op = node.op_type if node.domain in DEFAULT_DOMAINS else f"{node.domain}.{node.op_type}"
        version = opset if node.domain in DEFAULT_DOMAINS else opsets.get(node.domain, 0)
        attributes = _attributes(node, label, version, source)
        nodes.append(OnnxNode(label, op, version, tuple(node.input), tuple(node.output), attributes, batch))
    outputs = tuple(output.name for output in graph.output)
    if not outputs:
        raise InvalidInput(f"The ONNX file {path} has no output; nothing is computed.")
    return OnnxFile(path, opset, given, tuple(nodes), constants, outputs)


def _parsed(path: Path) -> onnx.ModelProto:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise InvalidInput("ONNX files need onnx, which is not installed: pip install -e '.[onnx]'.") from error
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise InvalidInput(f"{path} is no file; pass the path of an ONNX file.")
        if size > LARGEST_FILE:
            raise InvalidInput(
                f"The ONNX file {path} has {size:,} bytes, and one file holds at most {LARGEST_FILE:,}; export it with "
                "its tensors in files beside it (external data)."
            )
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"The ONNX file {path} cannot be read: {error.strerror}.") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"{path} is damaged or no ONNX file: {error}.") from error
    if not model.graph.node:
        raise InvalidInput(f"{path} is damaged or no ONNX file: it has no nodes.")
    return model


def _input(graph: onnx.GraphProto, constants: Mapping[str, Tensor], path: Path) -> GraphInput:
    # Files of old versions list constants among the inputs.
    inputs = [entry for entry in graph.input if entry.name not in constants]
    if len(inputs) != 1:
        listed = ", ".join(f"'{entry.name}'" for entry in inputs) or "none"
        raise InvalidInput(
            f"The ONNX file {path} has {len(inputs)} inputs ({listed}), and a network is captured with one; cut the "
            "part with one input out of it with onnx.utils.extract_model."
        )
    (entry,) = inputs
    kind = entry.type.tensor_type
    dtype = DTYPES.get(kind.elem_type)
    if dtype is None or not kind.HasField("shape") or not kind.shape.dim:
        raise InvalidInput(f"The input '{entry.name}' of the ONNX file {path} is no batch of tensors of numbers.")
    sizes = tuple(_declared(dim) for dim in kind.shape.dim)
    return GraphInput(entry.name, dtype, sizes)


def _declared(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    """A size that the file declares; a name or None where it is free, as Paddle says it with -1."""
    return dim.dim_value if dim.dim_value > 0 else dim.dim_param or None


def _require_unique(names: Iterable[str], source: _Source, what: str) -> None:
    """Refuses a file in which a name stands for several values: which of them is meant where is anyone's guess."""
    repeated = [name for name, count in Counter(names).items() if name and count > 1]
    if repeated:
        raise source.damaged(f"it has more than one {what} of the name '{repeated[0]}'")


def _attributes(node: onnx.NodeProto, label: str, version: int, source: _Source) -> dict[str, Any]:
    """The attributes of a node, of which its operator has to know each."""
    from onnx import defs

    found = {entry.name: _attribute(entry, label, source) for entry in node.attribute}
    _require_unique((entry.name for entry in node.attribute), source, f"attribute at the node '{label}'")
    if node.domain in DEFAULT_DOMAINS and defs.has(node.op_type):
        try:
            known = defs.get_schema(node.op_type, version).attributes
        except defs.SchemaError:  # A later operator; whether there is a rule is asked later.
            return found
        if unknown := [name for name in found if name not in known]:
            raise source.damaged(
                f"the node '{label}' has an attribute '{unknown[0]}', which {node.op_type} of opset {version} has not"
            )
    return found


def _attribute(entry: onnx.AttributeProto, label: str, source: _Source) -> Any:
    kinds = type(entry)
    plain = {kinds.INT: "i", kinds.FLOAT: "f", kinds.INTS: "ints", kinds.FLOATS: "floats"}
    if entry.type in plain:
        value = getattr(entry, plain[entry.type])
        return value if isinstance(value, int | float) else list(value)
    if entry.type == kinds.STRING:
        return entry.s.decode(errors="replace")
    if entry.type == kinds.STRINGS:
        return [value.decode(errors="replace") for value in entry.strings]
    if entry.type == kinds.TENSOR:
        return _tensor(entry.t, source, f"the attribute '{entry.name}' of the node '{label}'")
    raise UnsupportedOp(
        f"The ONNX file {source.path} has a node '{label}' whose attribute '{entry.name}' is a graph or another type "
        "that is not read; networks with branches and loops cannot be captured. Export it without them."
    )


def _tensor(tensor: onnx.TensorProto, source: _Source, what: str) -> Tensor:
    dtype, sizes = DTYPES.get(tensor.data_type), list(tensor.dims)
    if dtype is None:
        named = tensor.data_type in tensor.DataType.values()
        kind = tensor.DataType.Name(tensor.data_type) if named else str(tensor.data_type)
        raise UnsupportedOp(
            f"In the ONNX file {source.path}, {what} is of type {kind} (onnx.TensorProto.DataType), which is not read; "
            "the network has to compute in floating-point numbers, and quantised weights have to be of whole bytes."
        )
    if any(size < 0 for size in sizes):
        raise source.damaged(f"{what} has the shape {sizes}")
    count = math.prod(sizes)
    if tensor.data_location == tensor.EXTERNAL:
        stored = _external(tensor, source, what, count * dtype.itemsize)
    elif tensor.HasField("raw_data"):
        stored = tensor.raw_data
    else:
        numbers = getattr(tensor, _FIELDS[dtype])
        if len(numbers) != count:
            raise source.damaged(f"{what} has the shape {sizes}, and {len(numbers):,} numbers are stored for it")
        return _of_numbers(numbers, dtype, source, what).reshape(sizes)
    if len(stored) != count * dtype.itemsize:
        raise source.damaged(f"{what} has the shape {sizes}, and {len(stored):,} bytes are stored for it")
    if dtype is torch.bool and stored.strip(b"\0\1"):
        raise source.damaged(f"{what} has truth values other than 0 and 1")
    return (torch.frombuffer(bytearray(stored), dtype=dtype) if count else torch.empty(0, dtype=dtype)).reshape(sizes)


def _of_numbers(numbers: Any, dtype: torch.dtype, source: _Source, what: str) -> Tensor:
    """Numbers of a protocol buffer; those of 16 bits are stored as their bits."""
    wide = np.fromiter(
        numbers, np.float64 if dtype.itemsize > 2 and dtype.is_floating_point else np.int64, len(numbers)
    )
    if dtype in (torch.float16, torch.bfloat16):
        narrow = wide.astype(np.uint16)
        found = torch.from_numpy(narrow.view(np.int16)).view(dtype)
    else:
        found = torch.from_numpy(wide).to(dtype)
        narrow = found.numpy()
    if wide.dtype == np.int64 and not np.array_equal(narrow, wide):
        raise source.damaged(f"{what} has numbers that its type cannot hold")
    return found


def _external(tensor: onnx.TensorProto, source: _Source, what: str, needed: int) -> bytes:
    """The bytes of a tensor in a file beside the network's, which has to lie in the same folder or below."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    location = told.get("location", "")
    try:
        offset, length = (int(told.get(key) or default) for key, default in (("offset", 0), ("length", needed)))
    except ValueError:
        offset = length = -1
    if offset < 0 or length != needed:
        raise source.damaged(
            f"{what} needs {needed:,} bytes, and its external data are {told.get('length')!r} bytes from "
            f"{told.get('offset')!r} of '{location}'"
        )
    try:
        return _read_beside(location, offset, length, source, what)
    except (OSError, RuntimeError) as error:  # Links in a circle are a RuntimeError.
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InvalidInput(
            f"The ONNX file {source.path} keeps {what} in '{location[:200]}', which cannot be read: {reason}."
        ) from error


def _read_beside(location: str, offset: int, length: int, source: _Source, what: str) -> bytes:
    folder = source.path.parent.resolve()
    beside = folder / PurePosixPath(location)
    # Windows separates folders by backslashes, too. Links are followed before it is decided where a file lies.
    if not location or "\\" in location or "\0" in location or not beside.resolve().is_relative_to(folder):
        raise InvalidInput(
            f"The ONNX file {source.path} keeps {what} in '{location}', outside of its own folder, where nothing is "
            "read; put the file beside it and name it so."
        )
    if not beside.is_file():
        raise InvalidInput(
            f"The ONNX file {source.path} keeps {what} in '{location}', which is not beside it; copy both to one "
            "folder."
        )
    size = beside.stat().st_size
    source.taken[beside] += length
    if offset + length > size or source.taken[beside] > size:
        raise source.damaged(
            f"{what} lies at bytes {offset:,} to {offset + length:,} of '{location}', which has {size:,} for all "
            "tensors"
        )
    with beside.open("rb") as file:
        file.seek(offset)
        return file.read(length)
