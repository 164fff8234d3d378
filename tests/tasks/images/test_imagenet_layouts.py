"""ImageNet in every layout: labels are those that images show; what is in doubt is refused in a sentence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from conversion.errors import DataMissing
from tasks.images.imagenet import ImageNet, Imagenette
from tasks.images.imagenet_labels import Synset, imagenet_classes
from tests.tasks.images import imagenet_trees as trees
from tests.tasks.images.imagenet_trees import LABELS, WNIDS, agree, shown

ABSENT = "images of the dataset's val/ that are not on disk"
SPLITS = ("train", "validation", "test")


def test_classes_are_counted_in_the_order_of_their_ids() -> None:
    classes = imagenet_classes()
    assert len(classes) == 1000 == len(set(classes.values())) and list(classes) == sorted(classes)
    # As torchvision's and timm's lists have them.
    known = {"n01440764": (0, "tench"), "n02102040": (217, "English springer"), "n03888257": (701, "parachute")}
    assert {wnid: (list(classes).index(wnid), classes[wnid]) for wnid in known} == known
    assert [list(classes).index(wnid) for wnid in Imagenette.wnids] == [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each of the 1,000 classes, in the names of the archives."""
    root = tmp_path_factory.mktemp("data")
    trees.folders(root / "imagenet", "ILSVRC2012_img_val")
    trees.folders(root / "imagenet", "ILSVRC2012_train", 1, first=1)
    return root


@pytest.mark.slow
def test_folders_of_classes(folders: Path) -> None:
    task = ImageNet(folders)
    assert task.missing() is None
    assert [len(task.split(split)) for split in SPLITS] == [900, 100, 1000]  # type: ignore[arg-type]
    assert agree(task, 40) == 40
    assert task.listing.parts["val"].labels.tolist() == list(range(1000))
    assert task.departures() == {ABSENT: 49_000}
    drawn, held_out = ({shown(image) for image in images} for images in (
        task.calibration(60, seed=0), task.held_out(60, seed=0).inputs,
    ))  # fmt: skip
    assert len(drawn) == len(held_out) == 60 and not drawn & held_out


def kaggle(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    rows = (f"{trees.name(number)},{WNIDS[label]} 1 2 3 4" for number, label in enumerate(LABELS, 1))
    (root / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + "\n".join(rows))


def caffe(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    lines = (f"{trees.name(number)}.JPEG {label}\n" for number, label in enumerate(LABELS, 1))
    (root / "val.txt").write_text("".join(lines))


@pytest.mark.slow
@pytest.mark.parametrize(
    "labels",
    [
        lambda root: trees.devkit(root / "imagenet", LABELS), lambda root: caffe(root / "imagenet"),
        lambda root: caffe(root / "imagenet/caffe_ilsvrc12"), lambda root: kaggle(root / "imagenet"),
    ],
    ids=["devkit", "caffe", "caffe's folder", "kaggle"],
)  # fmt: skip
def test_a_flat_folder_with_labels_beside_it(labels: Callable[[Path], None], tmp_path: Path) -> None:
    """Without train/ a seeded part of val/ is left out of the test, and the departures say so."""
    trees.flat(tmp_path / "imagenet", LABELS)
    labels(tmp_path)
    task = ImageNet(tmp_path)
    assert [len(task.split(split)) for split in SPLITS] == [5, 2, 53]  # type: ignore[arg-type]
    assert agree(task) == 53
    assert list(task.departures().values()) == [50_000 - 60, 7]
    assert "left out of the test" in list(task.departures())[1]
    parts = [task._chosen[split][1] for split in SPLITS]  # type: ignore[index]
    assert sorted(np.concatenate(parts).tolist()) == list(range(60))


def test_the_devkit_serves_a_part_of_the_images(tmp_path: Path) -> None:
    """The number of an image, not its place in the folder, is the line of its label."""
    trees.flat(tmp_path / "imagenet", LABELS)
    trees.devkit(tmp_path / "imagenet", LABELS)
    for number in (1, 2, 17):
        (tmp_path / f"imagenet/val/{trees.name(number)}.JPEG").unlink()
    assert agree(ImageNet(tmp_path)) == 50


def test_folders_of_kaggle(tmp_path: Path) -> None:
    trees.flat(tmp_path / "ILSVRC/Data/CLS-LOC", LABELS)
    kaggle(tmp_path / "ILSVRC")
    assert agree(ImageNet(tmp_path)) == 53


def test_files_of_hugging_face(tmp_path: Path) -> None:
    trees.parquet(tmp_path / "imagenet", "validation", LABELS)
    trees.parquet(tmp_path / "imagenet", "train", LABELS[:30], first=100)
    trees.parquet(tmp_path / "imagenet", "test", [-1] * 5, files=1)
    task = ImageNet(tmp_path)
    assert agree(task) == 60 and len(task.split("train")) == 27  # type: ignore[arg-type]
    (tmp_path / "imagenet/skip.txt").write_text("validation/3\n")
    task = ImageNet(tmp_path)
    assert agree(task) == 59 and task.departures() == {ABSENT: 50_000 - 60, "images on skip.txt": 1}


def numbers(root: Path) -> None:
    for number in range(1000):
        (root / f"imagenet/val/{number}").mkdir(parents=True)


def classes(*, without: str = "", extra: str = "") -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for wnid in [wnid for wnid in WNIDS if wnid != without] + ([extra] if extra else []):
            (root / "imagenet/val" / wnid).mkdir(parents=True)

    return write


def without_meta(root: Path) -> None:
    trees.flat(root / "imagenet", LABELS[:2])
    trees.devkit(root / "imagenet", LABELS[:2])
    (root / "imagenet/ILSVRC2012_devkit_t12/data/meta.mat").unlink()


def damaged_meta(root: Path) -> None:
    without_meta(root)
    (root / "imagenet/ILSVRC2012_devkit_t12/data/meta.mat").write_text("<html>")


def unlabelled(root: Path) -> None:
    trees.flat(root / "imagenet", LABELS[:2])


def listed(text: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        unlabelled(root)
        (root / "imagenet/val.txt").write_text(text)

    return write


def with_devkit(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """A flat folder with the devkit, and a change to it; the change takes the dataset's folder."""

    def write(root: Path) -> None:
        trees.flat(root / "imagenet", LABELS)
        trees.devkit(root / "imagenet", LABELS)
        change(root / "imagenet")

    return write


def rename_third(root: Path) -> None:
    (root / f"val/{trees.name(3)}.JPEG").rename(root / "val/foo.JPEG")


def unlink_seventh(root: Path) -> None:
    path = root / f"val/{trees.name(7)}.JPEG"
    path.unlink()
    path.symlink_to(root / "gone.JPEG")


def other_caffe(root: Path) -> None:
    caffe(root)
    lines = (root / "val.txt").read_text().splitlines()
    lines[4] = f"{trees.name(5)}.JPEG {(LABELS[4] + 1) % 1000}"
    (root / "val.txt").write_text("\n".join(lines))


def longer_truth(root: Path) -> None:
    path = root / "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
    path.write_text(path.read_text() + "1\n" * 50_000)


def truth(line: str) -> Callable[[Path], object]:
    """Another second line of the devkit's labels."""

    def change(root: Path) -> None:
        path = root / "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
        first, _, *others = path.read_text().splitlines()
        path.write_text("\n".join([first, line, *others]))

    return with_devkit(change)


@pytest.mark.parametrize("field", ["ILSVRC2012_ID", "num_children"])
def test_a_fraction_is_no_number_of_a_class(field: str) -> None:
    row = {"ILSVRC2012_ID": np.array([[3.0]]), "WNID": "n01440764", "num_children": np.uint8(0)}
    assert (Synset.of(row, "meta.mat").number, Synset.of(row, "meta.mat").children) == (3, 0)
    with pytest.raises(DataMissing, match=f"{field} is .*; it has to be a whole number"):
        Synset.of(row | {field: np.array([[0.5]])}, "meta.mat")


def twice(root: Path) -> None:
    unlabelled(root)
    rows = (f"{trees.name(number)},{WNIDS[label]} 1 2 3 4" for number, label in ((1, 37), (2, 5), (1, 999)))
    (root / "imagenet/LOC_val_solution.csv").write_text("\n".join(rows))


def long_field(root: Path) -> None:
    unlabelled(root)
    (root / "imagenet/LOC_val_solution.csv").write_text('ImageId,PredictionString\n"' + "a" * 200_000)


def tench(root: Path) -> None:
    unlabelled(root)
    text = f"ImageId,PredictionString\n{trees.name(1)},tench 1 2 3 4\n"
    (root / "imagenet/LOC_val_solution.csv").write_text(text)


def secret(root: Path) -> None:
    trees.parquet(root / "imagenet", "validation", [-1, -1])


def lost_shard(root: Path) -> None:
    trees.parquet(root / "imagenet", "validation", LABELS, files=3)
    (root / "imagenet/data/validation-00001-of-00003.parquet").unlink()


def copied_shard(root: Path) -> None:
    trees.parquet(root / "imagenet", "validation", LABELS)
    trees.parquet(root / "imagenet", "train", LABELS[:30])
    data = root / "imagenet/data"
    shutil.copy(data / "validation-00001-of-00002.parquet", data / "train-00000-of-00002.parquet")


def no_rows(root: Path) -> None:
    trees.parquet(root / "imagenet", "validation", [], files=1)


def true_and_false(root: Path) -> None:
    (root / "imagenet").mkdir()
    table = pa.table({"image": [trees.encoded(0), trees.encoded(1)], "label": [False, True]})
    pyarrow.parquet.write_table(table, root / "imagenet/val-0.parquet")


def no_column(root: Path) -> None:
    (root / "imagenet").mkdir()
    pyarrow.parquet.write_table(pa.table({"image": [b""]}), root / "imagenet/val-0.parquet")


def only_train(root: Path) -> None:
    trees.parquet(root / "imagenet", "train", [1, 2])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (numbers, r"are numbers \(0 \.\.\.\), which programs sort as text or as numbers.*rename them to WordNet ids"),
        (classes(without="n02102040"), "999 of 1000 class folders; n02102040 is not there. .* imagenette .*bridges.md"),
        (with_devkit(unlink_seventh), r"val/ILSVRC2012_val_00000007\.JPEG is a link that leads nowhere; link it"),
        (classes(extra="tench"), "val/tench is no WordNet id as n01440764"),
        (classes(extra="n00000001"), "val/n00000001 is the id of no class of ImageNet-1k"),
        (classes(), "val/n01440764 holds no JPEG or PNG image"),
        (without_meta, r"numbers classes in an order of its own, and .*meta\.mat.* is not there"),
        (damaged_meta, r"meta\.mat is not the list of classes of the development kit"),
        (unlabelled, r"nothing says their classes: .* neither ILSVRC2012_devkit_t12.* nor val\.txt"),
        (listed("ILSVRC2012_val_00000001.JPEG 1000\n"), r"val\.txt, line 1: class is '1000'; .* from 0 to 999"),
        (
            listed("ILSVRC2012_val_00000001.JPEG\n"),
            r"val\.txt, line 1: '.*JPEG' is not the name of a file and a class",
        ),
        (tench, r"solution\.csv, line 2: PredictionString 'tench 1 2 3 4' begins with the id of no class of ImageNet"),
        (listed("ILSVRC2012_val_00000001.JPEG 3\n"), r"val\.txt does not say the class of .*00000002\.JPEG"),
        (with_devkit(rename_third), r"foo\.JPEG is not called ILSVRC2012_val_<number> as others"),
        (with_devkit(other_caffe), r"val\.txt gives ILSVRC2012_val_00000005 the class .*, and .*ground_truth\.txt"),
        (truth("1001"), r"ground_truth\.txt, line 2: there is no class 1001; there are 1 to 1000"),
        (truth("9" * 5000), r"ground_truth\.txt, line 2: class is '999.*; it has to be a whole number"),
        (truth("\u0663"), r"ground_truth\.txt, line 2: class is '\u0663'; it has to be a whole number"),
        (truth("1 2"), r"ground_truth\.txt, line 2: '1 2' is not a label; that is class"),
        (truth(""), r"ground_truth\.txt, line 2: '' is not a label; that is class"),
        (with_devkit(longer_truth), r"has 50060 lines, more than the 50,000 images"),
        (listed(f"{trees.name(1)}.JPEG 37\n{trees.name(1)}.JPEG 999\n"), r"Line 2 of .* 999, and a line before .* 37"),
        (twice, r"Line 3 of .*csv gives ILSVRC2012_val_00000001 the class 999, and a line before gives it 37"),
        (long_field, r"solution\.csv is not a list of images and classes as Kaggle's: field larger"),
        (secret, "has the label -1, .* from 0 to 999; -1 stands for a label that is kept secret"),
        (lost_shard, r"holds 2 of the 3 files validation-\*-of-00003, and number 00001 is not there; download it"),
        (copied_shard, r"validation-00001-of-00002\.parquet and .*train-00000-of-00002\.parquet are the same"),
        (no_rows, r"files of validation in .*data hold no rows; download"),
        (true_and_false, r"column label of .*val-0\.parquet holds bool, and classes are numbers"),
        (no_column, "has no column label; it has image"),
        (only_train, "holds neither a folder val nor Parquet files of it"),
        (lambda root: None, "There is no folder"),
    ],
)
def test_what_leaves_classes_in_doubt_is_refused(write: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    """Before any image is read, in one sentence, and `doctor` says it, too."""
    write(tmp_path)
    with pytest.raises(DataMissing, match=message):
        ImageNet(tmp_path).require()
