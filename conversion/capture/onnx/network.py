"""A network in an ONNX file as a PyTorch module: its nodes in order, each a module that holds its weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

# Each files its rules.
from conversion.capture.onnx import functions, layers, places, quantised, resizing, shapes  # noqa: F401
from conversion.capture.onnx.fusing import fused
from conversion.capture.onnx.known import KNOWN
from conversion.capture.onnx.reading import GraphInput, OnnxNode, read_file
from conversion.capture.onnx.rules import FAILURES, Known, like, rule_for
from conversion.capture.onnx.strides import with_views_by_strides
from conversion.errors import BenchmarkError, InvalidInput

# Statistics are no parameters, and masks that hold -inf neither.
STATISTICS = ("mean", "variance")
SHAPES = ("Shape", "Size")
LARGEST_COMPUTED = 2**28
"""Numbers of all values that are computed from constants, besides eight times those that the file stores."""
LARGEST_SIGNAL = 2**28
"""Numbers of one sample in a value of a network: a gibibyte in float32."""


def read_onnx(path: Path) -> OnnxNetwork:
    """Reads a network from an ONNX file.

    Raises:
        InvalidInput: the file is missing or damaged (`reading.read_file`), or reads a value that nothing computes.
        UnsupportedOp: an operator has no rule; names it, its node and its version.
    """
    file = read_file(path)
    network = OnnxNetwork(path, file.input, file.outputs)
    constants = dict(file.constants)
    # Values that depend on the network's input, and those that depend on shapes alone.
    signals, sizes = {file.input.name}, set[str]()
    room = LARGEST_COMPUTED + 8 * sum(value.numel() for value in constants.values())
    nodes = with_views_by_strides(file.nodes, constants, file.input, file.outputs)
    for node in fused(nodes, constants, file.outputs):
        for name in node.inputs:
            if name and name not in signals and name not in sizes and name not in constants:
                later = any(name in other.outputs for other in nodes)
                wrong = "has its nodes in another order than they are computed in" if later else "is damaged"
                raise InvalidInput(
                    f"The ONNX file {path} {wrong}: its node '{node.label}' reads '{name}', which no node before it "
                    "computes."
                )
        reads = [name for name in node.inputs if name]
        if node.op == "Constant" or (node.op not in SHAPES and all(name in constants for name in reads)):
            made = _folded(node, constants)
            room -= sum(value.numel() for value in made)
            if room < 0:
                raise node.refusal(f"computes constants, with others more than {LARGEST_COMPUTED:,} numbers.")
            constants |= dict(zip(node.outputs, made, strict=False))
        elif node.op in SHAPES or not any(name in signals for name in reads):
            network.add_known(node, constants)
            sizes.update(node.outputs)
        else:
            network.add_layer(node, constants)
            signals.update(node.outputs)
    for name in file.outputs:
        if name not in signals:
            raise InvalidInput(f"The output '{name}' of the ONNX file {path} does not depend on its input.")
    return network


class OnnxNetwork(nn.Module):
    """A network of an ONNX file, in inference mode.

    Its modules have the names of the file's nodes. The size of the batch is free; sizes that the file leaves open take
    those of the input.

    Args:
        path: the file, for messages.
        given: the network's input.
        outputs: the names of its outputs.
    """

    def __init__(self, path: Path, given: GraphInput, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.path = path
        self.given = given
        self.outputs = outputs
        self._steps: list[tuple[OnnxNode, str | None]] = []
        self._constants: dict[str, Known] = {}
        self._shared: dict[str, nn.Parameter] = {}
        self.eval()

    def add_known(self, node: OnnxNode, constants: Mapping[str, Tensor]) -> None:
        """Appends a node that computes with shapes."""
        if node.op not in KNOWN:
            rule_for(node)
        self._constants |= {name: _array(constants[name], node) for name in node.inputs if name in constants}
        self._steps.append((_with_arrays(node), None))

    def add_layer(self, node: OnnxNode, constants: Mapping[str, Tensor]) -> None:
        """Appends a node that computes on signals; its constants become its parameters."""
        rule, layer = rule_for(node), OnnxLayer(node)
        for position, name in enumerate(node.inputs):
            if name not in constants:
                continue
            place, value = rule.input_name(position), constants[name]
            if place in rule.known:
                self._constants[name] = _array(value, node)
            elif value.is_floating_point() and place not in STATISTICS and not bool(value.isneginf().any()):
                layer.register_parameter(place, self._shared.setdefault(name, nn.Parameter(value)))
            else:
                layer.register_buffer(place, value)
        name = re.sub(r"\W+", "_", node.label).strip("_") or "node"
        while hasattr(self, name):
            name = f"{name}_{len(self._steps)}"
        self.add_module(name, layer)
        self._steps.append((node, name))

    def forward(self, x: Tensor) -> Any:
        """The outputs for a batch, shape (N, ...): one value, or a tuple of several in the order of the file."""
        values: dict[str, Any] = {**self._constants, self.given.name: x}
        promised = set[str]()
        for node, name in self._steps:
            layer = None if name is None else self.get_submodule(name)
            # Constants of a layer are its parameters.
            read = [values.get(each) if each else None for each in node.inputs]
            if lost := [each for each in node.inputs if each in promised and each not in values]:
                raise node.refusal(f"reads '{lost[0]}', an output that the rule of its operator does not give.")
            try:
                found = _computed(node, read) if layer is None else layer(*read)
            except BenchmarkError:
                raise
            except FAILURES as error:
                said = next(iter(str(error).strip().splitlines()), type(error).__name__)
                sizes = ", ".join(str(tuple(each.shape)) for each in read if isinstance(each, Tensor | np.ndarray))
                fixed = (
                    ""
                    if node.batch is None
                    else f" The file is for batches of {node.batch}: export it with a free batch."
                )
                raise node.refusal(f"cannot be computed for inputs of shape {sizes}: {said}.{fixed}") from error
            parts = found if isinstance(found, tuple) else (found,)
            for part in parts:
                _check_size(node, part)
            values |= zip(node.outputs, parts, strict=False)
            promised.update(name for name in node.outputs if name)
        if lost := [name for name in self.outputs if name not in values]:
            raise InvalidInput(f"The output '{lost[0]}' of the ONNX file {self.path} is one that no rule gives.")
        outputs = tuple(values[name] for name in self.outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def sample(self) -> Tensor:
        """An input of one sample, of the sizes that the file fixes.

        Raises:
            InvalidInput: the file leaves another size than that of the batch open.
        """
        sizes = self.given.sizes[1:]
        if not all(isinstance(size, int) for size in sizes):
            shown = ", ".join(str(size or "?") for size in self.given.sizes)
            raise InvalidInput(
                f"The ONNX file {self.path} leaves sizes of its input '{self.given.name}' open, ({shown}), and a "
                "network is captured for one size; pass an example: capture(path, example)."
            )
        if math.prod(sizes) > LARGEST_SIGNAL:  # type: ignore[arg-type]
            raise InvalidInput(f"The input of the ONNX file {self.path} has {sizes} numbers for a sample, too many.")
        # Values of any network's scale, the same in every call.
        drawn = torch.randn((1, *sizes), generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
        return drawn.to(self.given.dtype) if self.given.dtype.is_floating_point else drawn.abs().to(self.given.dtype)

    def check(self, example: Tensor) -> None:
        """Refuses an input of other sizes than the file's.

        Raises:
            InvalidInput: the number of axes, or a size other than that of the batch, is another.
        """
        sizes = self.given.sizes
        if example.dim() == len(sizes):
            pairs = zip(example.shape[1:], sizes[1:], strict=True)
            if all(own == size for own, size in pairs if isinstance(size, int)):
                return
        shown = ", ".join(str(size or "?") for size in sizes)
        raise InvalidInput(
            f"The example input has the shape {tuple(example.shape)}, and the input '{self.given.name}' of the ONNX "
            f"file {self.path} has ({shown}); pass a batch of that shape."
        )


class OnnxLayer(nn.Module):
    """A node of an ONNX file that computes on signals."""

    def __init__(self, node: OnnxNode) -> None:
        super().__init__()
        self.node = node

    def extra_repr(self) -> str:
        return self.node.op

    def forward(self, *inputs: Any) -> Any:
        """Its outputs; inputs that are its own parameters are not among the given ones, but None."""
        rule = rule_for(self.node)
        reference = next((value for value in inputs if isinstance(value, Tensor)), None)
        read: list[Any] = []
        for position, name in enumerate(self.node.inputs):
            place = rule.input_name(position)
            value = inputs[position]
            if place in rule.known:
                if name and not isinstance(value, np.ndarray):
                    raise self.node.refusal(
                        f"reads its '{place}' from values that the network computes from its input; spikes cannot "
                        "carry shapes, positions and bounds."
                    )
            elif place in self._parameters or place in self._buffers:
                value = getattr(self, place)
            elif isinstance(value, np.ndarray):
                assert reference is not None  # Layers have a signal.
                value = like(reference, value)
            read.append(value)
        return rule.function(self.node, *read)


def _check_size(node: OnnxNode, value: Any) -> None:
    """Refuses a value that no memory holds; while a network is recorded, nothing is allocated yet."""
    sizes = [size for size in value.shape if isinstance(size, int)] if isinstance(value, Tensor) else []
    if math.prod(sizes) > LARGEST_SIGNAL:
        raise node.refusal(
            f"makes a value of shape {tuple(value.shape)}, more than {LARGEST_SIGNAL:,} numbers a sample."
        )


def _computed(node: OnnxNode, inputs: list[Any]) -> Any:
    """The outputs of a node that computes with shapes: arrays, or tensors where the size of a batch is in them."""
    arrays = node.op in SHAPES or all(value is None or isinstance(value, np.ndarray) for value in inputs)
    found = KNOWN[node.op](node, *inputs) if arrays and node.op in KNOWN else None
    return _by_rule(node, inputs) if found is None else found


def _by_rule(node: OnnxNode, inputs: list[Any], device: str = "cpu") -> Any:
    rule = rule_for(node)
    read = []
    for position, value in enumerate(inputs):
        tensor = value is not None and rule.input_name(position) not in rule.known
        read.append(torch.as_tensor(value).to(device) if tensor else value)
    return rule.function(node, *read)


@torch.no_grad()
def _folded(node: OnnxNode, constants: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """The outputs of a node that reads constants alone."""
    if node.op == "Constant":
        return (_constant(node),)
    if node.op not in KNOWN:
        rule_for(node)
    node = _with_arrays(node)
    read = {name: constants[name] for name in node.inputs if name}
    known = all(value.dtype is not torch.bfloat16 for value in read.values())
    try:
        # A constant that is read several times is one array, and counts once.
        named = {name: value.numpy() if known else value for name, value in read.items()}
        arrays = [named.get(name) for name in node.inputs]
        found = KNOWN[node.op](node, *arrays) if known and node.op in KNOWN else None
        if found is None:
            # What it would make is looked at before it is made.
            for part in pytree.tree_leaves(_by_rule(node, arrays, "meta")):
                _check_size(node, part)
            found = _by_rule(node, arrays)
    except FAILURES as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise node.refusal(f"cannot be computed from its constants: {said}.") from error
    parts = found if isinstance(found, tuple) else (found,)
    return tuple(part if isinstance(part, Tensor) else _own_tensor(part) for part in parts)


def _own_tensor(value: Any) -> Tensor:
    """An array or number as a tensor that shares no memory; an array that was just made needs no copy for it."""
    made = isinstance(value, np.ndarray) and value.flags.owndata and value.flags.writeable
    return torch.from_numpy(value if made else np.array(value))


def _constant(node: OnnxNode) -> Tensor:
    """The value of a Constant, which is in one of several attributes."""
    for name, dtype in (
        ("value", None), ("value_float", torch.float32), ("value_floats", torch.float32), ("value_int", torch.int64),
        ("value_ints", torch.int64),
    ):  # fmt: skip
        if name in node.attributes:
            value = node.attributes[name]
            if isinstance(value, Tensor):
                return value
            return torch.tensor(value, dtype=dtype)
    raise node.refusal("has no value of numbers.")


def _with_arrays(node: OnnxNode) -> OnnxNode:
    """The node with arrays in place of tensors: while a network is recorded, torch makes none of them."""
    attributes = {
        key: _array(value, node) if isinstance(value, Tensor) else value for key, value in node.attributes.items()
    }
    return replace(node, attributes=attributes)


def _array(value: Tensor, node: OnnxNode) -> Known:
    if value.dtype is torch.bfloat16:
        raise node.refusal("takes shapes, axes or bounds of type bfloat16; export it in another type.")
    return value.numpy()
