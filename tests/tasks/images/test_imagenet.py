"""ImageNet and Imagenette as their networks see them: pixels, splits, digest, and what cannot be read."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets.folder import default_loader
from torchvision.models import ResNet50_Weights
from torchvision.transforms import InterpolationMode

from conversion.errors import InvalidInput
from tasks.base import MetricValue
from tasks.images.imagenet import ImageNet, Imagenette
from tasks.images.preprocessing import Preprocessing
from tests.tasks.images import imagenet_trees as trees
from tests.tasks.images.imagenet_trees import LABELS, agree

noise = np.random.default_rng(0)


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


def test_a_copy_of_the_test_images_under_other_names_is_refused(imagenette: Path) -> None:
    """The names say nothing; the bytes that the digest reads do."""
    root = imagenette / "imagenette2-160"
    for number, path in enumerate(sorted((root / "val").glob("*/*"))[::5]):
        shutil.copy(path, root / "train" / path.parent.name / f"photograph_{number}.JPEG")
    task = Imagenette(imagenette)
    assert task.missing() is None
    with pytest.raises(InvalidInput, match=r"4 of 44 training images of .*imagenette2-160 are test images under anoth"):
        task.digest()


def test_single_training_images_that_are_test_images_are_counted(
    imagenette: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = imagenette / "imagenette2-160"
    before = Imagenette(imagenette).digest()
    shutil.copy(root / "val/n02102040/n02102040_1.JPEG", root / "train/n02102040/other.JPEG")
    monkeypatch.setattr("tasks.images.imagenet.SHARED", 0.1)
    task = Imagenette(imagenette)
    assert task.digest() != before
    assert task.departures()["training images, of those that the digest reads, that are test images too"] == 1


def test_a_link_that_leads_nowhere_is_named_before_it_is_read(imagenette: Path) -> None:
    root = imagenette / "imagenette2-160"
    folder = root / "val/n02102040"
    (folder / "n02102040_7.JPEG").symlink_to(folder / "gone.JPEG")
    (folder / "n02102040_8.JPEG").symlink_to(folder / "n02102040_1.JPEG")
    (folder / "README").symlink_to(folder / "gone")
    said = str(Imagenette(imagenette).missing())
    assert said.startswith(f"{folder}/n02102040_7.JPEG is a link that leads nowhere; link it again, or unpack")
    assert said.endswith(f"To leave it out, write val/n02102040/n02102040_7 on a line of {root}/skip.txt.")
    (root / "skip.txt").write_text("val/n02102040/n02102040_7\n")
    assert Imagenette(imagenette).missing() is None
    shutil.move(folder, root / "elsewhere")
    folder.symlink_to(root / "gone")
    said = str(Imagenette(imagenette).missing())
    assert said == f"{folder} is a link that leads nowhere; link the class folder again."


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


@pytest.mark.parametrize("kind", ["gone since it was listed", "folder"])
def test_the_digest_names_what_cannot_be_read(kind: str, imagenette: Path) -> None:
    path = imagenette / "imagenette2-160/val/n02102040/n02102040_1.JPEG"
    task = Imagenette(imagenette)
    assert len(task.listing.parts["val"]) == 20
    path.unlink()
    if kind == "folder":
        path.mkdir()
    with pytest.raises(InvalidInput, match=r"^The image .* cannot be read .* write val/n02102040/n02102040_1 on"):
        task.digest()


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
