"""Networks in ONNX files: what is captured of them, how shapes and batches are followed, what is refused and how."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra 'onnx': pip install -e '.[onnx]'")
ort = pytest.importorskip("onnxruntime", reason="the networks are compared with onnxruntime")

from conversion import ConversionGraph, InvalidInput, UnsupportedOp, capture, convert, simulate  # noqa: E402
from conversion.capture.graph import source_line  # noqa: E402
from conversion.capture.onnx.network import read_onnx  # noqa: E402
from conversion.capture.onnx.rules import RULES, rule  # noqa: E402
from conversion.capture.roles import Activation, packet  # noqa: E402
from tests.conversion.capture.onnx.files import (  # noqa: E402
    Array,
    model,
    node,
    numbers,
    small_convnet,
    whole,
    written,
)


def same_as_onnxruntime(path: Path, shape: Sequence[int], batch: int = 3) -> ConversionGraph:
    """The graph of a file, after checking that it computes what onnxruntime computes."""
    x = numbers(batch, *shape, seed=9)
    graph = capture(path, torch.from_numpy(x[:1]))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    fixed = isinstance(session.get_inputs()[0].shape[0], int)
    parts = [x[at : at + 1] for at in range(batch)] if fixed else [x]
    wanted = np.concatenate([session.run(None, {"x": part})[0] for part in parts])
    torch.testing.assert_close(graph.run(torch.from_numpy(x)), torch.from_numpy(wanted), rtol=1e-4, atol=1e-5)
    return graph


def operations(graph: ConversionGraph) -> list[str]:
    """What is computed; a reshape may need its input copied to another order first."""
    names = [packet(each).__name__ for each in graph.body if each not in graph.output_encoders]
    return ["reshape" if name == "view" else name for name in names if name != "clone"]


def test_a_network_of_an_exporter(tmp_path: Path) -> None:
    """Its batch norm is folded, layers have the names of its nodes, and its spikes approach onnxruntime's output."""
    path = written(tmp_path, small_convnet())
    graph = same_as_onnxruntime(path, (3, 8, 8))
    assert operations(graph) == ["conv2d", "relu", "mean", "flatten", "linear"]
    assert source_line(graph.firing[0]) == "the ONNX node 'stem_Relu'"
    x = torch.from_numpy(numbers(6, 3, 8, 8))
    readout = simulate(convert(graph, x, "burst", T=64, phi=8, signed=True), x)
    wanted = ort.InferenceSession(str(path)).run(None, {"x": x.numpy()})[0]
    assert np.linalg.norm(readout.mean(64).numpy() - wanted) < 0.01 * np.linalg.norm(wanted)


def test_an_example_is_needed_only_for_sizes_that_the_file_leaves_open(tmp_path: Path) -> None:
    assert capture(str(written(tmp_path, small_convnet()))).example.shape == (1, 3, 8, 8)
    path = written(tmp_path, small_convnet(side="side"))
    assert capture(path, torch.ones(2, 3, 5, 6)).example.shape == (1, 3, 5, 6)
    with pytest.raises(
        InvalidInput, match=r"leaves sizes of its input 'x' open, \(n, 3, side, side\).*pass an example"
    ):
        capture(path)
    with pytest.raises(
        InvalidInput, match=r"shape \(1, 4, 8, 8\), and the input 'x' of the ONNX file .* has \(n, 3, 8, 8\)"
    ):
        capture(written(tmp_path, small_convnet()), torch.ones(1, 4, 8, 8))


def shapes_followed() -> list[Any]:
    """A shuffle of channels as PyTorch exports it, whose shapes are computed from that of x."""
    return [
        node("Shape", "x", ["s"]), node("Gather", ["s", "i0"], ["n"]), node("Gather", ["s", "i1"], ["c"]),
        node("Div", ["c", "two"], ["half"]), node("Unsqueeze", ["n", "axis"], ["un"]),
        node("Unsqueeze", ["half", "axis"], ["uh"]), node("Concat", ["un", "pair", "uh", "rest"], ["target"], axis=0),
        node("Cast", "target", ["cast"], to=onnx.TensorProto.INT64), node("Reshape", ["x", "cast"], ["r"]),
        node("Transpose", "r", ["t"], perm=[0, 2, 1, 3]), node("Slice", ["s", "zero", "one"], ["first"]),
        node("Concat", ["first", "last"], ["back"], axis=0), node("Reshape", ["t", "back"], ["v"]),
        node("Relu", "v"),
    ]  # fmt: skip


SIZES: Mapping[str, Array] = {
    "i0": np.array(0), "i1": np.array(1), "two": np.array(2), "axis": whole(0), "pair": whole(2), "rest": whole(-1),
    "zero": whole(0), "one": whole(1), "last": whole(4, 5),
}  # fmt: skip


def test_arithmetic_of_shapes_is_done_before_anything_is_computed(tmp_path: Path) -> None:
    path = written(tmp_path, model(shapes_followed(), ("n", 4, 5), SIZES))
    graph = same_as_onnxruntime(path, (4, 5))
    assert operations(graph) == ["reshape", "permute", "reshape", "relu"]


def test_grids_of_places_become_constants(tmp_path: Path) -> None:
    """As detectors make their anchors: Range over a side, ConstantOfShape and Expand over the batch."""
    constants: Mapping[str, Array] = {
        "side": whole(2), "end": whole(3), "zero": np.array(0, np.int64), "one": np.array(1, np.int64),
        "half": np.array(0.5, np.float32),
        "first": whole(0), "next": whole(1), "tail": whole(1, 1), "none": whole(0),
    }  # fmt: skip
    nodes = [
        node("Shape", "x", ["s"]), node("Slice", ["s", "side", "end"], ["w1"]), node("Squeeze", ["w1", "none"], ["w"]),
        node("Range", ["zero", "w", "one"], ["r"]), node("Cast", "r", ["f"], to=onnx.TensorProto.FLOAT),
        node("Add", ["f", "half"], ["grid"]), node("Add", ["x", "grid"], ["moved"]),
        node("Slice", ["s", "first", "next"], ["n"]), node("Concat", ["n", "tail"], ["shape"], axis=0),
        node("ConstantOfShape", "shape", ["ones"], value=onnx.helper.make_tensor("v", 1, [1], [1.0])),
        node("Expand", ["ones", "s"], ["full"]), node("Concat", ["moved", "full"], axis=1),
    ]  # fmt: skip
    graph = same_as_onnxruntime(written(tmp_path, model(nodes, ("n", 2, 4), constants)), (2, 4))
    assert operations(graph) == ["add", "cat"]


def test_files_for_single_samples_take_batches(tmp_path: Path) -> None:
    """Where an exporter wrote the batch of one into shapes, the batch of the input stands for it."""
    constants: Mapping[str, Array] = {"target": whole(1, 2, 8), "flat": whole(1, -1), "token": numbers(1, 1, 8)}
    nodes = [node("Reshape", ["x", "target"], ["r"]), node("Concat", ["token", "r"], ["c"], axis=1),
             node("Reshape", ["c", "flat"], ["f"]), node("Relu", "f")]  # fmt: skip
    same_as_onnxruntime(written(tmp_path, model(nodes, (1, 4, 4), constants)), (4, 4))


@pytest.mark.parametrize("batch", [1, "n"])
def test_heads_and_samples_on_one_axis(batch: int | str, tmp_path: Path) -> None:
    """As PyTorch folds heads into the batch; in a file for single samples the shapes are those of one."""
    back = whole(1, 3, 8, 4) if batch == 1 else whole(-1, 3, 8, 4)
    nodes = [node("Reshape", ["x", "flat"], ["r"]), node("Transpose", "r", ["t"], perm=[0, 2, 1]),
             node("Reshape", ["t", "back"], ["b"]), node("Relu", "b")]  # fmt: skip
    flat = whole(3, 4, 8) if batch == 1 else whole(-1, 4, 8)
    same_as_onnxruntime(written(tmp_path, model(nodes, (batch, 3, 4, 8), {"flat": flat, "back": back})), (3, 4, 8))


def test_samples_are_not_taken_apart_in_the_order_of_one(tmp_path: Path) -> None:
    """Behind a transposition the samples lie inside of the first axis, and a reshape would mix them."""
    nodes = [node("Transpose", "x", ["t"], perm=[1, 0, 2]), node("Reshape", ["t", "flat"], ["r"]),
             node("Reshape", ["r", "back"], ["b"]), node("Relu", "b")]  # fmt: skip
    constants: Mapping[str, Array] = {"flat": whole(-1, 8), "back": whole(1, 4, 8)}
    assert "mixes the samples" in refused(nodes, (1, 4, 8), tmp_path, constants=constants)


@pytest.mark.parametrize("batch", [1, "n"])
@pytest.mark.parametrize("taken", [[0, 1, 2, 3, 4, 5, 6, 7], [5, 2, 0]])
def test_a_view_by_strides_is_one_of_each_sample(batch: int | str, taken: list[int], tmp_path: Path) -> None:
    """As PyTorch's exporter writes a mean over the places of a ConvNeXt: places in the flattened batch."""
    constants: Mapping[str, Array] = {
        "zero": np.array(0), "one": np.array(1), "size": np.array(8), "flat": whole(-1), "axes": whole(1, 2, 3),
        "taken": whole(*taken).reshape(1, -1, 1, 1),
    }  # fmt: skip
    places = [node("Shape", "x", ["s"], start=0, end=1), node("Squeeze", "s", ["n"]),
              node("Range", ["zero", "n", "one"], ["r"]), node("Mul", ["r", "size"], ["m"]),
              node("Unsqueeze", ["m", "axes"], ["u"]), node("Add", ["u", "taken"], ["at"])]  # fmt: skip
    view = [node("Reshape", ["x", "flat"], ["f"]), node("Gather", ["f", "at"], ["g"], axis=0), node("Relu", "g")]
    if batch == 1:
        places, constants = [], {"flat": whole(-1), "at": constants["taken"]}
    path = written(tmp_path, model([*places, *view], (batch, 2, 2, 2), constants))
    graph = same_as_onnxruntime(path, (2, 2, 2))
    whole_sample = len(taken) == 8
    found = [name.replace("flatten", "reshape") for name in operations(graph)]
    assert found == ["reshape", *([] if whole_sample else ["index_select"]), "reshape", "relu"]


def test_masks_of_minus_infinity(tmp_path: Path) -> None:
    """As attention has them: added, or put in where a mask says so."""
    constants: Mapping[str, Array] = {
        "mask": np.array([0, -np.inf, 0, 0], np.float32), "low": np.array(-np.inf, np.float32),
        "kept": np.array([True, True, False, True]),
    }  # fmt: skip
    nodes = [node("Add", ["x", "mask"], ["a"]), node("Where", ["kept", "a", "low"], ["w"]), node("Softmax", "w")]
    graph = same_as_onnxruntime(written(tmp_path, model(nodes, ("n", 4), constants)), (4,))
    assert operations(graph) == ["add", "where", "softmax"]


def test_places_of_other_samples_are_no_view(tmp_path: Path) -> None:
    """Each sample but the first takes those of the one before it."""
    constants: Mapping[str, Array] = {
        "zero": np.array(0), "one": np.array(1), "size": np.array(4), "flat": whole(-1), "axes": whole(1),
        "taken": whole(0, 1, 2, 3)[None],
    }  # fmt: skip
    nodes = [node("Shape", "x", ["s"], start=0, end=1), node("Squeeze", "s", ["n"]),
             node("Range", ["zero", "n", "one"], ["r"]), node("Mul", ["r", "size"], ["m"]),
             node("Unsqueeze", ["m", "axes"], ["u"]), node("Add", ["u", "taken"], ["at"]),
             node("Reshape", ["x", "flat"], ["f"]), node("Gather", ["f", "at"], ["g"], axis=0)]  # fmt: skip
    # Samples have 8 numbers, and places are 4 apart.
    assert "takes places of samples of 4 numbers" in refused(
        [*nodes, node("Relu", "g")], ("n", 8), tmp_path, constants=constants
    )
    # Places that grow with the square of the sample are none of a view.
    squares = [
        *nodes[:3],
        node("Mul", ["r", "r"], ["q"]),
        node("Mul", ["q", "size"], ["m"]),
        *nodes[4:],
        node("Relu", "g"),
    ]
    assert "'Range number 2'" in refused(squares, ("n", 4), tmp_path, constants=constants)


def test_places_that_are_looked_for_cost_no_more_than_their_nodes(tmp_path: Path) -> None:
    """Thirty sums of a value with itself are thirty sums. What is made of several nodes is no operator of a file."""
    constants: Mapping[str, Array] = {"flat": whole(-1), "zero": whole(0)}
    doubled = [node("Add", [f"d{at}", f"d{at}"], [f"d{at + 1}"]) for at in range(30)]
    nodes = [node("Shape", "x", ["s"], start=0, end=1), node("Mul", ["s", "zero"], ["d0"]), *doubled,
             node("Reshape", ["x", "flat"], ["f"]), node("Gather", ["f", "d30"], ["y"], axis=0)]  # fmt: skip
    assert "mixes the samples" in refused(nodes, ("n", 4), tmp_path, constants=constants)
    assert "is no operator of ONNX" in refused([node("AsStrided", "x")], ("n", 4), tmp_path)


def test_a_resize_to_the_size_of_a_batch(tmp_path: Path) -> None:
    """The size of the batch is a symbol while the network is recorded, and a number when it is run."""
    nodes = [node("Shape", "x", ["s"], start=0, end=2), node("Concat", ["s", "side"], ["to"], axis=0),
             node("Resize", ["x", "", "", "to"], mode="linear")]  # fmt: skip
    graph = same_as_onnxruntime(written(tmp_path, model(nodes, ("n", 2, 3, 3), {"side": whole(6, 5)})), (2, 3, 3))
    assert operations(graph) == ["upsample_bilinear2d"]


@pytest.mark.parametrize(
    ("mode", "places", "scales", "side"),
    [
        ("nearest", "asymmetric", (1 / 3, 1 / 3), 9), ("nearest", "asymmetric", (0.8, 0.8), 8),
        ("linear", "half_pixel", (0.7, 0.7), 10), ("linear", "half_pixel", (9 / 7, 9 / 7), 7),
        ("cubic", "half_pixel", (0.9, 0.9), 10), ("linear", "half_pixel", (1.1, 2), 8),
        ("cubic", "half_pixel", (1.1, 2), 8),
    ],
)  # fmt: skip
def test_sizes_and_places_of_a_resize_are_those_of_single_precision(
    mode: str, places: str, scales: tuple[float, float], side: int, tmp_path: Path
) -> None:
    """0.7 of 10 places are 7, as in every runtime, and 6 where the scale of the file is read in double precision.

    The axis that grows by 1.1 from 8 places has 8 again, and they lie elsewhere.
    """
    resize = node(
        "Resize", ["x", "", "by"], mode=mode, coordinate_transformation_mode=places,
        **({"nearest_mode": "floor"} if mode == "nearest" else {}),
    )  # fmt: skip
    constants = {"by": np.array([1, 1, *scales], np.float32)}
    same_as_onnxruntime(written(tmp_path, model([resize], ("n", 2, side, side), constants)), (2, side, side))


@pytest.mark.parametrize("opset", [22, 23, 24, 25])
def test_new_opsets(opset: int, tmp_path: Path) -> None:
    """Those that PyTorch's exporter can be asked for, but for two that onnxruntime may not know yet."""
    made = small_convnet()
    made.opset_import[0].version = opset
    path = written(tmp_path, made)
    if opset <= 23:
        same_as_onnxruntime(path, (3, 8, 8))
    assert operations(capture(path)) == ["conv2d", "relu", "mean", "flatten", "linear"]


def test_constants_are_computed_once(tmp_path: Path) -> None:
    """Paddle's Constant nodes, weights that are quantised or transposed, and names for the same tensor."""
    made = [
        node("Constant", [], ["k"], value=onnx.numpy_helper.from_array(numbers(3, 4))),
        node("Transpose", "k", ["kt"]), node("Identity", "kt", ["weight"]), node("MatMul", ["x", "weight"], ["m"]),
        node("Constant", [], ["half"], value_float=0.5), node("Mul", ["m", "half"], ["h"]), node("Relu", "h"),
    ]  # fmt: skip
    path = written(tmp_path, model(made, ("n", 4)))
    assert operations(same_as_onnxruntime(path, (4,))) == ["matmul", "mul", "relu"]
    assert [name for name, _ in read_onnx(path).named_parameters()] == ["MatMul_number_3.b", "Mul_number_5.b"]


@pytest.mark.parametrize(
    "kind", ["silu", "hard swish of Paddle", "hard swish of PyTorch", "gelu", "gelu of old exporters", "no gelu"]
)
def test_activations_of_several_nodes_become_one(kind: str, tmp_path: Path) -> None:
    constants: Mapping[str, Array] = {
        "3": np.array(3, np.float32),
        "6": np.array(6, np.float32),
        "0": np.array(0, np.float32),
        "1": np.array(1, np.float32),
        "half": np.array(0.5, np.float32),
        "root": np.array(2**0.5, np.float32),
        "inverse": np.array(0.5**0.5, np.float32),
    }
    nodes, wanted = {
        "silu": ([node("Sigmoid", "x", ["s"]), node("Mul", ["x", "s"])], "silu"),
        "hard swish of Paddle": (
            [node("Add", ["x", "3"], ["a"]), node("Clip", ["a", "0", "6"], ["c"]), node("Mul", ["x", "c"], ["m"]),
             node("Div", ["m", "6"])],
            "hardswish",
        ),
        "hard swish of PyTorch": (
            [node("HardSigmoid", "x", ["s"], alpha=1 / 6), node("Mul", ["s", "x"])], "hardswish",
        ),
        "gelu": (
            [node("Mul", ["x", "inverse"], ["d"]), node("Erf", "d", ["e"]), node("Add", ["1", "e"], ["a"]),
             node("Mul", ["half", "a"], ["h"]), node("Mul", ["x", "h"])], "gelu",
        ),
        "gelu of old exporters": (
            [node("Div", ["x", "root"], ["d"]), node("Erf", "d", ["e"]), node("Add", ["e", "1"], ["a"]),
             node("Mul", ["x", "a"], ["h"]), node("Mul", ["h", "half"])], "gelu",
        ),
        "no gelu": (
            [node("Div", ["x", "root"], ["d"]), node("Erf", "d", ["e"]), node("Add", ["e", "half"], ["a"]),
             node("Mul", ["x", "a"], ["h"]), node("Mul", ["h", "half"])], "div erf leaky_relu add mul mul",
        ),
    }[kind]  # fmt: skip
    graph = same_as_onnxruntime(written(tmp_path, model(nodes, ("n", 4), constants)), (4,))
    assert " ".join(operations(graph)) == wanted


def test_the_rules_of_activations_name_neurons(tmp_path: Path) -> None:
    """Clip from zero and Paddle's hard sigmoid saturate as neurons do."""
    nodes = [
        node("Clip", ["x", "low", "high"], ["c"]),
        node("HardSigmoid", "c", ["h"]),
        node("LeakyRelu", "h", alpha=0.2),
    ]
    path = written(tmp_path, model(nodes, ("n", 4), {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}))
    graph = same_as_onnxruntime(path, (4,))
    wanted = [Activation(ceiling=6.0), Activation(ceiling=1.0), Activation(slope=float(np.float32(0.2)))]
    assert [graph.activation(each) for each in graph.firing] == wanted


def refused(nodes: Sequence[Any], shape: Sequence[int | str], folder: Path, **options: Any) -> str:
    path = written(folder, model(nodes, shape, **options))
    with pytest.raises((UnsupportedOp, InvalidInput)) as caught:
        capture(path, torch.zeros([1, *(size if isinstance(size, int) else 4 for size in shape[1:])]))
    said = str(caught.value)
    assert str(path) in said and "\n" not in said
    return said


def test_an_operator_without_a_rule_is_named(tmp_path: Path) -> None:
    """With its node and version, and how a rule is added."""
    odd = onnx.helper.make_node("TopK", ["x", "k"], ["y", "i"], name="/head/TopK")
    said = refused([odd], ("n", 4), tmp_path, constants={"k": whole(1)}, opset=18)
    assert "The ONNX node '/head/TopK' (TopK, opset 18) has no rule. Write one, a function decorated with rule" in said
    foreign = onnx.helper.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft", name="fused")
    assert "(com.microsoft.FusedConv, opset" in refused([foreign], ("n", 4), tmp_path)
    broken = onnx.helper.make_node("TopK", ["x", "k"], ["y", "i"], name="/head\n\t/TopK")
    assert "'/head /TopK'" in refused([broken], ("n", 4), tmp_path, constants={"k": whole(1)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nodes", "constants", "said"),
    [
        (
            [node("Gather", ["x", "i"], ["g"]), node("Reshape", ["x", "g"])], {"i": np.array(0, np.int64)},
            "reads its 'target'",
        ),
        ([node("Equal", ["x", "c"], ["e"]), node("Cast", "e", to=1)], {"c": numbers(4)}, "node 'Equal_number_0' has"),
        ([node("Reshape", ["x", "t"])], {"t": whole(3, 7)}, r"cannot be computed for inputs of shape"),
        (
            [node("Resize", ["x", "", "s"], mode="cubic")], {"s": np.array([1, 2**21], np.float32)},
            "places; 1 to 65,536 are taken",
        ),
        (
            [node("Resize", ["x", "", "s"], coordinate_transformation_mode="tf_crop_and_resize")],
            {"s": np.array([1, 2], np.float32)}, "has coordinate_transformation_mode = 'tf_crop_and_resize'",
        ),
        ([node("ReduceSum", ["x", "a"])], {"a": whole(0)}, "mixes the samples of a batch"),
        ([node("Relu", "nothing")], {}, "reads 'nothing', which no node before it"),
        ([node("Relu", ["x", "x", "x"])], {}, "has 3 inputs, and its operator 1"),
        ([node("LeakyRelu", "x", alpha="steep")], {}, "has alpha = 'steep', which is of another type"),
        ([node("Dropout", ["x", "", "t"])], {"t": np.array(True, np.bool_)}, "is in training mode"),
        ([node("Floor", "x")], {}, "has no rule"),
    ],
)  # fmt: skip
def test_what_cannot_be_captured_is_a_sentence(
    nodes: list[Any], constants: dict[str, Array], said: str, tmp_path: Path
) -> None:
    assert re.search(said, refused(nodes, ("n", 4), tmp_path, constants=constants))


def test_a_rule_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, model([node("Double", "x", ["d"]), node("Relu", "d")], ("n", 4)))
    with pytest.raises(UnsupportedOp, match=r"'Double number 0' \(Double, opset 17\) has no rule"):
        capture(path)
    monkeypatch.setitem(RULES, "Double", RULES["Identity"])  # So that it is taken out again.
    rule("Double")(lambda node, x: 2 * x)
    assert operations(capture(path)) == ["mul", "relu"]


def test_nothing_is_allocated_that_a_file_only_claims(tmp_path: Path) -> None:
    """Shapes of a million millions: of a constant, of a signal, of the input."""
    constants: Mapping[str, Array] = {
        "big": whole(2**20, 2**20, 4),
        "wide": whole(0, 0, 0, 2**40),
        "thin": whole(1, 2**40),
    }
    said = refused(
        [node("ConstantOfShape", "big", ["z"]), node("Add", ["x", "z"])], ("n", 4), tmp_path, constants=constants
    )
    assert "makes a constant of shape" in said
    assert "more than" in refused([node("Pad", ["x", "wide"])], ("n", 4), tmp_path, constants=constants)
    assert "more than" in refused([node("Tile", ["x", "thin"])], ("n", 4), tmp_path, constants=constants)
    padded = [node("Pad", ["c", "one"], ["p"]), node("Add", ["x", "p"])]
    more = {"c": numbers(4), "one": whole(0, 2**40)}
    assert "more than" in refused(padded, ("n", 4), tmp_path, constants=more)
    with pytest.raises(InvalidInput, match="numbers for a sample, too many"):
        capture(written(tmp_path, model([node("Relu", "x")], ("n", 2**40))))
