"""ATen operations as nodes of ONNX: everything between layers of neurons that no weights take up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from conversion.capture.graph import source_line
from conversion.capture.roles import SCALES, arguments, aten, packet
from conversion.errors import UnsupportedOp
from conversion.exchange.folding import RESHAPES, Folding
from conversion.exchange.parts import Part, sample_shape, sizes
from conversion.report.naming import op_name


class Operators:
    """Writes nodes and constants of an ONNX graph, in execution order.

    Args:
        onnx: the library.
        parts: the network.
    """

    def __init__(self, onnx: Any, parts: Folding) -> None:
        self.onnx, self.parts = onnx, parts
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._known: set[str] = set()

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [output], name=output, **attributes))

    def constant(self, name: str, value: Tensor | Sequence[int], dtype: Any = np.float32) -> str:
        array = value.cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array.astype(dtype)), name))
        return name

    def scalar(self, name: str, value: float, dtype: Any = np.float32) -> str:
        """A constant of its own name that several nodes share."""
        if name not in self._known:
            self._known.add(name)
            self.constants.append(self.onnx.numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def convolution(self, name: str, source: str, fields: Mapping[str, Any]) -> None:
        dims, padding = fields["weight"].dim() - 2, fields["padding"]
        if isinstance(padding, str):
            lengths = zip(fields["dilation"], fields["weight"].shape[2:], strict=True)
            total = [step * (length - 1) for step, length in lengths]
            # As torch pads: what is odd comes behind.
            before = [length // 2 if padding == "same" else 0 for length in total]
            behind = [length - first if padding == "same" else 0 for length, first in zip(total, before, strict=True)]
        else:
            before = behind = list(padding)
        inputs = [source, *(self.constant(f"{name}_{key}", fields[key]) for key in ("weight", "bias"))]
        self.node(
            "Conv", inputs, name, kernel_shape=[int(length) for length in fields["weight"].shape[2:]],
            strides=list(fields["stride"]), pads=[*before, *behind], dilations=list(fields["dilation"])[:dims],
            group=int(fields["groups"]),
        )  # fmt: skip

    def operation(self, name: str, part: Part) -> None:
        """An operation of ATen.

        Raises:
            UnsupportedOp: it has no rule, named with its source line.
        """
        node: fx.Node = part.fields["node"]
        op = packet(node)
        rule = _OPERATIONS.get(op)
        if rule is None and op in (*RESHAPES, *SCALES):
            rule = Operators._reshape
        if rule is None:
            raise _unwritten(node)
        rule(self, name, node, self._inputs(node, part, name))

    def _inputs(self, node: fx.Node, part: Part, name: str) -> list[str]:
        """What an operation reads, in the order of its arguments: signals and constants."""
        signals = iter(part.sources)
        by_node: dict[fx.Node, str] = {
            source: next(signals) for source in node.all_input_nodes if source in self.parts.signals
        }
        return [
            by_node[source]
            if source in by_node
            else self.constant(f"{name}_constant{number}", self.parts.value(source))
            for number, source in enumerate(_nodes(node.args))
        ]

    # ------------------------------------------------------------------------------------------------- single rules

    def _reshape(self, name: str, node: fx.Node, inputs: Sequence[str]) -> None:
        shape = self.constant(f"{name}_shape", [-1, *sample_shape(node)], np.int64)
        self.node("Reshape", [inputs[0], shape], name)

    def _of_two(self, name: str, node: fx.Node, inputs: Sequence[str]) -> None:
        if len(inputs) != 2 or arguments(node).get("alpha", 1) != 1 or arguments(node).get("rounding_mode") is not None:
            raise _unwritten(node)
        kind = {aten.add: "Add", aten.sub: "Sub", aten.mul: "Mul", aten.div: "Div"}[packet(node)]
        self.node(kind, inputs, name)

    def _clip(self, name: str, node: fx.Node, inputs: Sequence[str]) -> None:
        given, op = arguments(node), packet(node)
        low, high = (0.0, 6.0) if op is aten.relu6 else (given.get("min_val", given.get("min")), None)
        high = high if op is aten.relu6 else given.get("max_val", given.get("max"))
        bounds = ["" if bound is None else self.scalar(f"{name}_{side}", float(bound))
                  for side, bound in (("low", low), ("high", high))]  # fmt: skip
        self.node("Clip", [inputs[0], *bounds], name)

    def _leaky(self, name: str, node: fx.Node, inputs: Sequence[str]) -> None:
        self.node("LeakyRelu", inputs, name, alpha=float(arguments(node)["negative_slope"]))

    def _silu(self, name: str, node: fx.Node, inputs: Sequence[str]) -> None:
        self.node("Sigmoid", inputs, f"{name}_gate")
        self.node("Mul", [inputs[0], f"{name}_gate"], name)

    def _softmax(self, name: str, node: fx.Node, inputs: Sequence[str]) -> None:
        kind = "Softmax" if packet(node) is aten.softmax else "LogSoftmax"
        self.node(kind, inputs, name, axis=int(arguments(node)["dim"]))

    def _maximum(self, name: str, node: fx.Node, inputs: Sequence[str]) -> None:
        given = arguments(node)
        kernel, padding = sizes(given["kernel_size"], 2), sizes(given["padding"], 2)
        self.node(
            "MaxPool", inputs, name, kernel_shape=list(kernel), strides=list(sizes(given["stride"] or kernel, 2)),
            pads=[*padding, *padding], dilations=list(sizes(given["dilation"], 2)), ceil_mode=int(given["ceil_mode"]),
        )  # fmt: skip

    def _average(self, name: str, node: fx.Node, inputs: Sequence[str]) -> None:
        given = arguments(node)
        if given["divisor_override"] is not None or given["ceil_mode"]:
            raise UnsupportedOp(
                f"ONNX divides the sums of 'avg_pool2d' by other numbers than it says, at {source_line(node)}; leave "
                "out divisor_override and ceil_mode."
            )
        kernel, padding = sizes(given["kernel_size"], 2), sizes(given["padding"], 2)
        self.node(
            "AveragePool", inputs, name, kernel_shape=list(kernel), strides=list(sizes(given["stride"] or kernel, 2)),
            pads=[*padding, *padding], count_include_pad=int(given["count_include_pad"]),
        )  # fmt: skip

    def _reduction(self, name: str, node: fx.Node, inputs: Sequence[str]) -> None:
        given = arguments(node)
        axes = given["dim"] if isinstance(given["dim"], Sequence) else [given["dim"]]
        keep = int(bool(given["keepdim"]))
        if packet(node) is aten.sum:  # Axes are an input since opset 13, of sums alone.
            self.node("ReduceSum", [inputs[0], self.constant(f"{name}_axes", axes, np.int64)], name, keepdims=keep)
        else:
            kind = {aten.mean: "ReduceMean", aten.amax: "ReduceMax", aten.amin: "ReduceMin"}[packet(node)]
            self.node(kind, inputs, name, axes=[int(axis) for axis in axes], keepdims=keep)

    def _concatenate(self, name: str, node: fx.Node, inputs: Sequence[str]) -> None:
        self.node("Concat", inputs, name, axis=int(arguments(node)["dim"]))

    def _permute(self, name: str, node: fx.Node, inputs: Sequence[str]) -> None:
        given, rank = arguments(node), node.meta["val"].dim()
        order = list(range(rank))
        if packet(node) is aten.permute:
            order = [axis % rank for axis in given["dims"]]
        else:
            first, second = (int(given[key]) % rank for key in ("dim0", "dim1"))
            order[first], order[second] = second, first
        self.node("Transpose", inputs, name, perm=order)

    def _nearest(self, name: str, node: fx.Node, inputs: Sequence[str]) -> None:
        source = node.args[0]
        assert isinstance(source, fx.Node)
        before, behind = sample_shape(source)[1:], sample_shape(node)[1:]
        if any(large % small for large, small in zip(behind, before, strict=True)):
            raise UnsupportedOp(
                f"ONNX and torch enlarge differently by a factor that is no whole number, at {source_line(node)}."
            )
        factors = [1.0, 1.0, *(large / small for large, small in zip(behind, before, strict=True))]
        scales = self.constant(f"{name}_scales", torch.tensor(factors))
        self.node("Resize", [inputs[0], "", scales], name, mode="nearest", nearest_mode="floor",
                  coordinate_transformation_mode="asymmetric")  # fmt: skip

    def _transposed(self, name: str, node: fx.Node, inputs: Sequence[str]) -> None:
        given = arguments(node)
        dims = node.meta["val"].dim() - 2
        padding = sizes(given["padding"], dims)
        self.node(
            "ConvTranspose", inputs, name, strides=list(sizes(given["stride"], dims)), pads=[*padding, *padding],
            output_padding=list(sizes(given["output_padding"], dims)), group=int(given["groups"]),
            dilations=list(sizes(given["dilation"], dims)),
        )  # fmt: skip


def _unwritten(node: fx.Node) -> UnsupportedOp:
    return UnsupportedOp(
        f"There is no rule that writes '{op_name(node)}' to ONNX, at {source_line(node)}. Train the network without it."
    )


def _nodes(arguments_: Any) -> list[fx.Node]:
    """The nodes among arguments, in their order, as often as they are there."""
    found: list[fx.Node] = []
    fx.node.map_arg(arguments_, found.append)
    return found


def _same(kind: str) -> Callable[[Operators, str, fx.Node, Sequence[str]], None]:
    return lambda operators, name, node, inputs: operators.node(kind, inputs, name)


_OPERATIONS: Mapping[Any, Callable[[Operators, str, fx.Node, Sequence[str]], None]] = {
    aten.relu: _same("Relu"), aten.relu6: Operators._clip, aten.hardtanh: Operators._clip,
    aten.clamp: Operators._clip, aten.clamp_min: Operators._clip, aten.leaky_relu: Operators._leaky,
    aten.sigmoid: _same("Sigmoid"), aten.tanh: _same("Tanh"), aten.silu: Operators._silu,
    aten.hardswish: _same("HardSwish"), aten.exp: _same("Exp"), aten.sqrt: _same("Sqrt"), aten.abs: _same("Abs"),
    aten.softmax: Operators._softmax, aten.log_softmax: Operators._softmax, aten.max_pool2d: Operators._maximum,
    aten.avg_pool2d: Operators._average, aten.mean: Operators._reduction, aten.sum: Operators._reduction,
    aten.amax: Operators._reduction, aten.amin: Operators._reduction, aten.cat: Operators._concatenate,
    aten.permute: Operators._permute, aten.transpose: Operators._permute, aten.upsample_nearest2d: Operators._nearest,
    aten.conv_transpose1d: Operators._transposed, aten.conv_transpose2d: Operators._transposed,
    aten.add: Operators._of_two, aten.sub: Operators._of_two, aten.mul: Operators._of_two,
    aten.div: Operators._of_two, aten.matmul: _same("MatMul"),
    aten.bmm: _same("MatMul"), aten.mm: _same("MatMul"),
}  # fmt: skip
