"""ONNX files with quantised numbers: weights are computed from them, signals are not rounded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra 'onnx': pip install -e '.[onnx]'")
pytest.importorskip("onnxruntime", reason="the networks are compared with onnxruntime")

from conversion import UnsupportedOp, capture  # noqa: E402
from tests.conversion.capture.onnx.files import Array, model, node, numbers, whole, written  # noqa: E402
from tests.conversion.capture.onnx.test_network import operations, same_as_onnxruntime  # noqa: E402

POINTS: Mapping[str, Array] = {
    "one scale": np.array(0.02, np.float32), "one zero": np.array(3, np.int8),
    "scales": np.array([0.01, 0.02, 0.5, 0.125], np.float32), "zeros": np.array([-3, 0, 100, 7], np.int8),
}  # fmt: skip


POINTED = ["one scale", "one zero"]


@pytest.mark.parametrize("names", [POINTED, ["scales", "zeros"], ["scales"]])
def test_weights_of_bytes_are_computed_once(names: list[str], tmp_path: Path) -> None:
    """One scale for all weights, or one for each channel, with and without zero points."""
    stored = np.random.default_rng(0).integers(-128, 128, (4, 3, 3, 3)).astype(np.int8)
    nodes = [node("DequantizeLinear", ["w", *names], ["weights"], axis=0), node("Conv", ["x", "weights"], ["c"]),
             node("Relu", "c")]  # fmt: skip
    path = written(tmp_path, model(nodes, ("n", 3, 6, 6), {"w": stored, **POINTS}))
    assert operations(same_as_onnxruntime(path, (3, 6, 6))) == ["conv2d", "relu"]


def test_blocks_of_an_axis_have_scales_of_their_own(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(-128, 128, (6, 5)).astype(np.int8)
    zeros = np.arange(15, dtype=np.int8).reshape(3, 5)
    constants: Mapping[str, Array] = {"w": stored, "s": np.abs(numbers(3, 5)) + 0.01, "z": zeros}
    nodes = [node("DequantizeLinear", ["w", "s", "z"], ["weights"], axis=0, block_size=2),
             node("MatMul", ["x", "weights"])]  # fmt: skip
    same_as_onnxruntime(written(tmp_path, model(nodes, ("n", 6), constants, opset=21)), (6,))


def test_blocks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Before anything is made of them."""
    constants: Mapping[str, Array] = {"w": np.zeros((6, 5), np.int8), "s": np.ones((4, 5), np.float32)}
    nodes = [node("DequantizeLinear", ["w", "s"], ["weights"], axis=0, block_size=2), node("MatMul", ["x", "weights"])]
    path = written(tmp_path, model(nodes, ("n", 6), constants, opset=21))
    with pytest.raises(UnsupportedOp, match="has 4 blocks of 2 on an axis of 6 numbers"):
        capture(path, torch.ones(1, 6))


@pytest.mark.parametrize("names", [POINTED, ["one scale"], ["scales", "zeros"]])
def test_weights_that_are_quantised_in_the_file(names: list[str], tmp_path: Path) -> None:
    """As training for quantisation leaves them; halves go to even numbers, and bounds are those of the type."""
    weights = np.concatenate([numbers(4, 5), [[0.01, 0.03, 5, -5, 0.05]] * 4], 1).astype(np.float32)
    nodes = [
        node("QuantizeLinear", ["w", *names], ["q"], axis=0),
        node("DequantizeLinear", ["q", *names], ["d"], axis=0),
        node("Gemm", ["x", "d"], transB=1),
    ]
    same_as_onnxruntime(written(tmp_path, model(nodes, ("n", 10), {"w": weights, **POINTS})), (10,))


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (
            [node("Relu", "x", ["r"]), node("QuantizeLinear", ["r", *POINTED], ["q"]),
             node("DequantizeLinear", ["q", *POINTED])],
            "(QuantizeLinear, opset 17) rounds a value that the network computes from its input",
        ),
        ([node("DynamicQuantizeLinear", "x", ["y", "s", "z"])], "computes in whole numbers"),
        (
            [node("QLinearMatMul", ["x", *POINTED, "w", *POINTED, *POINTED])],
            "computes in whole numbers",
        ),
    ],
)  # fmt: skip
def test_quantised_activations_are_refused(nodes: list[Any], said: str, tmp_path: Path) -> None:
    path = written(tmp_path, model(nodes, ("n", 4), {"w": whole(1, 2, 3, 4).astype(np.int8)[:, None], **POINTS}))
    with pytest.raises(UnsupportedOp) as caught:
        capture(path, torch.ones(1, 4))
    assert said in str(caught.value) and "export" in str(caught.value)


def test_types_that_are_no_whole_bytes_are_refused_by_number(tmp_path: Path) -> None:
    """`output_dtype` of an opset of 21 may say a type of four bits, where there is no zero point that says it."""
    nodes = [node("QuantizeLinear", ["w", "one scale"], ["q"], output_dtype=onnx.TensorProto.INT4),
             node("DequantizeLinear", ["q", "one scale"], ["d"]), node("Add", ["x", "d"])]  # fmt: skip
    made = model(nodes, ("n", 4), {"w": numbers(1, 4), **POINTS})
    made.opset_import[0].version = 21
    with pytest.raises(UnsupportedOp, match="makes numbers of type 22"):
        capture(written(tmp_path, made), torch.ones(1, 4))
