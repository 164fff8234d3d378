"""Datasets of torch-geometric as tasks, through one conversion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.datasets import ModelNet
from torch_geometric.transforms import Compose, NormalizeScale, SamplePoints

from conversion.errors import DataMissing, InvalidInput
from tasks import TASKS
from tasks.points.bridge import GeometricTask
from tests.tasks.bridged import converted
from tests.tasks.points import shapes

SPLITS = ("train", "validation", "test")


class Clouds(InMemoryDataset):
    """Thirty clouds of two classes, which are nowhere on disk."""

    def __init__(self, root: str, without: str = "") -> None:
        super().__init__(root)
        torch.manual_seed(0)
        samples = []
        for number in range(30):
            sample = Data(pos=torch.randn(50 + number, 3), y=torch.tensor([number % 2]))
            if without:
                del sample[without]
            samples.append(sample)
        self.data, self.slices = self.collate(samples)


class OfClouds(GeometricTask):
    name = "clouds"
    dataset = Clouds
    classes = ("a", "b")
    input_shape = (3, 64)


class OfMeshes(GeometricTask):
    name = "meshes"
    folders = ("ModelNet10",)
    dataset = "torch_geometric.datasets.ModelNet"
    options = {"name": "10"}  # noqa: RUF012
    classes = TASKS["modelnet10"].classes
    input_shape = (3, 32)


class Scaled(OfMeshes):
    transform = Compose([SamplePoints(32), NormalizeScale()])


def pointwise(outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(3, 16, 1), nn.ReLU(), nn.Conv1d(16, 16, 1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        nn.Linear(16, outputs),
    )  # fmt: skip


def coordinates(inputs: Tensor) -> Tensor:
    return inputs


@pytest.fixture
def modelnet(tmp_path: Path) -> Path:
    """ModelNet10 as torch-geometric unpacks it, to be processed when it is opened."""
    shapes.meshes(tmp_path / "ModelNet10", "raw", TASKS["modelnet10"].classes, ".off")
    return tmp_path


def test_clouds_of_torch_geometric(tmp_path: Path) -> None:
    task = OfClouds(tmp_path)
    assert task.missing() is None
    assert [len(task.listed(split)) for split in SPLITS] == [22, 2, 6]  # type: ignore[arg-type]
    cloud, _ = task.split("train")[0]
    assert cloud.shape == (3, 64) and torch.allclose(cloud.norm(dim=0).max(), torch.tensor(1.0))
    assert converted(task, pointwise(2), coordinates) == 6


@pytest.mark.slow
@pytest.mark.parametrize("kind", [OfMeshes, Scaled])
def test_meshes_of_torch_geometric(kind: type[GeometricTask], modelnet: Path) -> None:
    task = kind(modelnet)
    assert task.missing() is None
    assert [len(task.listed(split)) for split in SPLITS] == [90, 10, 20]  # type: ignore[arg-type]
    theirs = ModelNet(str(modelnet / "ModelNet10"), "10", train=False)
    assert [int(task.split("test")[index][1]) for index in range(20)] == theirs.y.tolist()
    assert converted(task, pointwise(10), coordinates) == 20


def test_what_is_drawn_depends_on_the_sample_alone(modelnet: Path) -> None:
    torch.manual_seed(1)
    first, state = OfMeshes(modelnet).split("test")[3][0], torch.get_rng_state()
    torch.manual_seed(2)
    task = OfMeshes(modelnet)
    assert not torch.equal(task.split("test")[4][0], first) and torch.equal(task.split("test")[3][0], first)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)  # Of the generator that all share nothing is taken.


def test_a_transform_of_torch_geometric_is_applied(modelnet: Path) -> None:
    cloud, _ = Scaled(modelnet).split("test")[0]
    assert cloud.shape == (3, 32) and torch.allclose(cloud.abs().max(), torch.tensor(1.0), atol=1e-3)
    with pytest.raises(InvalidInput, match=r"transform of task meshes gives a cloud of shape \(3, 9\) .* write test/0"):
        type("Wrong", (OfMeshes,), {"transform": SamplePoints(9)})(modelnet).split("test")[0]


def test_a_dataset_that_is_not_there_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelNet, "download", lambda self: pytest.fail("It was downloaded."))
    with pytest.raises(DataMissing, match=r"There is no folder .*ModelNet10"):
        OfMeshes(tmp_path).split("test")
    (tmp_path / "ModelNet10").mkdir()
    with pytest.raises(DataMissing, match=r"ModelNet is not in .*ModelNet10, nor downloaded: its files are not there"):
        OfMeshes(tmp_path).split("test")


@pytest.mark.parametrize("field", ["pos", "y"])
def test_a_field_that_there_is_not_is_named(field: str, tmp_path: Path) -> None:
    about: dict[str, Any] = {"options": {"without": field}}
    with pytest.raises(InvalidInput, match=rf"Sample train/\d+ of task clouds has no {field}; Data needs pos and y"):
        list(type("Wrong", (OfClouds,), about)(tmp_path).test(6))


TRIANGLES = torch.tensor([[0], [1], [2]])


def failing(data: Data) -> Data:
    raise ValueError("no shape")


@pytest.mark.parametrize(
    ("fields", "about", "message"),
    [
        ({"pos": torch.randn(9, 2)}, {}, r"The pos of sample \w+/\d of task clouds has shape \(9, 2\); it should be"),
        ({"pos": torch.randn(9, 4)}, {}, r"has shape \(9, 4\)"),
        ({"pos": torch.randn(9)}, {}, r"has shape \(9,\)"),
        ({"pos": torch.randn(0, 3)}, {}, r"has shape \(0, 3\)"),
        ({"pos": [[0.0, 0.0, 1.0]]}, {}, "is of type list; it has to be a tensor"),
        ({"pos": torch.full((9, 3), torch.nan)}, {}, "holds something other than finite numbers"),
        ({"face": torch.zeros(3, 0).long()}, {}, r"The face of sample \w+/\d of .* has shape \(3, 0\)"),
        ({"face": torch.tensor([[0], [1], [9]])}, {}, "names vertex 9; it has 9, counted from 0"),
        ({"face": torch.tensor([[0], [-1], [2]])}, {}, "names vertex -1"),
        ({"face": TRIANGLES.float()}, {}, r"is of type torch\.float32"),
        ({"face": torch.zeros(3, 1).long()}, {}, "The transform SamplePoints fails|as SamplePoints gives it|one place"),
        ({}, {"input_shape": (6, 32)}, r"The input_shape of task clouds is \(6, 32\); without a transform"),
        ({}, {"input_shape": (3,)}, r"The input_shape of task clouds is \(3,\); without"),
        ({}, {"transform": staticmethod(failing)}, r"The transform failing fails for sample \w+/\d of .*: no shape"),
        ({}, {"transform": staticmethod(lambda data: None)}, "gives NoneType without pos for sample"),
        (
            {},
            {"transform": staticmethod(lambda data: Data(pos=data.pos / 0)), "input_shape": (3, 9)},
            r"as <lambda> gives it holds something other than finite",
        ),
    ],
)
def test_clouds_are_finite_points_and_faces_name_them(
    fields: dict[str, Any], about: dict[str, Any], message: str, tmp_path: Path
) -> None:
    class Own:
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> Data:
            return Data(**({"pos": torch.randn(9, 3), "y": index % 2} | fields))

    with pytest.raises(InvalidInput, match=message) as error:
        list(type("Wrong", (OfClouds,), {"dataset": Own} | about)(tmp_path).test(4))
    assert "skip.txt" in str(error.value)


def test_points_that_require_a_gradient_are_read(tmp_path: Path) -> None:
    task = OfClouds(tmp_path)
    sample = task.listed("test")[0]
    expected = task.read(sample)[0]
    sample.dataset.data.pos.requires_grad_()
    sample.dataset._data_list = None
    assert torch.equal(task.read(sample)[0], expected) and not task.read(sample)[0].requires_grad


def test_parts_are_no_classes(tmp_path: Path) -> None:
    class Parts(Clouds):
        def __init__(self, root: str) -> None:
            super().__init__(root)
            self.data, self.slices = self.collate([Data(pos=torch.randn(9, 3), y=torch.zeros(9)) for _ in range(9)])

    with pytest.raises(InvalidInput, match=r"A target of task clouds is tensor.*one of its 2 classes"):
        type("Wrong", (OfClouds,), {"dataset": Parts})(tmp_path).split("train")
