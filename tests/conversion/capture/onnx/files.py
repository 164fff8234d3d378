"""Small ONNX files, written as exporters of several libraries write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
Shape = Sequence[int | str]


def numbers(*shape: int, seed: int = 0) -> Array:
    """Random numbers of a shape."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def whole(*values: int) -> Array:
    return np.array(values, dtype=np.int64)


def node(op: str, inputs: str | Sequence[str], outputs: Sequence[str] = ("y",), **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, [inputs] if isinstance(inputs, str) else list(inputs), list(outputs), **attributes)


def model(
    nodes: Sequence[onnx.NodeProto], shape: Shape, constants: Mapping[str, Array] | None = None, opset: int = 17,
    dtype: int = TensorProto.FLOAT, outputs: Sequence[str] = ("y",), **sizes: Any,
) -> onnx.ModelProto:  # fmt: skip
    """A model of one input x, whose constants are initialisers."""
    graph = helper.make_graph(
        list(nodes), "net", [helper.make_tensor_value_info("x", dtype, list(shape))],
        [helper.make_tensor_value_info(name, sizes.get(name, TensorProto.FLOAT), None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def written(folder: Path, made: onnx.ModelProto, name: str = "net.onnx") -> Path:
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return path


def small_convnet(batch: int | str = "n", side: int | str = 8) -> onnx.ModelProto:
    """Convolution, batch norm, ReLU, pooling, linear layer; as PyTorch exports them."""
    positive = np.abs(numbers(4, seed=4)) + 0.5
    constants = {
        "w": numbers(4, 3, 3, 3), "b": numbers(4, seed=1), "g": positive, "s": numbers(4, seed=2),
        "m": numbers(4, seed=3), "v": positive, "fc": numbers(5, 4), "fb": numbers(5, seed=5),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="/stem/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "g", "s", "m", "v"], ["n"], name="/stem/Norm"),
        helper.make_node("Relu", ["n"], ["r"], name="/stem/Relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "fc", "fb"], ["y"], name="/head/Gemm", transB=1),
    ]
    return model(nodes, (batch, 3, side, side), constants)


def listed_places() -> onnx.ModelProto:
    """Weights of bytes, a cubic resize, places that are taken and filled, and a view by strides."""
    constants: Mapping[str, Array] = {
        "w": (100 * numbers(2, 3, 1, 1)).clip(-128, 127).astype(np.int8), "scale": np.array([0.1, 0.2], np.float32),
        "factors": np.array([1, 1, 2, 1.5], np.float32), "places": whole(1, 0).reshape(2, 1),
        "filled": whole(1).reshape(1, 1), "with": numbers(1, 1, 4, 3), "flat": whole(-1), "zero": np.array(0),
        "one": np.array(1), "size": np.array(24), "axes": whole(1), "sample": np.arange(24)[None],
    }  # fmt: skip
    nodes = [
        node("DequantizeLinear", ["w", "scale"], ["weights"], axis=0), node("Conv", ["x", "weights"], ["c"]),
        node("Resize", ["c", "", "factors"], ["large"], mode="cubic"),
        node("Transpose", ["large"], ["first"], perm=[1, 0, 2, 3]), node("GatherND", ["first", "places"], ["taken"]),
        node("ScatterND", ["taken", "filled", "with"], ["put"]), node("Transpose", ["put"], ["r"], perm=[1, 0, 2, 3]),
        node("Shape", ["x"], ["s"], start=0, end=1), node("Squeeze", ["s"], ["n"]),
        node("Range", ["zero", "n", "one"], ["each"]), node("Mul", ["each", "size"], ["begin"]),
        node("Unsqueeze", ["begin", "axes"], ["column"]), node("Add", ["column", "sample"], ["at"]),
        node("Reshape", ["r", "flat"], ["all"]), node("Gather", ["all", "at"], ["g"], axis=0), node("Relu", ["g"]),
    ]  # fmt: skip
    return model(nodes, ("n", 3, 2, 2), constants, opset=17)
