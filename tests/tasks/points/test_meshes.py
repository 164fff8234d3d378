"""Meshes: the formats to the letter and against torch-geometric, points spread over the surface, faults by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conversion.errors import DataMissing, InvalidInput
from tasks import TASKS
from tasks.points.meshes import Mesh, MeshClassification, read_mesh
from tests.tasks.points import shapes

CUBE = [[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]
SQUARES = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]


@pytest.mark.parametrize("write", [shapes.obj, shapes.off])
@pytest.mark.parametrize("faces", [shapes.TETRAHEDRON, [[0, 1, 2], [0, 1, 3, 2]], [[3, 1, 2]]])
def test_a_mesh_is_read_as_it_was_written(write: Callable[..., Path], faces: list[list[int]], tmp_path: Path) -> None:
    mesh = read_mesh(write(tmp_path / f"a.{write.__name__}", shapes.vertices(1), faces))
    assert mesh.vertices.tolist() == shapes.vertices(1)
    triangles = [[face[0], face[i], face[i + 1]] for face in faces for i in range(1, len(face) - 1)]
    assert mesh.faces.tolist() == triangles


@pytest.mark.parametrize("header", ["OFF\n", "OFF", "OFF ", "# a remark\nOFF\n# another\n", "off\n"])
def test_every_header_of_modelnet(header: str, tmp_path: Path) -> None:
    """Some files of ModelNet begin "OFF8 6 0"."""
    mesh = read_mesh(shapes.off(tmp_path / "a.off", CUBE, SQUARES, header))
    assert (mesh.vertices.shape, mesh.faces.shape) == ((8, 3), (12, 3))
    assert mesh.areas().sum() == pytest.approx(6)


def test_corners_with_textures_or_from_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    path.write_text("v 0 0 0\nv 1 0 0 1.0\nvn 0 0 1\nv 0 1 0\nusemtl x\nf 1/1/1 2//2 3\nf -3 -2 -1\n")
    assert read_mesh(path).faces.tolist() == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize("reader", ["read_obj", "read_off"])
def test_reads_what_torch_geometric_reads(reader: str, tmp_path: Path) -> None:
    from torch_geometric import io

    write = shapes.obj if reader == "read_obj" else shapes.off
    path = write(tmp_path / f"a.{write.__name__}", shapes.vertices(3), shapes.TETRAHEDRON)
    expected, mesh = getattr(io, reader)(str(path)), read_mesh(path)
    assert torch.equal(expected.pos, torch.from_numpy(mesh.vertices).float())
    assert torch.equal(expected.face.T, torch.from_numpy(mesh.faces))


def test_points_lie_on_the_faces_in_proportion_to_their_area() -> None:
    """A box of 1 x 2 x 3: sides of 6, 6, 3, 3, 2 and 2, of 22 in all."""
    mesh = Mesh(np.array(CUBE) * [1.0, 2.0, 3.0], np.array([[f[0], f[i], f[i + 1]] for f in SQUARES for i in (1, 2)]))
    points = mesh.sample(40_000, np.random.default_rng(0))
    share = [np.isclose(points[:, axis], place).mean() for axis, size in enumerate((1, 2, 3)) for place in (0, size)]
    assert share == pytest.approx([6 / 22, 6 / 22, 3 / 22, 3 / 22, 2 / 22, 2 / 22], abs=0.01)
    assert points.mean(0) == pytest.approx([0.5, 1, 1.5], abs=0.02)


def test_points_are_spread_as_those_of_torch_geometric() -> None:
    """Means and second moments over a triangle and a larger one beside it, of 20,000 points each."""
    from torch_geometric.data import Data
    from torch_geometric.transforms import SamplePoints

    corners, faces = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [4, 0, 2.0]]), np.array([[0, 1, 2], [1, 3, 2]])
    data = Data(pos=torch.from_numpy(corners).float(), face=torch.from_numpy(faces).T)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = SamplePoints(20_000)(data).pos.double().numpy()
    found = Mesh(corners, faces).sample(20_000, np.random.default_rng(0))
    assert found.mean(0) == pytest.approx(expected.mean(0), abs=0.03)
    assert np.cov(found.T) == pytest.approx(np.cov(expected.T), abs=0.03)


OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
OFF = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n"


def chairs(root: Path, suffix: str) -> Any:
    """A task of meshes of one class."""
    about = {"name": "chairs", "folders": ("shapes",), "classes": ("chair",), "input_shape": (3, 8), "suffix": suffix}
    return type("Chairs", (MeshClassification,), about)(root)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.obj", OBJ, "has no faces"),
        ("a.obj", OBJ + "f 1 2 4\n", "line 4: a face names a vertex that is not among the 3"),
        ("a.obj", OBJ + "f 1 2 0\n", "line 4: a face names a vertex"),
        ("a.obj", OBJ + "f 1 2\n", "line 4: a face has 2 corners"),
        ("a.obj", OBJ + "f 1 2 x\n", "line 4: 'x' is no whole number"),
        ("a.obj", "v 0 0 nan\n" + OBJ + "f 1 2 3\n", "line 1: '0 0 nan' is no point"),
        ("a.obj", "v 0 0\n" + OBJ + "f 1 2 3\n", "line 1: '0 0' is no point"),
        ("a.obj", OBJ + "f 1 1 1\n", "have no area"),
        ("a.off", "", "line 1: the file does not begin with OFF"),
        ("a.off", "PLY\n", "line 1: the file does not begin with OFF"),
        ("a.off", "OFF\nthree\n", "line 2: 'three' is no whole number"),
        ("a.off", "OFF\n3\n", "line 2: '3' does not say how many"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n", "line 4: the file ends after 2 of 3 vertices"),
        ("a.off", OFF, "line 1: the file ends after 0 of 1 faces"),
        ("a.off", OFF + "3 0 1\n", "line 6: a face of 3 corners has 2"),
        ("a.off", OFF + "3 0 1 3\n", "line 6: a face names a vertex"),
        ("a.off", OFF + "3 0 1 -1\n", "line 6: a face names a vertex"),
        ("a.off", "OFF\n3 1 0\n0 inf 0\n1 0 0\n0 1 0\n3 0 1 2\n", "line 3: '0 inf 0' is no point"),
    ],
)
def test_faults_are_named_by_file_and_line(name: str, content: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "shapes/chair/train" / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    shapes.obj(path.parent.parent / "test" / path.name, shapes.vertices(1), shapes.TETRAHEDRON)
    with pytest.raises(InvalidInput) as error:
        chairs(tmp_path, path.suffix).split("train")[0]
    assert str(path) in str(error.value) and reason in str(error.value)
    assert f"write a on a line of {tmp_path / 'shapes/skip.txt'}" in str(error.value)


def test_a_missing_mesh(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read_mesh(tmp_path / "a" / "b" / "c.obj")


@pytest.fixture
def modelnet(tmp_path: Path) -> Path:
    return shapes.meshes(tmp_path, "ModelNet10", TASKS["modelnet10"].classes, ".off")


def test_splits_of_meshes(modelnet: Path) -> None:
    """A tenth of every class is validation; what is left out in skip.txt is nowhere."""
    task = TASKS["modelnet10"](modelnet)
    assert [len(task.split(name)) for name in ("train", "validation", "test")] == [90, 10, 20]  # type: ignore[arg-type]
    for name, count in (("train", 9), ("validation", 1), ("test", 2)):
        split = task.split(name)  # type: ignore[arg-type]
        classes = torch.stack([split[index][1] for index in range(len(split))])  # type: ignore[arg-type]
        assert classes.bincount().tolist() == [count] * 10
    (modelnet / "ModelNet10/skip.txt").write_text("bathtub_0011  # a remark\n")
    assert [len(TASKS["modelnet10"](modelnet).split(name)) for name in ("train", "test")] == [90, 19]  # type: ignore[arg-type]
    assert TASKS["modelnet10"](modelnet).digest() != task.digest()


def test_the_folder_that_torch_geometric_keeps(modelnet: Path) -> None:
    expected = TASKS["modelnet10"](modelnet).digest()
    (modelnet / "raw").mkdir()
    (modelnet / "ModelNet10").rename(modelnet / "raw/raw")
    (modelnet / "raw").rename(modelnet / "ModelNet10")
    (modelnet / "ModelNet10/processed").mkdir()
    assert TASKS["modelnet10"](modelnet).digest() == expected


def test_a_sample_is_the_same_whatever_else_there_is(modelnet: Path) -> None:
    """Its points depend on its file alone, not on the order of reading or on files that are left out."""
    first = TASKS["modelnet10"](modelnet).split("test")
    last = first[19]
    (modelnet / "ModelNet10/skip.txt").write_text("bathtub_0011\n")
    again = TASKS["modelnet10"](modelnet).split("test")[18]
    assert torch.equal(last[0], again[0]) and last[1] == again[1]


def test_up_is_y(tmp_path: Path) -> None:
    """A needle along z, which points up in ModelNet, becomes one along y."""
    root = shapes.meshes(tmp_path, "ModelNet10", TASKS["modelnet10"].classes, ".off")
    path = next((root / "ModelNet10/bathtub/test").iterdir())
    shapes.off(path, [[0, 0, 0], [0.1, 0, 0], [0, 0.1, 5.0]], [[0, 1, 2]])
    cloud, _ = TASKS["modelnet10"](root).split("test")[0]
    spread = cloud.std(1)
    assert spread[1] > 10 * spread[0] and spread[1] > 10 * spread[2]
    # More of a triangle lies at its wide end, below.
    assert cloud[1].median() < 0


def test_shrec_points_along_its_axes(tmp_path: Path) -> None:
    """A mesh and its mirror images give the same cloud but for the draw: third moments are positive."""
    root = shapes.meshes(tmp_path, "shrec_16", TASKS["shrec16"].classes, ".obj", train=1, test=1)
    task = TASKS["shrec16"](root)
    for split in ("train", "test"):
        for index in range(5):
            cloud, _ = task.split(split)[index]
            assert ((cloud**3).mean(1) > 0).all()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "bed").rename(folder / "bedd"), "did you mean 'bed'"),
        (lambda folder: [path.unlink() for path in (folder / "sofa/test").iterdir()], "a class without test shapes"),
        (lambda folder: folder.rename(folder.parent / "other"), "There is no folder"),
    ],
)
def test_what_is_missing(damage: Callable[[Path], object], reason: str, modelnet: Path) -> None:
    damage(modelnet / "ModelNet10")
    with pytest.raises(DataMissing, match=reason):
        TASKS["modelnet10"](modelnet).split("test")


def test_line_ends_and_marks_of_other_editors_are_read_b11(tmp_path: Path) -> None:
    for write in (shapes.obj, shapes.off):
        path = write(tmp_path / f"a.{write.__name__}", CUBE, SQUARES)
        expected, plain = read_mesh(path), path.read_bytes()
        for content in (
            plain.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + plain, plain + b"\n \n\r\n", plain.replace(b"\n", b"\r"),
        ):  # fmt: skip
            path.write_bytes(content)
            found = read_mesh(path)
            assert np.array_equal(found.vertices, expected.vertices) and np.array_equal(found.faces, expected.faces)


@pytest.mark.parametrize(
    "faces",
    [
        "f 1 2 3 # the first\nf 1 3 4#and another",
        "f 1 2 \\\n3\nf 1 \\\n  3 \\\n4",
        # Two of the same kind.
        "f 1/1 2/1 3/1 # with textures\nf 1//1 \\\r\n3//1 4//1",
        "f 1 2 3\nf 1 3 4\\",
    ],
)
def test_remarks_and_lines_that_go_on_are_read_b12(faces: str, tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    path.write_text(f"v 0 0 0 # origin\nv 1 \\\n0 0\nv 0 1 0\nv 0 0 1\n{faces}\n")
    mesh = read_mesh(path)
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_a_fault_in_a_line_that_goes_on_has_the_line_it_begins_on_b12(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 \\\n2 \\\n9\n")
    with pytest.raises(InvalidInput, match=r"a\.obj, line 4: a face names a vertex"):
        read_mesh(path)


@pytest.mark.parametrize("number", ["99999999999999999999", "1_0", "٣"])  # A digit of another script.
@pytest.mark.parametrize("write", [shapes.obj, shapes.off])
def test_what_is_no_whole_number_is_refused(write: Callable[..., Path], number: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{write.__name__}", shapes.vertices(1), shapes.TETRAHEDRON)
    lines = path.read_text().rstrip().splitlines()
    last = max(k for k, line in enumerate(lines) if line[:2] in ("f ", "3 "))
    lines[last] = f"{lines[last][:4]}{number} 2"
    path.write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match=rf"line {last + 1}: '{number}' is no whole number"):
        read_mesh(path)


def test_coordinates_whose_areas_overflow_are_refused(tmp_path: Path) -> None:
    path = shapes.obj(tmp_path / "a.obj", [[0, 0, 0], [1e200, 0, 0], [0, 1e200, 0]], [[0, 1, 2]])
    with pytest.raises(InvalidInput, match=r"a\.obj has coordinates beyond 1e\+60"):
        read_mesh(path)
