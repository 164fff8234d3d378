"""ONNX files that say one thing in two ways, or more than they hold, are refused and never read in one of the ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra 'onnx': pip install -e '.[onnx]'")

from conversion import BenchmarkError, InvalidInput, capture  # noqa: E402
from tests.conversion.capture.onnx.files import Array, model, node, numbers, whole, written  # noqa: E402


def named(op: str, inputs: list[str], output: str, name: str) -> Any:
    made = node(op, inputs, [output])
    made.name = name
    return made


def said_of(made: Any, folder: Path) -> str:
    with pytest.raises(BenchmarkError) as caught:
        capture(written(folder, made), torch.ones(2, 4))
    return str(caught.value)


def test_layers_keep_their_own_weights_whatever_their_names(tmp_path: Path) -> None:
    """Names that differ in signs alone, and names as they are made to tell others apart."""
    names = ["a_3", "a", "a.", "a", "a_3_2", "a_3", "a"]
    constants = {f"w{place}": numbers(4, 4, seed=place) for place in range(len(names))}
    nodes = [
        named("Gemm", ["x" if not place else f"v{place - 1}", f"w{place}"], f"v{place}", name)
        for place, name in enumerate(names)
    ]
    graph = capture(written(tmp_path, model(nodes, ("n", 4), constants, outputs=[f"v{len(names) - 1}"])))
    x = torch.randn(3, 4)
    wanted = x.double()
    for value in constants.values():
        wanted = wanted @ torch.from_numpy(value).double()
    torch.testing.assert_close(graph.run(x).double(), wanted, rtol=1e-4, atol=1e-3)


def twice_computed() -> Any:
    return model([node("Relu", "x", ["v"]), node("Neg", "x", ["v"]), node("Relu", "v")], ("n", 4))


def over_a_constant() -> Any:
    nodes = [node("Mul", ["x", "c"], ["v"]), node("Neg", "x", ["c"]), node("Add", ["v", "c"])]
    return model(nodes, ("n", 4), {"c": numbers(4)})


def over_the_input() -> Any:
    return model([node("Relu", "x", ["x"]), node("Add", ["x", "x"])], ("n", 4))


def twice_stored() -> Any:
    made = model([node("Add", ["x", "c"])], ("n", 4), {"c": numbers(4)})
    made.graph.initializer.append(onnx.numpy_helper.from_array(numbers(4, seed=1), "c"))
    return made


def attribute_twice() -> Any:
    made = model([node("LeakyRelu", "x", alpha=0.5)], ("n", 4))
    made.graph.node[0].attribute.append(onnx.helper.make_attribute("alpha", 0.25))
    return made


def attribute_unknown() -> Any:
    return model([node("Relu", "x", max=6.0)], ("n", 4))


def attribute_of_another_version() -> Any:
    return model([node("Clip", "x", min=0.0, max=6.0)], ("n", 4))


def operator_of_its_own() -> Any:
    made = model([node("Relu", "x")], ("n", 4))
    made.functions.append(
        onnx.helper.make_function("", "Relu", ["a"], ["b"], [node("Neg", "a", ["b"])], made.opset_import)
    )
    return made


def too_large_for_its_type() -> Any:
    made = model([node("Add", ["x", "f"]), node("Cast", "c", ["f"], to=1)][::-1], ("n", 4))
    made.graph.initializer.append(
        onnx.TensorProto(name="c", data_type=onnx.TensorProto.UINT8, dims=[1], int32_data=[300])
    )
    return made


def place_beyond() -> Any:
    return model([node("Gather", ["x", "i"], axis=1)], ("n", 4), {"i": whole(0, 7)})


def output_that_is_not_made() -> Any:
    """A convolution would take it as a bias that is left out."""
    nodes = [node("Dropout", "x", ["d", "mask"]), node("Gemm", ["d", "w", "mask"])]
    return model(nodes, ("n", 4), {"w": numbers(4, 4)})


LIES: Mapping[Callable[[], Any], str] = {
    twice_computed: "more than one value of the name 'v'",
    over_a_constant: "more than one value of the name 'c'",
    over_the_input: "more than one value of the name 'x'",
    twice_stored: "more than one tensor of the name 'c'",
    attribute_twice: "more than one attribute at the node 'LeakyRelu number 0' of the name 'alpha'",
    attribute_unknown: "has an attribute 'max', which Relu of opset 17 has not",
    attribute_of_another_version: "has an attribute 'm",
    operator_of_its_own: "an operator 'Relu' of its own",
    too_large_for_its_type: "'c' has numbers that its type cannot hold",
    place_beyond: "takes place 7 of an axis of 4",
    output_that_is_not_made: "reads 'mask', an output that the rule",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_file_that_says_two_things_is_refused(lie: Callable[[], Any], tmp_path: Path) -> None:
    assert LIES[lie] in said_of(lie(), tmp_path)


def joined() -> list[Any]:
    steps = [node("Concat", [f"v{step}"] * 16, [f"v{step + 1}"], axis=0) for step in range(12)]
    return [*steps, node("ReduceMax", "v12", ["c"], keepdims=0)]


def broadcast() -> list[Any]:
    return [node("Add", ["row", "column"], ["v"]), node("ReduceMax", "v", ["c"], keepdims=0)]


def gathered() -> list[Any]:
    return [node("Gather", ["row", "places"], ["v"]), node("ReduceMax", "v", ["c"], keepdims=0)]


def many() -> list[Any]:
    made = [node("ConstantOfShape", "wide", [f"m{step}"]) for step in range(300)]
    return [*made, node("Concat", [f"m{step}" for step in range(300)], ["c"], axis=0)]


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [joined, broadcast, gathered, many], ids=lambda made: made.__name__)
def test_constants_do_not_grow_from_few_numbers(nodes: Callable[[], list[Any]], tmp_path: Path) -> None:
    constants: dict[str, Array] = {
        "v0": numbers(1024), "row": np.zeros((1, 2**14), np.float32), "column": np.zeros((2**14, 1), np.float32),
        "places": np.zeros(2**14, np.int64), "wide": whole(2**20),
    }  # fmt: skip
    assert "more than" in said_of(model([*nodes(), node("Add", ["x", "c"])], ("n", 4), constants), tmp_path)


@pytest.mark.parametrize("location", ["n" * 5000, "loop", "pipe"])
def test_external_data_at_odd_places(location: str, tmp_path: Path) -> None:
    import os

    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    made = model([node("Add", ["x", "c"])], ("n", 4))
    tensor = onnx.TensorProto(name="c", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    made.graph.initializer.append(tensor)
    with pytest.raises(InvalidInput, match="keeps the tensor 'c' in"):
        capture(written(tmp_path, made))


def test_the_rest_of_a_division_has_the_sign_that_the_file_asks_for(tmp_path: Path) -> None:
    for fmod, wanted in ((0, [1, -1]), (1, [-2, 2])):
        nodes = [node("Mod", ["a", "b"], ["m"], fmod=fmod), node("Cast", "m", ["c"], to=1), node("Add", ["x", "c"])]
        graph = capture(written(tmp_path, model(nodes, ("n", 2), {"a": whole(-5, 5), "b": whole(3, -3)})))
        assert graph.run(torch.zeros(1, 2)).tolist() == [wanted]
