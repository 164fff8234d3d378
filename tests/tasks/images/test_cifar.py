"""CIFAR-10 and CIFAR-100 from the published archives' layout and from folders of PNG images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conversion.errors import DataMissing, InvalidInput
from tasks import TASKS
from tasks.images import cifar
from tasks.images.cifar import Cifar
from tests.tasks.images.stored import TEST, TRAIN, samples, unchecked, write_folders, write_native

NAMES = ("cifar10", "cifar100")


def task_class(name: str) -> type[Cifar]:
    found = TASKS[name]
    assert issubclass(found, Cifar)
    return found


def as_set(images: torch.Tensor) -> set[bytes]:
    return {bytes(image) for image in images.flatten(1).numpy()}


@pytest.fixture(params=["native", "folders"])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=NAMES)
def task(request: pytest.FixtureRequest, layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cifar:
    """Both tasks on both layouts, on a disk of its own."""
    found = task_class(request.param)
    if layout == "native":
        monkeypatch.setattr(found, "native", unchecked(found.native))
        write_native(tmp_path, found)
    else:
        write_folders(tmp_path, found)
    return found(tmp_path)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A data root with CIFAR-10 in folders."""
    write_folders(tmp_path, task_class("cifar10"))
    return tmp_path


@pytest.mark.slow
def test_pixels_and_labels_are_those_on_disk(task: Cifar) -> None:
    images, labels = samples(type(task), TEST, 2)
    batch = next(task.test(batch_size=10_000))
    assert torch.equal(batch.inputs, torch.from_numpy(images).permute(0, 3, 1, 2))
    assert batch.targets.tolist() == labels


@pytest.mark.slow
def test_train_and_validation_share_the_official_training_set(task: Cifar) -> None:
    train, validation, test = (task.split(name) for name in ("train", "validation", "test"))
    official = as_set(torch.from_numpy(samples(type(task), TRAIN, 1)[0]).permute(0, 3, 1, 2).contiguous())
    assert as_set(train.images) | as_set(validation.images) == official
    assert as_set(train.images).isdisjoint(as_set(validation.images))
    assert (as_set(train.images) | as_set(validation.images)).isdisjoint(as_set(test.images))


@pytest.mark.slow
def test_validation_is_a_tenth_of_every_class(task: Cifar) -> None:
    classes = len(task.classes)
    assert task.split("validation").labels.bincount().tolist() == [TRAIN // 10] * classes
    assert task.split("train").labels.bincount().tolist() == [TRAIN - TRAIN // 10] * classes


@pytest.mark.slow
def test_reading_again_gives_the_same_splits(task: Cifar) -> None:
    before = task.digest(), task.split("validation").images.clone()
    cifar._load.cache_clear()
    again = type(task)(task.data_root)
    assert again.digest() == before[0]
    assert torch.equal(again.split("validation").images, before[1])


def test_the_native_layout_is_tried_first(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = task_class("cifar10")
    monkeypatch.setattr(found, "native", unchecked(found.native))
    write_native(folders, found)
    (folders / "cifar10" / "test" / "cat" / "00006.png").write_bytes(b"never read")
    assert found(folders).test_size() == 10 * TEST


def test_native_files_that_are_not_the_published_ones_are_never_unpickled(tmp_path: Path) -> None:
    write_native(tmp_path, task_class("cifar10"))
    with pytest.raises(InvalidInput, match="MD5"):
        task_class("cifar10")(tmp_path).split("test")


def test_a_changed_pixel_changes_the_digest(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    found = task_class("cifar10")
    other = tmp_path_factory.mktemp("other")
    write_folders(other, found)
    path = other / "cifar10" / "test" / "cat" / "00006.png"
    image = np.array(Image.open(path))
    image[0, 0, 0] ^= 1
    Image.fromarray(image).save(path)
    assert found(folders).digest() != found(other).digest()


def test_hidden_and_foreign_files_are_passed_over(folders: Path) -> None:
    (folders / "cifar10" / "test" / ".cache").mkdir()
    (folders / "cifar10" / "test" / "cat" / "._00006.png").write_bytes(b"")
    (folders / "cifar10" / "test" / "cat" / "notes.txt").write_text("no image")
    assert task_class("cifar10")(folders).test_size() == 10 * TEST


@pytest.mark.parametrize("name", NAMES)
def test_class_names_are_the_official_ones_in_alphabetical_order(name: str) -> None:
    classes = task_class(name).classes
    assert len(set(classes)) == len(classes) == int(name.removeprefix("cifar"))
    assert list(classes) == sorted(classes)


class TestWhatIsMissing:
    def test_no_data_root(self) -> None:
        with pytest.raises(DataMissing, match="--data-root"):
            task_class("cifar10")().split("test")

    @pytest.mark.parametrize("name", NAMES)
    def test_an_empty_data_root_names_both_layouts(self, name: str, tmp_path: Path) -> None:
        found = task_class(name)
        gap = found(tmp_path).missing()
        assert gap is not None
        assert found.native.base_folder in gap and f"{name}/" in gap

    def test_an_incomplete_archive_names_the_file(self, tmp_path: Path) -> None:
        write_native(tmp_path, task_class("cifar10"))
        (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
        assert "data_batch_3" in str(task_class("cifar10")(tmp_path).missing())

    def test_a_missing_split_and_a_missing_class_are_named(self, folders: Path) -> None:
        task = task_class("cifar10")(folders)
        assert task.missing() is None
        (folders / "cifar10" / "train" / "frog").rename(folders / "frog")
        assert str(Path("train") / "frog") in str(task.missing())
        (folders / "cifar10" / "train").rename(folders / "gone")
        assert str(Path("cifar10") / "train") in str(task.missing())

    def test_a_foreign_class_name_is_named_with_the_likely_one(self, folders: Path) -> None:
        (folders / "cifar10" / "test" / "automobile").rename(folders / "cifar10" / "test" / "automobiles")
        with pytest.raises(DataMissing, match=r"automobiles is not named after a class; did you mean 'automobile'\?"):
            task_class("cifar10")(folders).split("test")

    def test_an_empty_class_folder_is_named(self, folders: Path) -> None:
        for path in (folders / "cifar10" / "test" / "ship").iterdir():
            path.unlink()
        with pytest.raises(DataMissing, match="ship holds no PNG"):
            task_class("cifar10")(folders).split("test")


class TestDamagedImages:
    @pytest.mark.parametrize("kept", [0, 10, 500])
    def test_a_truncated_file_is_named(self, kept: int, folders: Path) -> None:
        path = folders / "cifar10" / "train" / "dog" / "00100.png"
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(InvalidInput, match=r"dog.00100\.png is not a readable PNG"):
            task_class("cifar10")(folders).split("test")

    def test_a_flipped_byte_in_the_header_is_named(self, folders: Path) -> None:
        path = folders / "cifar10" / "train" / "dog" / "00100.png"
        content = bytearray(path.read_bytes())
        content[20] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match=r"00100\.png"):
            task_class("cifar10")(folders).split("test")

    def test_an_image_of_another_size_is_named_with_its_size(self, folders: Path) -> None:
        Image.new("RGB", (64, 48)).save(folders / "cifar10" / "train" / "dog" / "00100.png")
        with pytest.raises(InvalidInput, match=r"00100\.png is 64x48 .* must be 32x32"):
            task_class("cifar10")(folders).split("test")
