"""ImageNet in every layout: labels are those that images show; what is in doubt is refused in a sentence."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets.folder import default_loader
from torchvision.models import ResNet50_Weights
from torchvision.transforms import InterpolationMode

from conversion.errors import DataMissing, InvalidInput
from tasks.base import MetricValue
from tasks.images.imagenet import ImageNet, ImageNetClasses, Imagenette
from tasks.images.imagenet_labels import imagenet_classes
from tasks.images.preprocessing import Preprocessing
from tests.tasks.images import imagenet_trees as trees
from tests.tasks.images.imagenet_trees import WNIDS, shown

ABSENT = "images of the dataset's val/ that are not on disk"
SPLITS = ("train", "validation", "test")
# As a list of labels of a flat folder: in no order, with some classes twice.
LABELS = np.random.default_rng(1).integers(0, 1000, 60).tolist()
noise = np.random.default_rng(0)


def agree(task: ImageNetClasses, limit: int | None = None) -> int:
    """All test images have the labels that they show; their number."""
    batches = list(task.test(16, limit))
    for batch in batches:
        assert [shown(image) for image in batch.inputs] == batch.targets.tolist()
    return sum(len(batch.targets) for batch in batches)


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
    trees.parquet(tmp_path / "imagenet", "train", LABELS[:30])
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


def other_caffe(root: Path) -> None:
    caffe(root)
    lines = (root / "val.txt").read_text().splitlines()
    lines[4] = f"{trees.name(5)}.JPEG {(LABELS[4] + 1) % 1000}"
    (root / "val.txt").write_text("\n".join(lines))


def longer_truth(root: Path) -> None:
    path = root / "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
    path.write_text(path.read_text() + "1\n" * 50_000)


def twice(root: Path) -> None:
    unlabelled(root)
    rows = (f"{trees.name(number)},{WNIDS[label]} 1 2 3 4" for number, label in ((1, 37), (2, 5), (1, 999)))
    (root / "imagenet/LOC_val_solution.csv").write_text("\n".join(rows))


def long_field(root: Path) -> None:
    unlabelled(root)
    (root / "imagenet/LOC_val_solution.csv").write_text('ImageId,PredictionString\n"' + "a" * 200_000)


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


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (numbers, r"are numbers \(0 \.\.\.\), which programs sort as text or as numbers.*rename them to WordNet ids"),
        (classes(without="n02102040"), "holds 999 of 1000 class folders; n02102040 is not there. Unpack"),
        (classes(extra="tench"), "val/tench is no WordNet id as n01440764"),
        (classes(extra="n00000001"), "val/n00000001 is the id of no class of ImageNet-1k"),
        (classes(), "val/n01440764 holds no JPEG or PNG image"),
        (without_meta, r"numbers classes in an order of its own, and .*meta\.mat.* is not there"),
        (damaged_meta, r"meta\.mat is not the list of classes of the development kit"),
        (unlabelled, r"nothing says their classes: .* neither ILSVRC2012_devkit_t12.* nor val\.txt"),
        (listed("ILSVRC2012_val_00000001.JPEG 1000\n"), r"Line 1 of .*val\.txt is '.* 1000'; .* from 0 to 999"),
        (listed("ILSVRC2012_val_00000001.JPEG 3\n"), r"val\.txt does not say the class of .*00000002\.JPEG"),
        (with_devkit(rename_third), r"foo\.JPEG is not called ILSVRC2012_val_<number> as others"),
        (with_devkit(other_caffe), r"val\.txt gives ILSVRC2012_val_00000005 the class .*, and .*ground_truth\.txt"),
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


@pytest.fixture
def imagenette(tmp_path: Path) -> Path:
    trees.folders(tmp_path / "imagenette2-160", "train", 4, Imagenette.wnids, first=2)
    trees.folders(tmp_path / "imagenette2-160", "val", 2, Imagenette.wnids)
    return tmp_path


def photograph(path: Path, mode: str = "RGB", size: tuple[int, int] = (300, 200)) -> None:
    pixels = noise.integers(0, 256, (size[1] // 10, size[0] // 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size).convert(mode).save(path, "JPEG", quality=95)


def test_imagenette_is_scored_among_all_classes(imagenette: Path) -> None:
    task = Imagenette(imagenette)
    assert len(task.classes) == 1000 and agree(task) == 20
    assert task.departures() == {"test images that are training images of ImageNet": 20}
    own = next((imagenette / "imagenette2-160/val/n01440764").iterdir())
    own.rename(own.with_name(f"{trees.name(5)}.JPEG"))
    assert list(Imagenette(imagenette).departures().values()) == [19]
    shutil.rmtree(imagenette / "imagenette2-160/train/n03888257")
    assert "holds 9 of 10 class folders; n03888257 is not there" in str(Imagenette(imagenette).missing())
    (imagenette / "imagenette2-160/train/n02102041").mkdir()
    assert "is the id of no class" in str(Imagenette(imagenette).missing())
    (imagenette / "imagenette2-160/train/n02102041").rename(imagenette / "imagenette2-160/train/n01443537")
    assert "is not one of the 10 classes that belong there" in str(Imagenette(imagenette).missing())


@pytest.mark.parametrize("link", [True, False])
def test_the_same_images_for_training_and_test_are_refused(link: bool, imagenette: Path) -> None:
    root = imagenette / "imagenette2-160"
    if link:
        shutil.rmtree(root / "train")
        (root / "train").symlink_to(root / "val")
    else:
        shutil.copy(root / "val/n02102040/n02102040_1.JPEG", root / "train/n02102040")
    assert re.search(r"val/.*JPEG and .*train/.*JPEG are the same", str(Imagenette(imagenette).missing()))


def bytes_as_name(folder: Path) -> None:
    (folder / os.fsdecode(b"b\xff.JPEG")).write_bytes(trees.encoded(1))


def second_suffix(folder: Path) -> None:
    (folder / "n02102040_1.png").write_bytes(trees.encoded(217, 9))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (bytes_as_name, r"val/n02102040 holds a file whose name is no UTF-8, b'b\\xff\.JPEG'; rename it\."),
        (second_suffix, r"n02102040_1\.JPEG and n02102040/n02102040_1\.png, which have one name; remove one"),
    ],
)
def test_names_that_are_in_doubt_are_refused(change: Callable[[Path], None], message: str, imagenette: Path) -> None:
    change(imagenette / "imagenette2-160/val/n02102040")
    said = str(Imagenette(imagenette).missing())
    assert re.search(message, said) and said.encode()


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("skip.txt", "folder", r"skip\.txt cannot be read: Is a directory"),
        ("train", "file", r"imagenette2-160/train is no folder"),
        ("train", "link", r"imagenette2-160/train is no folder, or a link that leads nowhere"),
    ],
)
def test_what_has_the_name_of_a_part_or_a_list_is_one(name: str, kind: str, message: str, imagenette: Path) -> None:
    path = imagenette / "imagenette2-160" / name
    shutil.rmtree(path, ignore_errors=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("gone")
    else:
        path.touch()
    assert re.search(message, str(Imagenette(imagenette).missing()))


def of_timm(image: Image.Image) -> Any:
    """timm's evaluation transform for a crop of 0.95 at 224 pixels, bicubic (timm.data.create_transform)."""
    chain = transforms.Compose([
        transforms.Resize(235, interpolation=InterpolationMode.BICUBIC), transforms.CenterCrop(224),
        transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])  # fmt: skip
    return chain(image)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    ("preprocessing", "theirs"),
    [
        (Preprocessing.of(ResNet50_Weights.IMAGENET1K_V1), ResNet50_Weights.IMAGENET1K_V1.transforms()),
        (Preprocessing.of(ResNet50_Weights.IMAGENET1K_V2), ResNet50_Weights.IMAGENET1K_V2.transforms()),
        (Preprocessing(int(224 / 0.95), 224, "bicubic"), of_timm),
    ],
    ids=["V1", "V2", "timm"],
)
def test_pixels_are_those_of_the_publishers_transform(
    preprocessing: Preprocessing, theirs: Callable[[Any], Any], mode: str, imagenette: Path
) -> None:
    """Also of the few files that are CMYK: as torchvision's loader, Pillow makes RGB of them."""
    path = imagenette / "imagenette2-160/val/n01440764/n01440764_0.JPEG"
    photograph(path, mode)
    task = Imagenette(imagenette).seen_through(preprocessing)
    image, label = task.split("test")[0]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (task.mean, task.std))
    assert torch.equal((image.float() / 255 - mean) / std, theirs(default_loader(str(path))))
    assert int(label) == 0 and image.shape == task.input_shape == (3, 224, 224)
    assert task.provenance()["preprocessing"].startswith(f"shorter side {preprocessing.resize} ")


def test_each_network_sees_the_task_in_its_own_way(imagenette: Path) -> None:
    task = Imagenette(imagenette)
    other = task.seen_through(Preprocessing(235, 224, "bicubic"))
    assert task.preprocessing == Preprocessing(256, 224) and other.digest() != task.digest()
    assert task.seen_through(Preprocessing(256, 224)).digest() == task.digest()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_truncated_image_can_be_left_out(threads: int, imagenette: Path) -> None:
    """With two threads other processes read; their error arrives as it was."""
    path = imagenette / "imagenette2-160/val/n02102040/n02102040_1.JPEG"
    photograph(path)
    path.write_bytes(path.read_bytes()[:500])
    before = Imagenette(imagenette).digest()
    torch.set_num_threads(threads)
    with pytest.raises(
        InvalidInput, match=r"^The image .*JPEG is not a readable .* write val/n02102040/n02102040_1 on"
    ):
        list(Imagenette(imagenette).test(4))
    (imagenette / "imagenette2-160/skip.txt").write_text("val/n02102040/n02102040_1\nval/nothing\n")
    task = Imagenette(imagenette)
    torch.set_num_threads(1)
    assert agree(task) == 19 and task.digest() != before
    assert list(task.departures().values()) == [1, 1, 19]


def test_the_digest_holds_every_byte_of_the_test(imagenette: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the split is larger than the sample that is read of the others, and a change keeps a file's size."""
    monkeypatch.setattr("tasks.images.imagenet.HASHED", 1)
    digests = {Imagenette(imagenette).digest()}
    paths = sorted((imagenette / "imagenette2-160/val").rglob("*.JPEG"))
    for path in paths:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        digests.add(Imagenette(imagenette).digest())
    assert len(digests) == 1 + len(paths)


@pytest.mark.parametrize("kind", ["dangling link", "folder"])
def test_the_digest_names_what_cannot_be_read(kind: str, imagenette: Path) -> None:
    path = imagenette / "imagenette2-160/val/n02102040/n02102040_1.JPEG"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path.with_name("gone"))
    with pytest.raises(InvalidInput, match=r"^The image .* cannot be read .* write val/n02102040/n02102040_1 on"):
        Imagenette(imagenette).digest()


def test_a_parquet_file_that_is_damaged_in_its_images_is_named(tmp_path: Path) -> None:
    """Its labels can be read, so that only reading an image shows the damage."""
    trees.parquet(tmp_path / "imagenet", "validation", LABELS, files=1)
    path = tmp_path / "imagenet/data/validation-00000-of-00001.parquet"
    group = pyarrow.parquet.ParquetFile(path).metadata.row_group(0)
    column = group.column(0)
    assert column.path_in_schema == "image.bytes"
    content = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)
    task = ImageNet(tmp_path)
    assert task.missing() is None
    message = r"^Column image of the file .*00000-of-00001\.parquet cannot be read .* write validation/\d+ on"
    for read in (task.digest, lambda: list(task.test(4))):
        with pytest.raises(InvalidInput, match=message):
            read()


def test_processes_give_what_one_gives(imagenette: Path) -> None:
    alone = list(Imagenette(imagenette).test(3, 17))
    torch.set_num_threads(2)
    together = list(Imagenette(imagenette).test(3, 17))
    torch.set_num_threads(1)
    assert [len(batch.targets) for batch in together] == [3, 3, 3, 3, 3, 2]
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets)


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("change", ["content", "name", "absence"])
def test_the_digest_changes_with_the_data(part: str, change: str, imagenette: Path) -> None:
    before = Imagenette(imagenette).digest()
    assert Imagenette(imagenette).digest() == before
    path = imagenette / f"imagenette2-160/{part}/n02979186/n02979186_{2 if part == 'train' else 1}.JPEG"
    if change == "content":
        file = io.BytesIO()
        Image.new("RGB", (8, 8), (1, 226, 77)).save(file, "PNG")
        path.write_bytes(file.getvalue())
    elif change == "name":
        path.rename(path.with_stem("n02979186_99"))
    else:
        path.unlink()
    assert Imagenette(imagenette).digest() != before


@pytest.mark.parametrize(
    ("value", "n", "doubtful"), [(0.1, 1000, True), (0.0, 200, True), (0.0, 199, False), (1.0, 1000, False)]
)
def test_a_score_by_chance_is_said_to_be_one(value: float, n: int, doubtful: bool, imagenette: Path) -> None:
    doubt = Imagenette(imagenette).doubt({"accuracy": MetricValue(value, 0, 5, n)})
    assert (doubt is not None) == doubtful
    assert doubt is None or "labels are in another order" in doubt
