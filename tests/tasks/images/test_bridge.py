"""Datasets of torchvision, folders of classes and files of Hugging Face as tasks: each through one conversion."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import scipy.io
import torch
from PIL import Image
from torchvision import datasets
from torchvision.models import ResNet18_Weights

from conversion.errors import DataMissing, InvalidInput
from tasks.images.bridge import ImageFolderTask, TorchvisionTask
from tasks.images.files import decoded
from tasks.images.hugging_face import HuggingFaceTask
from tests.tasks.bridged import classifier, converted

SPLITS = ("train", "validation", "test")
noise = np.random.default_rng(0)


def photograph(path: Path, width: int = 40, height: int = 30, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode).save(path)


class Flowers(TorchvisionTask):
    name = "flowers"
    dataset = datasets.Flowers102
    classes = tuple(str(number) for number in range(102))
    weights = ResNet18_Weights.IMAGENET1K_V1


class Pets(TorchvisionTask):
    name = "pets"
    dataset = datasets.OxfordIIITPet
    classes = ("abyssinian", "bengal")
    input_shape = (3, 16, 16)
    splits = {"train": {"split": "trainval"}, "test": {"split": "test"}}  # noqa: RUF012


class Fake(TorchvisionTask):
    name = "fake"
    dataset = datasets.FakeData
    options = {"size": 60, "image_size": (3, 20, 24), "num_classes": 3}  # noqa: RUF012
    classes = ("a", "b", "c")
    input_shape = (3, 16, 16)


class Photographs(ImageFolderTask):
    name = "photographs"
    folders = ("photographs",)
    classes = ("cat", "dog")
    input_shape = (3, 24, 24)


class Rows(HuggingFaceTask):
    name = "rows"
    folders = ("rows",)
    classes = ("cat", "dog")
    input_shape = (3, 24, 24)


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """Flowers102 as torchvision unpacks it: 12 images to train, 4 to validate and 6 to test on."""
    base = tmp_path / "flowers-102"
    for number in range(1, 23):
        photograph(base / f"jpg/image_{number:05}.jpg", 300 + number, 260)
    ids = np.arange(1, 23)
    scipy.io.savemat(base / "setid.mat", {"trnid": ids[:12], "valid": ids[12:16], "tstid": ids[16:]})
    scipy.io.savemat(base / "imagelabels.mat", {"labels": 1 + ids % 102})
    return tmp_path


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision compares the MD5 of files with the published ones."""
    monkeypatch.setattr(datasets.Flowers102, "_check_integrity", lambda self: self._images_folder.is_dir())


@pytest.mark.slow
def test_a_dataset_of_torchvision(flowers: Path) -> None:
    task = Flowers(flowers)
    assert task.missing() is None
    assert [len(task.listed(split)) for split in SPLITS] == [12, 4, 6]  # type: ignore[arg-type]
    assert task.input_shape == (3, 224, 224)
    assert converted(task, classifier(3, 102)) == 6


def test_networks_see_what_the_transforms_of_the_weights_make(flowers: Path) -> None:
    task, theirs = Flowers(flowers), datasets.Flowers102(str(flowers), split="test")
    transforms = ResNet18_Weights.IMAGENET1K_V1.transforms()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (task.mean, task.std))
    for index in range(2):
        image, label = task.split("test")[index]
        assert image.dtype == torch.uint8
        assert torch.equal((image.float() / 255 - mean) / std, transforms(theirs[index][0]))
        assert int(label) == theirs[index][1]


def test_a_dataset_that_is_not_there_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.Flowers102, "download", lambda self: pytest.fail("It was downloaded."))
    with pytest.raises(DataMissing, match=r"Flowers102 is not in .*, nor downloaded: .*\. Expected layout:"):
        Flowers(tmp_path).split("test")
    assert list(tmp_path.iterdir()) == []


def test_a_split_that_there_is_not_is_named(tmp_path: Path) -> None:
    class Wrong(Pets):
        name = "wrong"
        splits: ClassVar[Any] = None

    photograph(tmp_path / "oxford-iiit-pet/images/a_1.jpg")
    (tmp_path / "oxford-iiit-pet/annotations").mkdir()
    with pytest.raises(InvalidInput, match=r"cannot be opened with \(split='train'\).* `splits` of task wrong"):
        Wrong(tmp_path).split("test")


def test_a_dataset_with_splits_of_other_names(tmp_path: Path) -> None:
    """There is no validation split: a tenth of every class is cut off, by the labels that torchvision keeps."""
    for part, count in (("trainval", 20), ("test", 6)):
        for number in range(count):
            photograph(tmp_path / f"oxford-iiit-pet/images/{part}_{number}.jpg", mode="L")
        lines = [f"{part}_{number} {1 + number % 2} 1 1" for number in range(count)]
        folder = tmp_path / "oxford-iiit-pet/annotations"
        folder.mkdir(exist_ok=True)
        (folder / f"{part}.txt").write_text("\n".join(lines))
    task = Pets(tmp_path)
    assert [len(task.listed(split)) for split in SPLITS] == [18, 2, 6]  # type: ignore[arg-type]
    assert [task.label(item) for item in task.listed("validation")] in ([0, 1], [1, 0])
    assert task.split("test")[0][0].shape == (3, 16, 16)
    assert converted(task, classifier(3, 2)) == 6


def test_a_dataset_without_splits(tmp_path: Path) -> None:
    """A fifth is the test split, a tenth of the rest validates; FakeData has no folder."""
    task = Fake(tmp_path)
    assert [len(task.listed(split)) for split in SPLITS] == [43, 5, 12]  # type: ignore[arg-type]
    assert len({item.index for split in SPLITS for item in task.listed(split)}) == 60  # type: ignore[arg-type]
    assert task.digest() == Fake(tmp_path).digest()
    assert converted(task, classifier(3, 3)) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"num_classes": 9},
            r"A target of task other is (tensor\()?\d\)?; .* one of its 3 classes.* write train/\d",
        ),
        ({"transform": lambda image: 0}, "task other gives int where an image of Pillow belongs"),
        ({"transform": lambda image: 1 / 0}, r"Sample train/\d+ of task other cannot be read: division by zero"),
    ],
)
def test_what_a_dataset_gives_is_checked(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    about = {"name": "other", "options": Fake.options | options, "dataset": datasets.FakeData}
    with pytest.raises(InvalidInput, match=message):
        list(type("Other", (Fake,), about)(tmp_path).test(60))


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for part, count in (("train", 10), ("test", 3)):
        for name in ("cat", "dog"):
            for number in range(count):
                suffix, mode = (("jpg", "RGB"), ("png", "P"), ("JPEG", "L"))[number % 3]
                photograph(tmp_path / f"photographs/{part}/{name}/{number}.{suffix}", 24 + 5 * number, 40, mode)
    return tmp_path


def test_a_folder_of_classes(photographs: Path) -> None:
    task = Photographs(photographs)
    assert task.missing() is None
    theirs = datasets.ImageFolder(str(photographs / "photographs/test"))
    assert [(str(file.path), file.label) for file in task.listed("test")] == theirs.samples
    assert [len(task.listed(split)) for split in SPLITS] == [18, 2, 6]  # type: ignore[arg-type]
    assert converted(task, classifier(3, 2)) == 6


def test_an_image_as_large_as_the_input_stays_as_it_is(photographs: Path) -> None:
    path = photographs / "photographs/test/cat/0.jpg"
    path.unlink()
    photograph(path.with_suffix(".png"), 24, 24)
    expected = torch.from_numpy(np.array(Image.open(path.with_suffix(".png")))).permute(2, 0, 1)
    assert torch.equal(Photographs(photographs).split("test")[0][0], expected)


def test_a_damaged_image_of_a_folder_can_be_left_out(photographs: Path) -> None:
    path = photographs / "photographs/test/dog/1.png"
    path.write_bytes(path.read_bytes()[:60])
    before = Photographs(photographs).digest()
    with pytest.raises(InvalidInput, match=r"1\.png is not a readable JPEG or PNG file.* write test/dog/1 on a line"):
        list(Photographs(photographs).test(4))
    (photographs / "photographs/skip.txt").write_text("test/dog/1\n")
    task = Photographs(photographs)
    assert sum(len(batch.targets) for batch in task.test(4)) == 5
    assert task.departures() == {"images on skip.txt": 1} and task.digest() != before
    (photographs / "photographs/skip.txt").write_text("\n".join(f"test/dog/{number}" for number in range(3)))
    assert "skip.txt leaves no image in the test split" in str(Photographs(photographs).missing())


def test_a_class_without_images_is_named(photographs: Path) -> None:
    for path in (photographs / "photographs/test/dog").iterdir():
        path.unlink()
    assert str(Photographs(photographs).missing()).endswith("test/dog holds no JPEG or PNG image.")
    (photographs / "photographs/test/dog").rmdir()
    assert "test/dog is not there" in str(Photographs(photographs).missing())


def encoded(seed: int) -> dict[str, Any]:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 28, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def table(first: int, count: int) -> pa.Table:
    labels = [number % 2 for number in range(count)]
    return pa.table({"image": [encoded(first + number) for number in range(count)], "label": labels})


def parquet(root: Path) -> None:
    """Writes a dataset as on the hub, in two files of two groups of rows."""
    (root / "rows/data").mkdir(parents=True)
    for name, first, count in (("train-00000-of-00002", 0, 12), ("train-00001-of-00002", 12, 8), ("test-0", 50, 6)):
        pyarrow.parquet.write_table(table(first, count), root / f"rows/data/{name}.parquet", row_group_size=7)


def arrow(root: Path) -> None:
    """Writes a dataset as `save_to_disk` does."""
    for name, first, count in (("train/data-00000-of-00001", 0, 20), ("test/data-00000-of-00001", 50, 6)):
        path = root / f"rows/{name}.arrow"
        path.parent.mkdir(parents=True)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table(first, count).schema) as writer:
            writer.write_table(table(first, count))
    (root / "rows/dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))


def written_by_datasets(root: Path) -> None:
    library = pytest.importorskip("datasets")
    features = library.Features({"image": library.Image(), "label": library.ClassLabel(names=["cat", "dog"])})
    parts = {
        name: library.Dataset.from_dict(table(first, count).to_pydict(), features=features)
        for name, first, count in (("train", 0, 20), ("test", 50, 6))
    }
    library.DatasetDict(parts).save_to_disk(str(root / "rows"))


@pytest.mark.parametrize("write", [parquet, arrow, written_by_datasets])
def test_a_folder_of_hugging_face(write: Any, tmp_path: Path) -> None:
    write(tmp_path)
    task = Rows(tmp_path)
    assert task.missing() is None
    assert [len(task.listed(split)) for split in SPLITS] == [18, 2, 6]  # type: ignore[arg-type]
    theirs = Image.open(io.BytesIO(encoded(51)["bytes"])).convert("RGB")
    image, label = task.split("test")[1]
    assert torch.equal(image, task.sized(theirs)) and int(label) == 1
    assert task.digest() == Rows(tmp_path).digest()
    assert converted(task, classifier(3, 2)) == 6


def test_a_column_that_there_is_not_is_named(tmp_path: Path) -> None:
    parquet(tmp_path)

    class Wrong(Rows):
        label_column = "fine_label"

    with pytest.raises(InvalidInput, match=r"train-0\S*\.parquet has no column fine_label; it has image, label"):
        Wrong(tmp_path).split("test")


def test_a_part_that_there_is_not_is_named(tmp_path: Path) -> None:
    parquet(tmp_path)
    (tmp_path / "rows/data/test-0.parquet").unlink()
    with pytest.raises(DataMissing, match="holds no Parquet or Arrow file of the split test"):
        Rows(tmp_path).split("train")


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_damaged_file_is_named(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / f"rows/train-0.{suffix}").write_bytes(b"no table")
    with pytest.raises(InvalidInput, match=rf"train-0\.{suffix} is not readable"):
        Rows(tmp_path).split("train")


def test_a_row_without_an_image_is_named(tmp_path: Path) -> None:
    parquet(tmp_path)
    rows = table(50, 3).to_pylist()
    rows[1]["image"] = {"bytes": None, "path": "cat.png"}
    rows[2]["image"] = {"bytes": b"no image", "path": None}
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "rows/data/test-0.parquet")
    split = Rows(tmp_path).split("test")
    with pytest.raises(InvalidInput, match=r"Row 1 of .* keeps no image in image; .* write test/1 on a line"):
        split[1]
    with pytest.raises(InvalidInput, match=r"The image in row 2 of .* is not a readable"):
        split[2]


def test_what_the_library_caches_is_passed_over(tmp_path: Path) -> None:
    arrow(tmp_path)
    path = tmp_path / "rows/train/data-00000-of-00001.arrow"
    path.with_name("cache-1234.arrow").write_bytes(path.read_bytes())
    assert [len(Rows(tmp_path).listed(split)) for split in SPLITS] == [18, 2, 6]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["train/test-0.parquet", "test/train-1.parquet", "train/validation-0.parquet"])
def test_a_file_of_two_parts_is_refused(name: str, tmp_path: Path) -> None:
    parquet(tmp_path)
    path = tmp_path / "rows/data" / name
    path.parent.mkdir()
    path.write_bytes((tmp_path / "rows/data/test-0.parquet").read_bytes())
    with pytest.raises(InvalidInput, match=rf"The file .*{name} is of the parts \w+ and \w+ by its name and folder"):
        Rows(tmp_path).split("train")


def test_the_same_rows_are_of_one_split(tmp_path: Path) -> None:
    parquet(tmp_path)
    task = type("Wrong", (Rows,), {"parts": {"train": "train", "validation": "test", "test": "test"}})(tmp_path)
    with pytest.raises(InvalidInput, match="lists image test/0 twice, in the validation and the test split"):
        task.split("test")


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"parts": {"test": "test"}}, "Task photographs has no train split, but test"),
        ({"parts": {"train": "train", "test": "train"}}, "lists image train/cat/0 twice, in the train and the test"),
        ({"parts": {"train": "train", "val": "test"}}, "a split called 'val'; the splits of a task are train, valid"),
        ({"class_folders": ("cat",)}, "has 2 classes and 1 class_folders; name the folder of every class"),
        ({"class_folders": ("cat", "cat")}, "lists image train/cat/0 twice"),
    ],
)
def test_parts_and_folders_are_checked(about: dict[str, Any], message: str, photographs: Path) -> None:
    for part in ("train", "test"):
        if about.get("class_folders") == ("cat", "cat"):
            shutil.rmtree(photographs / "photographs" / part / "dog")
    with pytest.raises(InvalidInput, match=message):
        type("Wrong", (Photographs,), about)(photographs).split("test")


@pytest.mark.parametrize("shape", [None, (24, 24), (2, 24, 24), (4, 24, 24), (3, 0, 24), [3, 24, 24], 24])
def test_the_shape_of_the_input_is_that_of_an_image(shape: Any, tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"The input_shape of task photographs is .*; set it to \(3, height, width\)"
    ):
        type("Wrong", (Photographs,), {"input_shape": shape})(tmp_path)


def test_a_task_without_the_shape_of_the_input_is_refused(tmp_path: Path) -> None:
    about = {"name": "unsized", "classes": ("cat", "dog")}
    with pytest.raises(InvalidInput, match="The input_shape of task unsized is None; set it to"):
        type("Unsized", (ImageFolderTask,), about)(tmp_path)


def test_grey_of_16_bits_is_scaled(photographs: Path) -> None:
    path = photographs / "photographs/test/cat/0.jpg"
    path.unlink()
    values = np.linspace(0, 65535, 24 * 24).astype(np.uint16).reshape(24, 24)
    Image.fromarray(values).save(path.with_suffix(".png"))
    image, _ = Photographs(photographs).split("test")[0]
    assert torch.equal(image, torch.from_numpy(np.round(values / 257).astype(np.uint8)).expand(3, 24, 24))
    assert np.array_equal(np.array(decoded(path.with_suffix(".png")))[..., 0], image[0])


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_of_an_unknown_range_are_refused(mode: str, tmp_path: Path) -> None:
    about = {"options": Fake.options | {"transform": lambda image: image.convert("L").convert(mode)}}
    with pytest.raises(InvalidInput, match=rf"an image of task fake are of Pillow's mode {mode}, .* write train/\d"):
        list(type("Wrong", (Fake,), about)(tmp_path).test(60))


def test_an_image_too_large_to_decode_is_named(photographs: Path) -> None:
    path = photographs / "photographs/test/dog/1.png"
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(InvalidInput, match=r"1\.png is twice as large .* or set ACB_MAX_PIXELS to more.*test/dog/1"):
        list(Photographs(photographs).test(4))
