"""ONNX files from anywhere: what is read of them, and what is refused before anything is allocated or opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra 'onnx': pip install -e '.[onnx]'")

from conversion import InvalidInput, UnsupportedOp, capture  # noqa: E402
from conversion.capture.onnx.reading import read_file  # noqa: E402
from tests.conversion.capture.onnx.files import model, node, small_convnet, written  # noqa: E402

ADDED = [node("Add", ["x", "c"])]


def tensor(values: Any, dtype: int, **stored: Any) -> Any:
    made = onnx.TensorProto(name="c", data_type=dtype, dims=list(np.shape(values)))
    for name, value in stored.items():
        if name == "raw_data":
            made.raw_data = value
        else:
            getattr(made, name).extend(value)
    return made


def holding(made: Any, folder: Path) -> Path:
    whole = model(ADDED, ("n", 2))
    whole.graph.initializer.append(made)
    return written(folder, whole)


KIND = onnx.TensorProto
HALF = np.array([1.5, -2], np.float16)
TENSORS = {
    "float": tensor([1.5, -2], KIND.FLOAT, float_data=[1.5, -2]),
    "double": tensor([1.5, -2], KIND.DOUBLE, double_data=[1.5, -2]),
    "half, bits": tensor([1.5, -2], KIND.FLOAT16, int32_data=[int(bits) for bits in HALF.view(np.uint16)]),
    "half, bytes": tensor([1.5, -2], KIND.FLOAT16, raw_data=HALF.tobytes()),
    "bfloat16": tensor([1.5, -2], KIND.BFLOAT16, raw_data=np.array([0x3FC0, 0xC000], np.uint16).tobytes()),
    "bfloat16, bits": tensor([1.5, -2], KIND.BFLOAT16, int32_data=[0x3FC0, 0xC000]),
}  # fmt: skip
WHOLE = {
    "int64": tensor([3, -2], KIND.INT64, int64_data=[3, -2]), "int8": tensor([3, -2], KIND.INT8, int32_data=[3, -2]),
    "uint8": tensor([3, 254], KIND.UINT8, raw_data=b"\x03\xfe"),
    "int32": tensor([3, -2], KIND.INT32, int32_data=[3, -2]),
}  # fmt: skip


@pytest.mark.parametrize("kind", [*TENSORS, *WHOLE])
def test_tensors_of_every_type_and_field(kind: str, tmp_path: Path) -> None:
    made = (TENSORS | WHOLE)[kind]
    found = read_file(holding(made, tmp_path)).constants["c"]
    wanted = [1.5, -2] if kind in TENSORS else [3, 254 if kind == "uint8" else -2]
    assert found.tolist() == wanted
    assert found.dtype is getattr(torch, kind.partition(",")[0])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (tensor([1, 2], KIND.FLOAT, float_data=[1]), "1 numbers are stored for it"),
        (tensor([1, 2], KIND.FLOAT, raw_data=b"\0" * 7), "7 bytes are stored for it"),
        (tensor([1, 2], KIND.BOOL, raw_data=b"\0\2"), "truth values other than 0 and 1"),
        (onnx.TensorProto(name="c", data_type=KIND.FLOAT, dims=[-1]), r"has the shape \[-1\]"),
        (onnx.TensorProto(name="c", data_type=KIND.FLOAT, dims=[2**40, 2**40]), "0 numbers are stored for it"),
    ],
)  # fmt: skip
def test_a_tensor_has_to_lie_within_what_is_stored(made: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"damaged: the tensor 'c' .*{said}"):
        read_file(holding(made, tmp_path))


def test_types_that_networks_are_not_computed_in(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOp, match=r"the tensor 'c' is of type STRING"):
        read_file(holding(onnx.TensorProto(name="c", data_type=KIND.STRING, dims=[1]), tmp_path))


def external(folder: Path, location: str, **told: int) -> Path:
    made = onnx.TensorProto(name="c", data_type=KIND.FLOAT, dims=[2], data_location=KIND.EXTERNAL)
    for key, value in ({"location": location} | told).items():
        made.external_data.add(key=key, value=str(value))
    return holding(made, folder)


def test_external_data_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/net.bin").write_bytes(b"\0" * 4 + np.array([1, 2], np.float32).tobytes())
    path = external(tmp_path, "data/net.bin", offset=4, length=8)
    assert read_file(path).constants["c"].tolist() == [1, 2]
    assert torch.equal(capture(path).run(torch.zeros(1, 2)), torch.tensor([[1.0, 2.0]]))


def outside(folder: Path) -> str:
    (folder.parent / "secret").write_bytes(b"\0" * 8)
    return "../secret"


def absolute(folder: Path) -> str:
    return str(folder.parent / outside(folder).removeprefix("../"))


def link(folder: Path) -> str:
    (folder / "link").symlink_to(folder / outside(folder))
    return "link"


def sideways(folder: Path) -> str:
    return f"inner/../{outside(folder)}"


@pytest.mark.parametrize("place", [outside, absolute, link, sideways])
def test_nothing_outside_of_the_folder_is_read(place: Callable[[Path], str], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(InvalidInput, match="outside of its own folder, where nothing is read"):
        read_file(external(folder, place(folder)))


def test_external_data_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"the tensor 'c' in 'net.bin', which is not beside it; copy both"):
        read_file(external(tmp_path, "net.bin"))
    (tmp_path / "net.bin").write_bytes(b"\0" * 8)
    with pytest.raises(InvalidInput, match=r"at bytes 4 to 12 of 'net.bin', which has 8"):
        read_file(external(tmp_path, "net.bin", offset=4))
    with pytest.raises(InvalidInput, match=r"needs 8 bytes, and its external data are '4000000000000' bytes"):
        read_file(external(tmp_path, "net.bin", length=4 * 10**12))


def test_external_data_are_not_multiplied(tmp_path: Path) -> None:
    """A small file cannot name the same bytes so often that they fill the memory."""
    (tmp_path / "net.bin").write_bytes(b"\0" * 8)
    whole = onnx.load(external(tmp_path, "net.bin"), load_external_data=False)
    again = whole.graph.initializer.add()
    again.CopyFrom(whole.graph.initializer[0])
    again.name = "d"
    with pytest.raises(InvalidInput, match=r"which has 8 for all tensors"):
        read_file(written(tmp_path, whole))


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        capture(path)
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(InvalidInput, match=r"net\.onnx is damaged or no ONNX file"):
        capture(path)
    path.write_bytes(b"")
    with pytest.raises(InvalidInput, match="it has no nodes"):
        capture(path)
    with pytest.raises(InvalidInput, match=r"weights\.pth is no ONNX file by its name"):
        capture(tmp_path / "weights.pth")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(InvalidInput, match="is no file"):
        capture(tmp_path / "folder.onnx")


@pytest.mark.parametrize("opset", [10, 26])
def test_other_opsets_are_refused(opset: int, tmp_path: Path) -> None:
    path = written(tmp_path, model([node("Relu", "x")], ("n", 2), opset=opset))
    with pytest.raises(InvalidInput, match=rf"is written for opset {opset}; those from 11 to 25 are read"):
        read_file(path)


def test_networks_of_two_inputs_and_branches(tmp_path: Path) -> None:
    two = model(ADDED, ("n", 2))
    two.graph.input.append(onnx.helper.make_tensor_value_info("c", KIND.FLOAT, [2]))
    with pytest.raises(InvalidInput, match=r"has 2 inputs \('x', 'c'\), and a network is captured with one"):
        read_file(written(tmp_path, two))
    inner = onnx.helper.make_graph([node("Relu", "x")], "then", [], [onnx.helper.make_tensor_value_info("y", 1, None)])
    branch = onnx.helper.make_node("If", ["x"], ["y"], name="branch", then_branch=inner, else_branch=inner)
    with pytest.raises(UnsupportedOp, match=r"node 'branch' whose attribute '(then|else)_branch' is a graph"):
        read_file(written(tmp_path, model([branch], ("n", 2))))


def test_constants_among_the_inputs_are_constants(tmp_path: Path) -> None:
    """As files before version 4 of the format list them."""
    old = small_convnet()
    old.graph.input.append(onnx.helper.make_tensor_value_info("w", KIND.FLOAT, [4, 3, 3, 3]))
    assert read_file(written(tmp_path, old)).input.name == "x"
