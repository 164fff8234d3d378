"""ShapeNetPart's layout: the official lists, labels, samples of one size, and faults by file and line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from conversion.errors import BenchmarkError, DataMissing, InvalidInput
from tasks import TASKS
from tasks.points.base import CloudFile, normalised, sample_indices
from tasks.points.shapenet import PARTS
from tests.tasks.points import shapes

# As published; the archive's synsetoffset2category.txt holds the same.
IDS = {
    "Airplane": "02691156", "Bag": "02773838", "Cap": "02954340", "Car": "02958343", "Chair": "03001627",
    "Earphone": "03261776", "Guitar": "03467517", "Knife": "03624134", "Lamp": "03636649", "Laptop": "03642806",
    "Motorbike": "03790512", "Mug": "03797390", "Pistol": "03948459", "Rocket": "04099429", "Skateboard": "04225987",
    "Table": "04379243",
}  # fmt: skip
ARCHIVE = "shapenetcore_partanno_segmentation_benchmark_v0_normal"
VASES = {"Vase": ("00000001", range(4))}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layout = {name: (place, PARTS[name]) for name, place in IDS.items()}
    return shapes.shapenet(tmp_path_factory.mktemp("data"), ARCHIVE, layout)


@pytest.fixture
def vases(tmp_path: Path) -> Path:
    return shapes.shapenet(tmp_path, "shapenet_like", VASES, train=4) / "shapenet_like"


def test_labels_and_categories_are_those_of_torch_geometric() -> None:
    from torch_geometric.datasets import ShapeNet

    assert {name: list(labels) for name, labels in PARTS.items()} == ShapeNet.seg_classes
    assert ShapeNet.category_ids == IDS


def test_splits_are_the_lists(archive: Path) -> None:
    task = TASKS["shapenet_classification"](archive)
    assert [len(task.split(name)) for name in ("train", "validation", "test")] == [48, 32, 32]  # type: ignore[arg-type]
    split = task.split("test")
    listed = json.loads((archive / ARCHIVE / "train_test_split/shuffled_test_file_list.json").read_text())
    assert [file.name for file in split.samples] == [name.removeprefix("shape_data/") for name in listed]  # type: ignore[attr-defined]
    assert torch.stack([split[index][1] for index in range(32)]).tolist() == [number // 2 for number in range(32)]


def test_reads_what_torch_geometric_reads(archive: Path, tmp_path: Path) -> None:
    """The same points and labels, from the folder in which torch-geometric keeps them; all 30 of each come."""
    from torch_geometric.datasets import ShapeNet

    (tmp_path / "ShapeNet").mkdir()
    (tmp_path / "ShapeNet/raw").symlink_to(archive / ARCHIVE)
    expected = ShapeNet(str(tmp_path / "ShapeNet"), categories="Lamp", split="test")
    split = TASKS["shapenet_parts_lamp"](tmp_path).split("test")
    assert len(split) == len(expected) == 2  # type: ignore[arg-type]
    for (cloud, parts), shape in zip((split[0], split[1]), expected, strict=True):
        rows = {tuple(row) for row in cloud.T.mul(1e4).round().int().tolist()}
        assert len(rows) == 30
        # What a sample is normalised by depends on which points come twice.
        scale, centre = _similarity(cloud, parts, shape.pos, shape.y - PARTS["Lamp"][0])
        assert torch.allclose(cloud.T * scale + centre, _nearest(cloud.T * scale + centre, shape.pos), atol=1e-4)


def _similarity(
    cloud: torch.Tensor, parts: torch.Tensor, pos: torch.Tensor, y: torch.Tensor
) -> tuple[float, torch.Tensor]:
    """Scale and shift that take a normalised cloud back, from its extent; labels must agree at its ends."""
    scale = float((pos.amax(0) - pos.amin(0))[0] / (cloud[0].max() - cloud[0].min()))
    centre = pos.amax(0) - scale * cloud.amax(1)
    for axis in range(3):
        assert parts[cloud[axis].argmax()] == y[pos[:, axis].argmax()]
    return scale, centre


def _nearest(points: torch.Tensor, among: torch.Tensor) -> torch.Tensor:
    return among[torch.cdist(points, among).argmin(1)]


def test_one_category_counts_its_parts_from_0_and_all_of_them_do_not(archive: Path) -> None:
    own, parts = TASKS["shapenet_parts_car"](archive).split("train")[0]
    assert (own.shape, parts.unique().tolist()) == ((3, 2500), [0, 1, 2, 3])
    shared = TASKS["shapenet_parts"](archive).split("train")
    cloud, labels = shared[9]  # The first car: three of each category come before.
    assert (cloud.shape, labels.unique().tolist()) == ((19, 2500), list(PARTS["Car"]))
    assert torch.equal(cloud[:3], own) and torch.equal(labels - PARTS["Car"][0], parts)
    assert cloud[3:].sum(0).unique().tolist() == [1] and cloud[3 + list(PARTS).index("Car")].unique().tolist() == [1]


def test_every_category_has_a_task_of_its_own() -> None:
    names = {f"shapenet_parts_{name.lower()}" for name in PARTS}
    assert names <= set(TASKS)
    assert sum(len(TASKS[name].classes) for name in names) == 50
    assert {len(TASKS["shapenet_parts"].classes), len(set(TASKS["shapenet_parts"].classes))} == {50}


def test_a_cloud_with_fewer_points_than_asked_is_resampled_with_replacement(vases: Path) -> None:
    """30 rows make 512 points: every row comes, the others again, each with its own label."""
    split = TASKS["coseg_vases"](vases.parent).split("train")
    cloud, parts = split[0]
    assert (cloud.shape, parts.shape, parts.dtype) == ((3, 512), (512,), torch.uint8)
    rows = {(*point, part) for point, part in zip(cloud.T.tolist(), parts.tolist(), strict=True)}
    assert len(rows) == 30
    assert sorted(part for *_, part in rows) == sorted(np.resize(range(4), 30).tolist())


@pytest.mark.parametrize(("available", "wanted"), [(1, 5), (30, 1024), (10, 10), (2500, 1024)])
def test_points_are_chosen_once_where_there_are_enough(available: int, wanted: int) -> None:
    counts = np.bincount(sample_indices(available, wanted, np.random.default_rng(0)), minlength=available)
    assert counts.sum() == wanted
    assert counts.max() == 1 if available >= wanted else counts.min() >= 1
    # None much more often than its share: of 994 draws from 30, 33 and six standard deviations.
    assert counts.max() <= 1 + wanted / available + 6 * (wanted / available) ** 0.5


def test_clouds_are_centred_and_of_radius_1() -> None:
    cloud = normalised(np.random.default_rng(0).uniform(5, 9, (200, 3)), Path("a"))
    assert cloud.dtype == torch.float32
    assert cloud.mean(1).abs().max() < 1e-6 and float(cloud.norm(dim=0).max()) == pytest.approx(1)


@pytest.mark.parametrize("place", [0.0, 0.3, 1e6])
def test_a_cloud_without_size_is_refused(place: float) -> None:
    with pytest.raises(InvalidInput, match=r"a\.txt lie in one place"):
        normalised(np.full((7, 3), place) + 1e-12 * place, Path("a.txt"))


def test_seeds_are_those_of_names() -> None:
    draws = [
        CloudFile(Path(path), name, 0).generator().random() for path, name in (("/a", "x"), ("/b", "x"), ("/a", "y"))
    ]
    assert draws[0] == draws[1] != draws[2]


ROW = "0.1 0.2 0.3 0 0 1 2\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (ROW + "0.1 0.2 nan 0 0 1 2\n", "line 2: '0.1 0.2 nan 0 0 1 2' is not finite"),
        (ROW + "\n0.1 inf 0.3 0 0 1 2\n", "line 3: '0.1 inf 0.3 0 0 1 2' is not finite"),
        (ROW + ROW + "0.1 0.2 0.3 2\n", "line 3: there are 4 numbers"),
        ("0.1 0.2 0.3 2\n", "line 1: there are 4 numbers"),
        (ROW + "0.1 0.2 abc 0 0 1 2\n", "line 2: '0.1 0.2 abc 0 0 1 2' is not all numbers"),
        (ROW + "0.1 0.2 0.3 0 0 1 4\n", r"line 2: the label 4 is none of its category's parts, \[0, 1, 2, 3\]"),
        (ROW + "0.1 0.2 0.3 0 0 1 1.5\n", "line 2: the label 1.5 is none"),
        (ROW + "0.1 0.2 0.3 0 0 1 -1\n", "line 2: the label -1 is none"),
        ("", "holds no point"),
        ("\n\n", "holds no point"),
        (ROW, "lie in one place"),
    ],
)  # fmt: skip
def test_faults_are_named_by_file_and_line(content: str, reason: str, vases: Path) -> None:
    path = vases / "00000001/00001.txt"
    path.write_text(content)
    with pytest.raises(InvalidInput, match=reason) as error:
        TASKS["coseg_vases"](vases.parent).split("train")[1]
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "synsetoffset2category.txt").unlink(), "There is no file .*2category.txt"),
        (lambda folder: (folder / "synsetoffset2category.txt").write_text("Urn\t1\n"), "Vase is not in .* names Urn"),
        (lambda folder: (folder / "synsetoffset2category.txt").write_text("Vase\n"), "line 1: 'Vase' is not a cat"),
        (lambda folder: (folder / "00000001/02001.txt").unlink(), "02001.txt is listed in .*test.* but not there"),
        (lambda folder: _list(folder, "test").unlink(), "There is no file .*shuffled_test"),
        (lambda folder: _list(folder, "val").write_text("[1"), "shuffled_val_file_list.json is no JSON"),
        (lambda folder: _list(folder, "val").write_text("[1]"), "entry 1: name is 1; it has to be a name like"),
        (lambda folder: _list(folder, "test").write_text('["shape_data/2/3"]'), "no shape of category Vase"),
    ],
)  # fmt: skip
def test_what_is_missing(damage: Callable[[Path], object], reason: str, vases: Path) -> None:
    damage(vases)
    with pytest.raises(DataMissing, match=reason):
        TASKS["coseg_vases"](vases.parent).require()


def _list(folder: Path, split: str) -> Path:
    return folder / f"train_test_split/shuffled_{split}_file_list.json"


def test_a_shape_is_left_out(vases: Path) -> None:
    (vases / "00000001/02001.txt").unlink()
    (vases / "skip.txt").write_text("02001\n")
    task = TASKS["coseg_vases"](vases.parent)
    assert len(task.split("test")) == 1  # type: ignore[arg-type]
    assert task.departures()["shapes on skip.txt"] == 1


def test_clouds_that_are_filled_up_are_counted(vases: Path) -> None:
    """A row too few, blank lines behind it; and as many as asked."""
    for shape, count in (("02000", 511), ("02001", 512)):
        path = vases / f"00000001/{shape}.txt"
        path.write_text("\n".join((path.read_text().splitlines() * 18)[:count]) + "\n \n")
    task = TASKS["coseg_vases"](vases.parent)
    assert task.test_size() == 2
    assert task.departures() == {"shapes on skip.txt": 0, "test shapes of fewer than 512 points, filled up": 1}


def test_a_category_without_test_shapes_is_refused(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "ShapeNet").mkdir()
    (tmp_path / "ShapeNet/raw").symlink_to(archive / ARCHIVE)
    with pytest.raises(BenchmarkError, match=r"no shape of category Mug \(03797390\) in .*shuffled_test"):
        left = [f"{2000 + number:05}" for number in range(2)]
        _without(tmp_path, archive, IDS["Mug"], left)


def _without(root: Path, archive: Path, folder: str, names: list[str]) -> None:
    """The archive with a shorter list of test shapes."""
    other = root / ARCHIVE
    (other / "train_test_split").mkdir(parents=True)
    for entry in (archive / ARCHIVE).iterdir():
        if entry.name != "train_test_split":
            (other / entry.name).symlink_to(entry)
    for entry in (archive / ARCHIVE / "train_test_split").iterdir():
        listed = json.loads(entry.read_text())
        kept = [name for name in listed if name not in {f"shape_data/{folder}/{shape}" for shape in names}]
        (other / "train_test_split" / entry.name).write_text(json.dumps(kept))
    TASKS["shapenet_parts"](root).require()


@pytest.mark.parametrize("change", [
    lambda content: content.replace(b"\n", b"\r\n"),
    lambda content: b"\xef\xbb\xbf" + content,
    lambda content: content + b"\n\r\n \n",
    # Two of the same kind.
    lambda content: content.decode().encode("utf-16"),
    lambda content: content.replace(b"\n", b"\r"),
])  # fmt: skip
def test_files_of_other_editors_are_read_b11(change: Callable[[bytes], bytes], vases: Path) -> None:
    expected = TASKS["coseg_vases"](vases.parent).split("test")[0]
    for path in vases.rglob("*.txt"):
        path.write_bytes(change(path.read_bytes()))
    for path in vases.rglob("*.json"):
        path.write_bytes(change(path.read_bytes()))
    cloud, parts = TASKS["coseg_vases"](vases.parent).split("test")[0]
    assert torch.equal(cloud, expected[0]) and torch.equal(parts, expected[1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Vase\t00000001\nVase\t00000002\n", r"synsetoffset2category\.txt, line 2: 'Vase\t00000002' repeats"),
        ("Vase\t00000001\nCup\t00000001\n", r"synsetoffset2category\.txt, line 2: 'Cup\t00000001' repeats"),
        ("Vase\t../elsewhere\n", r"line 1: folder '\.\./elsewhere' leads out of the dataset's"),
    ],
)
def test_a_category_has_one_folder_below_the_datasets_own(content: str, message: str, vases: Path) -> None:
    (vases / "synsetoffset2category.txt").write_text(content)
    assert re.search(message, str(TASKS["coseg_vases"](vases.parent).missing()))


def test_a_shape_is_listed_once(vases: Path) -> None:
    path = vases / "train_test_split/shuffled_test_file_list.json"
    names = json.loads(path.read_text())
    path.write_text(json.dumps([*names, names[0]]))
    message = str(TASKS["coseg_vases"](vases.parent).missing())
    assert f"shuffled_test_file_list.json, entry {len(names) + 1}: '{names[0]}' is entry 1, too" in message
