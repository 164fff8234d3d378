"""Every rule against onnxruntime: one node at a time, with attributes and versions that change what it computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra 'onnx': pip install -e '.[onnx]'")
ort = pytest.importorskip("onnxruntime", reason="the rules are compared with onnxruntime")

from conversion.capture.onnx.network import read_onnx  # noqa: E402
from conversion.capture.onnx.quantised import WHOLE_ARITHMETIC  # noqa: E402
from conversion.capture.onnx.rules import RULES  # noqa: E402
from tests.conversion.capture.onnx.files import Array, model, node, numbers, whole, written  # noqa: E402


class Case(NamedTuple):
    """A node that reads x, with its constants in the order of its inputs; "" leaves one out."""

    op: str
    shape: tuple[int, ...] = (2, 4, 6, 5)
    constants: tuple[Any, ...] = ()
    opset: int = 17
    outputs: int = 1
    attributes: Mapping[str, Any] = {}


IMAGE = (2, 4, 6, 5)
REAL: Any = np.float32
PAIR = {"kernel_shape": [3, 2], "strides": [2, 1]}
EACH = numbers(4, seed=1)
CASES = [
    *(
        Case(op)
        for op in (
            "Abs",
            "Cos",
            "Erf",
            "Exp",
            "Identity",
            "HardSwish",
            "Neg",
            "Relu",
            "Sigmoid",
            "Sin",
            "Softplus",
            "Softsign",
            "Tanh",
            "Elu",
            "Selu",
            "Celu",
            "LeakyRelu",
            "HardSigmoid",
            "ThresholdedRelu",
            "Dropout",
            "GlobalAveragePool",
            "GlobalMaxPool",
        )
    ),
    Case("Mish", opset=18),
    Case("Swish", opset=24),
    Case("Swish", opset=24, attributes={"alpha": 0.5}),
    Case("Gelu", opset=20),
    Case("Gelu", opset=20, attributes={"approximate": "tanh"}),
    Case("Elu", attributes={"alpha": 0.3}),
    Case("LeakyRelu", attributes={"alpha": 0.3}),
    Case("Celu", attributes={"alpha": 0.7}),
    Case("Selu", attributes={"alpha": 0.5, "gamma": 2.0}),
    Case("HardSigmoid", attributes={"alpha": 1 / 6, "beta": 0.5}),
    Case("ThresholdedRelu", attributes={"alpha": 0.2}),
    Case("PRelu", constants=(np.abs(numbers(4, 1, 1)),)),
    Case("PRelu", constants=(REAL([0.3]),)),
    Case("Clip", constants=(REAL(-0.5), REAL(0.7))),
    Case("Clip", constants=("", REAL(0.7)), opset=11),
    Case("Clip", constants=(REAL(0.0),)),
    *(Case(op, constants=(numbers(4, 1, 5, seed=1),)) for op in ("Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean")),
    Case("Div", constants=(np.abs(numbers(4, 1, 1)) + 1,)),
    Case("Pow", constants=(REAL(3.0),)),
    Case("Softmax", attributes={"axis": 1}),
    Case("Softmax", attributes={"axis": 1}, opset=12),
    Case("Softmax", shape=(2, 3, 1, 1), opset=11),
    Case("LogSoftmax", attributes={"axis": -1}),
    *(
        Case(op, attributes={"axes": [2, 3], "keepdims": keep})
        for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare")
        for keep in (0, 1)
    ),
    Case("ReduceMean", constants=(whole(-1, 1),), opset=18),
    Case("ReduceSum", constants=(whole(1),)),
    Case("ReduceSum", attributes={"axes": [3]}, opset=11),
    Case("ReduceMax", constants=(whole(2),), opset=20),
    # Layers.
    Case("Conv", constants=(numbers(8, 4, 3, 3), numbers(8))),
    Case("Conv", constants=(numbers(8, 2, 3, 2),), attributes={"group": 2, "strides": [2, 1], "pads": [1, 0, 2, 1]}),
    Case("Conv", constants=(numbers(8, 4, 3, 3),), attributes={"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("Conv", constants=(numbers(8, 4, 2, 3),), attributes={"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    Case("Conv", constants=(numbers(8, 4, 2, 2),), attributes={"auto_pad": "VALID", "dilations": [2, 2]}),
    Case("Conv", (2, 4, 9), (numbers(3, 4, 3),), attributes={"pads": [1, 1]}),
    Case("Conv", (2, 2, 4, 5, 3), (numbers(3, 2, 2, 2, 2),)),
    Case("ConvTranspose", constants=(numbers(4, 3, 3, 3), numbers(3)), attributes={"strides": [2, 2]}),
    Case(
        "ConvTranspose",
        constants=(numbers(4, 2, 3, 3),),
        attributes={"group": 2, "strides": [2, 3], "pads": [1, 0, 0, 1], "output_padding": [1, 0]},
    ),
    Case("ConvTranspose", constants=(numbers(4, 3, 3, 3),), attributes={"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("ConvTranspose", constants=(numbers(4, 3, 3, 3),), attributes={"output_shape": [12, 11], "strides": [2, 2]}),
    Case("Gemm", (3, 4), (numbers(4, 5), numbers(5)), attributes={"alpha": 0.5, "beta": 2.0}),
    Case("Gemm", (3, 4), (numbers(5, 4),), attributes={"transB": 1}),
    Case("Gemm", (3, 4), (numbers(4, 5), numbers(3, 5))),
    Case("MatMul", (2, 3, 4), (numbers(4, 5),)),
    Case("MatMul", (2, 3, 4), (numbers(2, 4, 5),)),
    Case("Einsum", (2, 3, 4), (numbers(4, 5),), attributes={"equation": "bij,jk->bik"}),
    Case("BatchNormalization", constants=(EACH, EACH, EACH, np.abs(EACH) + 1), attributes={"epsilon": 1e-3}),
    Case("InstanceNormalization", constants=(EACH, EACH)),
    Case("LayerNormalization", constants=(numbers(5), numbers(5))),
    Case("LayerNormalization", constants=(numbers(6, 5),), attributes={"axis": 2, "epsilon": 1e-2}),
    Case("GroupNormalization", constants=(EACH, EACH), opset=21, attributes={"num_groups": 2}),
    Case("RMSNormalization", constants=(np.abs(numbers(5)),), opset=23),
    Case("LpNormalization", attributes={"axis": 1}),
    Case("LpNormalization", attributes={"axis": -1, "p": 1}),
    Case("LRN", attributes={"size": 3, "alpha": 0.1, "bias": 1.5}),
    Case("MaxPool", attributes=PAIR),
    Case("MaxPool", attributes=PAIR | {"pads": [1, 0, 0, 1]}),
    Case("MaxPool", attributes=PAIR | {"pads": [1, 1, 1, 1], "ceil_mode": 1, "strides": [2, 2]}),
    Case("MaxPool", attributes=PAIR | {"auto_pad": "SAME_UPPER"}),
    Case("MaxPool", (2, 3, 9), attributes={"kernel_shape": [2]}),
    Case("MaxPool", attributes={"kernel_shape": [2, 2], "dilations": [2, 2]}),
    Case("AveragePool", attributes=PAIR),
    Case("AveragePool", attributes=PAIR | {"pads": [1, 1, 1, 1]}),
    Case("AveragePool", attributes=PAIR | {"pads": [1, 0, 0, 1]}),
    Case("AveragePool", attributes=PAIR | {"pads": [1, 0, 0, 1], "count_include_pad": 1}),
    Case("AveragePool", attributes=PAIR | {"auto_pad": "SAME_LOWER"}),
    Case("Attention", (2, 3, 4, 6), (numbers(2, 3, 5, 6), numbers(2, 3, 5, 6, seed=1)), 23),
    Case("Attention", (2, 4, 5, 6), (numbers(2, 2, 5, 6), numbers(2, 2, 5, 6)), 23, 1, {"is_causal": 1, "scale": 0.3}),
    Case("Attention", (2, 3, 4, 6), (numbers(2, 3, 5, 6), numbers(2, 3, 5, 6), numbers(4, 5)), 23),
    Case("Attention", (2, 5, 12), (numbers(2, 5, 6), numbers(2, 5, 6)), 23, 1, {"q_num_heads": 4, "kv_num_heads": 2}),
    # Shapes.
    Case("Reshape", constants=(whole(0, 2, -1),)),
    Case("Reshape", constants=(whole(-1, 20),)),
    Case("Flatten"),
    Case("Flatten", attributes={"axis": 2}),
    Case("Flatten", attributes={"axis": -1}),
    Case("Transpose", attributes={"perm": [0, 2, 3, 1]}),
    Case("Transpose", (2, 3)),
    Case("Squeeze", (2, 1, 3, 1), (whole(1),)),
    Case("Squeeze", (2, 1, 3, 1), attributes={"axes": [-1, 1]}, opset=11),
    Case("Squeeze", (2, 1, 3, 1)),
    Case("Unsqueeze", constants=(whole(-1, 1),)),
    Case("Unsqueeze", attributes={"axes": [0, 3]}, opset=11),
    Case("Expand", (2, 1, 3), (whole(4, 1),)),
    Case("Expand", (2, 3), (whole(5, 1, 1),)),
    Case("Tile", (2, 3), (whole(1, 2),)),
    Case("Concat", constants=(numbers(2, 3, 6, 5),), attributes={"axis": 1}),
    Case("Split", constants=(whole(1, 3),), outputs=2, attributes={"axis": 1}),
    Case("Split", outputs=2, attributes={"axis": 1, "split": [3, 1]}, opset=11),
    Case("Split", outputs=2, attributes={"axis": 1}),
    Case("Split", outputs=2, opset=18, attributes={"axis": 3, "num_outputs": 2}),
    Case("Slice", constants=(whole(1, 0), whole(9, -1), whole(2, 3))),
    Case("Slice", constants=(whole(-1, 4), whole(-99, 1), whole(2, 3), whole(-1, -2))),
    Case("Slice", constants=(whole(0, 1, 0, 0), whole(2, 4, 2**62, 5))),
    Case("Gather", constants=(np.int64(-1),), attributes={"axis": 1}),
    Case("Gather", constants=(whole(2, 0),), attributes={"axis": 1}),
    Case("Gather", constants=(whole(2, 0, 1, -1).reshape(2, 2),), attributes={"axis": 2}),
    Case("GatherND", constants=(whole(1, 3, 0, 0).reshape(2, 2),)),
    Case("GatherElements", constants=(whole(*[3, -1, 0] * 20).reshape(2, 3, 2, 5),), attributes={"axis": 1}),
    Case("ScatterND", constants=(whole(1, 3, 0, 0).reshape(2, 2), numbers(2, 6, 5))),
    Case(
        "ScatterElements",
        constants=(whole(*[3, -3] * 10).reshape(2, 2, 1, 5), numbers(2, 2, 1, 5)),
        attributes={"axis": 1},
        opset=18,
    ),
    Case("Pad", constants=(whole(0, 0, 1, 2, 0, 1, 0, 3), REAL(0.5))),
    Case("Pad", constants=(whole(0, 0, 1, 2, 0, 0, 2, 1),), attributes={"mode": "reflect"}),
    Case("Pad", constants=(whole(0, 0, 1, 0, 0, 0, 0, 0),), attributes={"mode": "edge"}),
    Case("Pad", constants=(whole(0, 0, -1, 0, 0, 0, 0, -2),)),
    Case("Pad", constants=(whole(1, 2), "", whole(-1)), opset=18),
    Case("DepthToSpace", attributes={"blocksize": 2}),
    Case("DepthToSpace", attributes={"blocksize": 2, "mode": "CRD"}),
    Case("SpaceToDepth", (2, 3, 6, 4), attributes={"blocksize": 2}),
    *(
        Case(
            "Resize",
            constants=("", REAL([1, 1, 2, 3])),
            attributes={"mode": "nearest", "coordinate_transformation_mode": mode, "nearest_mode": near},
        )
        for mode, near in (
            ("asymmetric", "floor"),
            ("half_pixel", "round_prefer_floor"),
            ("align_corners", "ceil"),
            ("half_pixel", "round_prefer_ceil"),
        )
    ),
    Case(
        "Resize",
        constants=("", REAL([1, 1, 0.5, 1.7])),
        attributes={"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ),
    *(
        Case(
            "Resize",
            constants=("", "", whole(2, 4, 9, 8)),
            attributes={"mode": "linear", "coordinate_transformation_mode": mode},
        )
        for mode in ("half_pixel", "pytorch_half_pixel", "align_corners")
    ),
    Case("Resize", constants=("", REAL([1, 1, 1.5, 1.3])), opset=13, attributes={"mode": "linear"}),
    *(
        Case(
            "Resize",
            constants=("", REAL(scales)),
            opset=19,
            attributes={"mode": kind, "coordinate_transformation_mode": mode},
        )
        for kind, modes in {
            "linear": ("asymmetric", "half_pixel_symmetric"),
            "cubic": ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"),
        }.items()
        for mode in modes
        for scales in ([1, 1, 2, 1.7], [1, 1, 0.4, 1])
    ),
    Case(
        "Resize",
        constants=("", "", whole(2, 4, 1, 9)),
        opset=19,
        attributes={"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    ),
    *(
        Case("Resize", constants=("", REAL([1, 1, 2, 1.7])), attributes={"mode": "cubic", **given})
        for given in ({"cubic_coeff_a": -0.5}, {"exclude_outside": 1})
    ),
    Case(
        "Resize",
        constants=("", "", whole(12, 10)),
        opset=18,
        attributes={
            "mode": "nearest",
            "axes": [2, 3],
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        },
    ),
]


def compared(path: Path, x: Array) -> None:
    """Reads a file and compares what it computes with onnxruntime."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"x": x})
    with torch.no_grad():
        found = read_onnx(path)(torch.from_numpy(x))
    for ours, theirs in zip(found if isinstance(found, tuple) else (found,), wanted, strict=True):
        torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=1e-4, atol=2e-6)


def named(case: Case) -> str:
    attributes = (f"{key}={value}" for key, value in case.attributes.items())
    return "-".join([case.op, str(case.opset), str(len(case.constants)), *attributes])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=map(named, CASES))
def test_a_rule_computes_what_onnxruntime_computes(case: Case, tmp_path: Path) -> None:
    names = ["" if isinstance(value, str) else f"c{at}" for at, value in enumerate(case.constants)]
    constants = {name: np.asarray(value) for name, value in zip(names, case.constants, strict=True) if name}
    outputs = [f"y{at}" for at in range(case.outputs)]
    made = model(
        [node(case.op, ["x", *names], outputs, **case.attributes)], case.shape, constants, case.opset, outputs=outputs
    )
    compared(written(tmp_path, made), numbers(*case.shape, seed=7))


def test_functions_of_positive_numbers(tmp_path: Path) -> None:
    for op in ("Log", "Sqrt", "Reciprocal"):
        compared(written(tmp_path, model([node(op, "x")], (2, 3))), np.abs(numbers(2, 3)) + 0.1)


def test_masks_and_casts(tmp_path: Path) -> None:
    """A mask keeps a signal or a constant, -inf among them, or one of two signals; casts are of real numbers."""
    mask = np.array([[True, False, True]])
    constants: dict[str, Array] = {
        "mask": mask,
        "low": REAL(-np.inf),
        "half": REAL([0.5, 0.5, 0.5]),
        "like": np.zeros(1),
    }
    compared(written(tmp_path, model([node("Where", ["mask", "x", "low"])], (2, 3), constants)), numbers(2, 3))
    nodes = [node("Neg", "x", ["n"]), node("Where", ["mask", "n", "x"], ["w"]), node("Where", ["mask", "half", "w"])]
    compared(written(tmp_path, model(nodes, (2, 3), constants)), numbers(2, 3))
    nodes = [node("Cast", "x", ["d"], to=onnx.TensorProto.DOUBLE), node("CastLike", ["d", "like"], ["e"]),
             node("Cast", "e", to=onnx.TensorProto.FLOAT)]  # fmt: skip
    compared(written(tmp_path, model(nodes, (2, 3), constants)), numbers(2, 3))


def test_every_rule_is_tried() -> None:
    """By the cases of this file; what gives whole numbers or truth values is refused as a signal, whatever it gives."""
    tried = {case.op for case in CASES} | {"Log", "Sqrt", "Reciprocal", "Cast", "CastLike", "Where"}
    truths = {"Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or"}
    rounding = {"Floor", "Ceil", "Round", "Sign", "Mod"}
    # What is made of several nodes, and what only shapes are computed with.
    assert RULES.keys() - tried - {"DequantizeLinear", "QuantizeLinear", *WHOLE_ARITHMETIC} == (
        truths | rounding | {"Silu", "AsStrided", "ConstantOfShape"}
    )
