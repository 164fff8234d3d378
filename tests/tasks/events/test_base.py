"""Event tasks on small datasets in true byte formats: layouts, splits, the cache, and what the user leaves out."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks import TASKS
from tasks.base import Split
from tasks.events import cache
from tasks.events.base import EventTask, RecordedEvents
from tasks.events.cache import CellStore, stored_cells, write_cells
from tasks.events.encoding import Cells, Sensor, dense
from tests.tasks.events import recorded

DATASETS: dict[str, Callable[[Path], Path]] = {
    "nmnist": recorded.nmnist,
    "ncars": recorded.ncars,
    "cifar10dvs": recorded.cifar10dvs,
    "action_recognition": recorded.action_recognition,
    "ncaltech101": recorded.ncaltech101,
    "dvsgesture": recorded.dvsgesture,
}
EVERY = pytest.mark.parametrize("name", DATASETS)
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("events")
    for write in DATASETS.values():
        write(root)
    return root


def task(name: str, root: Path) -> RecordedEvents:
    found = TASKS[name](root)
    assert isinstance(found, RecordedEvents)
    return found


def inputs(split: str, of: RecordedEvents) -> Tensor:
    data = of.split(split)  # type: ignore[arg-type]
    return torch.stack([sample for sample, _ in data.__getitems__(list(range(len(data))))])


@EVERY
def test_sensors_have_their_size(name: str) -> None:
    """Sensors are those of the datasets' papers; a voxel grid is 9 bins by 2 polarities, frames are 16 by 2."""
    width, height = {
        "nmnist": (34, 34), "ncars": (120, 100), "cifar10dvs": (128, 128), "action_recognition": (346, 260),
        "ncaltech101": (240, 180), "dvsgesture": (128, 128),
    }[name]  # fmt: skip
    assert TASKS[name].input_shape == (18, height, width)
    assert TASKS[f"{name}_temporal"].input_shape == TASKS[f"{name}_toframe"].input_shape == (16, 2, height, width)
    assert TASKS[f"{name}_tovoxelgrid"].input_shape == (9, height, width)


@pytest.mark.slow
@EVERY
def test_every_event_of_a_file_is_in_its_sample(name: str, data: Path) -> None:
    of = task(name, data)
    for split in SPLITS:
        counts = [len(of.events(recording)) for recording in of.listed(split)]
        assert inputs(split, of).flatten(1).sum(1).tolist() == counts


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("nmnist", (50, 10, 20)),  # A tenth of 6 is 1.
        ("ncars", (36, 4, 12)),
        ("cifar10dvs", (90, 10, 20)),  # 90 % of 12 are 10.
        ("action_recognition", (50, 10, 20)),  # A fifth of 8 is 2.
        ("ncaltech101", (101, 101, 101)),
        ("dvsgesture", (55, 11, 22)),
    ],
)
def test_splits_are_cut_by_class(name: str, sizes: tuple[int, int, int], data: Path) -> None:
    of = task(name, data)
    assert tuple(len(of.split(split)) for split in SPLITS) == sizes
    labels = [of.split(split).labels for split in SPLITS]
    assert all(len(set(part.bincount(minlength=len(of.classes)).tolist())) == 1 for part in labels)
    parts = [{(recording.path, recording.begin) for recording in of.listed(split)} for split in SPLITS]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_the_first_recordings_of_cifar10dvs_are_for_training(data: Path) -> None:
    """By number, not by name: of 0 to 11, 10 and 11 are the last two."""
    of = task("cifar10dvs", data)
    assert {int(r.path.stem.split("_")[-1]) for r in of.listed("test")} == {10, 11}


def test_cifar10dvs_is_read_in_both_published_forms(data: Path, tmp_path: Path) -> None:
    """The same events as AEDAT 2.0 and as AEDAT 4 are the same samples; two forms at once are refused."""
    published = task("cifar10dvs", data)
    repackaged = task("cifar10dvs", recorded.cifar10dvs(tmp_path, suffix=".aedat4"))
    assert {recording.path.suffix for recording in repackaged.listed("test")} == {".aedat4"}
    for split in SPLITS:
        assert torch.equal(inputs(split, published), inputs(split, repackaged))
    recorded.cifar10dvs(tmp_path, 1)
    with pytest.raises(DataMissing, match=r"holds \.aedat and \.aedat4 files, two forms of one dataset"):
        task("cifar10dvs", tmp_path).listed("test")


def test_the_header_of_a_recording_says_its_form(tmp_path: Path) -> None:
    """Whatever the suffix; a damaged one is named, with the advice how to leave it out."""
    base = recorded.cifar10dvs(tmp_path, suffix=".aedat4") / "CIFAR10DVS"
    for path in base.glob("*/*.aedat4"):
        path.rename(path.with_suffix(".aedat"))
    of = task("cifar10dvs", tmp_path)
    assert len(of.events(of.listed("test")[0])) == 80
    damaged = of.listed("test")[0].path
    damaged.write_bytes(damaged.read_bytes()[:-7])
    with pytest.raises(InvalidInput, match=rf"{damaged.name} ends within a packet.* write .* of .*skip\.txt"):
        of.split("test")


def test_action_recognition_takes_folders_of_splits(tmp_path: Path) -> None:
    for part in ("train", "test"):
        recorded.action_recognition(tmp_path / part, 6)
        (tmp_path / part / "Action_Recognition").rename(tmp_path / f"of_{part}")
    base = tmp_path / "Action_Recognition"
    base.mkdir()
    for part in ("train", "test"):
        (tmp_path / f"of_{part}").rename(base / part)
    of = task("action_recognition", tmp_path)
    assert {r.path.parts[-3] for r in of.listed("test")} == {"test"} and len(of.listed("test")) == 60


def test_ncaltech101_takes_the_original(tmp_path: Path) -> None:
    for label, name in enumerate(TASKS["ncaltech101"].classes):
        for number in range(8):
            events = recorded.drawn(Sensor(240, 180), 12, seed=10 * label + number)
            recorded.mnist_bin(tmp_path / f"Caltech101/{name}/image_{number:04}.bin", events)
    of = task("ncaltech101", tmp_path)
    # A fifth of 8, then a tenth of 6, of every class.
    assert [len(of.listed(split)) for split in SPLITS] == [5 * 101, 101, 2 * 101]
    assert of.events(of.listed("test")[0])["t"][0] < 40


def test_gestures_are_cut_from_the_recordings(data: Path) -> None:
    """Each sample has the 50 events of its row of the table, its class being counted from 1 there."""
    of = task("dvsgesture", data)
    parts = of.listing()["test"]
    assert [part.label for part in parts[:11]] == list(range(11))
    for part in parts[:11]:
        user = int(part.path.stem[4:6])
        expected = recorded.drawn(of.sensor, 50, seed=100 * user + part.label, first=100_000 * (part.label + 1))
        assert np.array_equal(of.events(part), expected)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "has no row, and without one the recording has no sample"),
        ("class,startTime_usec,endTime_usec\n", "has no row, and without one"),
        ("class,startTime_usec,endTime_usec,class\n1,2,3,4\n", "line 1: a column is there twice"),
    ],
)
def test_a_table_of_gestures_that_hides_samples_is_refused(table: str, said: str, tmp_path: Path) -> None:
    path = recorded.dvsgesture(tmp_path) / "DVSGesture/DvsGesture/user24_fluorescent_labels.csv"
    path.write_text(table)
    with pytest.raises(InvalidInput, match=rf"user24_fluorescent_labels\.csv.* {said}"):
        task("dvsgesture", tmp_path).split("test")


def test_gestures_as_tonic_unpacks_them(tmp_path: Path) -> None:
    for folder, users in (("ibmGestureTrain", range(1, 12)), ("ibmGestureTest", range(24, 26))):
        for user in users:
            for label in range(11):
                events = recorded.drawn(Sensor(128, 128), 40, seed=user * 100 + label)
                events["t"] *= 1000
                rows = recorded.table(events, "xypt", microseconds=1000)
                recorded.npy(tmp_path / f"DVSGesture/{folder}/user{user:02}_led/{label}.npy", rows)
    of = task("dvsgesture", tmp_path)
    assert [len(of.split(split)) for split in SPLITS] == [110, 11, 22]
    assert of.split("test").labels[:11].tolist() == list(range(11))
    expected = recorded.drawn(Sensor(128, 128), 40, seed=2403)["t"] * 1000
    assert np.array_equal(of.events(of.listed("test")[3])["t"], expected)


@EVERY
def test_what_is_missing_is_said(name: str, data: Path, tmp_path: Path) -> None:
    assert task(name, data).missing() is None
    with pytest.raises(DataMissing, match="Expected layout"):
        task(name, tmp_path).split("test")
    assert task(name, tmp_path).missing() is not None and TASKS[name](None).missing() is not None


def test_too_few_recordings_to_validate_on_are_refused(tmp_path: Path) -> None:
    recorded.ncars(tmp_path, 2, 2)
    with pytest.raises(InvalidInput, match="The validation split of ncars holds no recording"):
        task("ncars", tmp_path).split("validation")


def test_a_missing_class_is_said(tmp_path: Path) -> None:
    recorded.ncars(tmp_path, 2, 2)
    folder = tmp_path / "Prophesee_Dataset_n_cars/n-cars_test/cars"
    for path in folder.iterdir():
        path.unlink()
    assert task("ncars", tmp_path).missing() == f"The folder {folder} holds no .dat file."
    folder.rmdir()
    assert task("ncars", tmp_path).missing() == f"There is no folder {folder}."


def test_a_damaged_recording_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    recorded.ncars(tmp_path, 12, 2)
    folder = tmp_path / "Prophesee_Dataset_n_cars"
    path = folder / "n-cars_test/cars/obj_000001_td.dat"
    path.write_bytes(path.read_bytes()[:-3])
    digest = task("ncars", tmp_path).digest()
    with pytest.raises(InvalidInput) as caught:
        task("ncars", tmp_path).split("test")
    assert str(path) in str(caught.value) and str(folder / "skip.txt") in str(caught.value)
    (folder / "skip.txt").write_text("n-cars_test/cars/obj_000001_td  # ends within an event\n")
    of = task("ncars", tmp_path)
    assert len(of.split("test")) == 3 and of.digest() != digest
    # Another recording of that name is in the training set, and stays.
    assert len(of.split("train")) + len(of.split("validation")) == 24


def test_what_cannot_be_encoded_is_named(tmp_path: Path) -> None:
    recorded.nmnist(tmp_path, 6, 1)
    path = tmp_path / "NMNIST/Test/3/00000.bin"
    recorded.mnist_bin(path, recorded.drawn(Sensor(34, 34), 1, seed=0))
    assert len(task("nmnist", tmp_path).split("test")) == 10
    with pytest.raises(InvalidInput, match="Test/3/00000 on a line of"):
        task("nmnist_tovoxelgrid", tmp_path).split("test")


def test_the_cache_is_used_and_made_anew_when_a_recording_changes(tmp_path: Path) -> None:
    recorded.nmnist(tmp_path, 6, 1)
    first = inputs("test", task("nmnist", tmp_path))
    (cached,) = (tmp_path / ".cache/events").glob("nmnist-test-*.arrow")
    inode = cached.stat().st_ino
    assert torch.equal(inputs("test", task("nmnist", tmp_path)), first) and cached.stat().st_ino == inode
    # Other encodings and splits have files of their own.
    inputs("test", task("nmnist_temporal", tmp_path))
    assert len(list((tmp_path / ".cache/events").iterdir())) == 2
    recorded.mnist_bin(tmp_path / "NMNIST/Test/0/00000.bin", recorded.drawn(Sensor(34, 34), 77, seed=99))
    again = inputs("test", task("nmnist", tmp_path))
    assert again[0].sum() == 77 and torch.equal(again[1:], first[1:])


def test_without_write_access_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded.nmnist(tmp_path / "data", 6, 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "data" and allowed(path, mode))
    inputs("test", task("nmnist", tmp_path / "data"))
    assert not (tmp_path / "data/.cache").exists() and any((tmp_path / "home").rglob("*.arrow"))


def cells(*samples: dict[int, float]) -> list[Cells]:
    """Cells from values by index; all values are integers, or none."""
    kind = np.int64 if all(isinstance(value, int) for sample in samples for value in sample.values()) else np.float64
    return [
        Cells(np.array(sorted(sample), np.int64), np.array([sample[index] for index in sorted(sample)], kind))
        for sample in samples
    ]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([1, 255], torch.uint8), ([1, 256], torch.int16), ([40_000, 2], torch.int32), ([0.5, -1.0], torch.float32)],
)
def test_the_cache_takes_the_smallest_exact_type(values: list[float], dtype: torch.dtype, tmp_path: Path) -> None:
    store = CellStore(write_cells(tmp_path, "some", cells({0: values[0]}, {}, {1: values[0], 5: values[1]})), (2, 3))
    assert len(store) == 3 and store.dtype == dtype
    expected = [[values[0], 0, 0, 0, 0, 0], [0] * 6, [0, values[0], 0, 0, 0, values[1]]]
    assert torch.equal(store.read([0, 1, 2]).flatten(1), torch.tensor(expected, dtype=dtype))
    assert torch.equal(store.read([2, 0]), store.read([0, 1, 2])[[2, 0]])


def test_counts_are_never_clipped(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="counts 2147483648 events"):
        write_cells(tmp_path, "some", cells({0: 2**31}))
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_was_interrupted_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> object:
        yield from cells({0: 1})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cells(tmp_path, "some", interrupted())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def random_cells(count: int) -> list[Cells]:
    generator = np.random.default_rng(0)
    return [
        Cells(np.sort(generator.choice(600, 40, replace=False)), generator.integers(1, 200, 40)) for _ in range(count)
    ]


def test_batches_of_recordings_are_one_row_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = random_cells(7)
    whole = CellStore(write_cells(tmp_path, "whole", samples), (600,)).read(range(7))
    monkeypatch.setattr(cache, "BATCH", 100)
    assert torch.equal(CellStore(write_cells(tmp_path, "batches", samples), (600,)).read(range(7)), whole)
    assert torch.equal(whole, torch.stack([torch.from_numpy(dense(sample, (600,))) for sample in samples]))
    assert len(CellStore(write_cells(tmp_path, "none", []), (600,))) == 0


@pytest.mark.parametrize("content", [b"", b"something else entirely", b"ARROW1\0\0" + bytes(64) + b"ARROW1"])
def test_a_damaged_cache_is_said_and_made_again(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = stored_cells(tmp_path, "some", (600,), lambda: random_cells(3)).read(range(3))
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"damaged .*; delete it"):
        CellStore(path, (600,))
    assert torch.equal(stored_cells(tmp_path, "some", (600,), lambda: random_cells(3)).read(range(3)), made)
    assert capsys.readouterr().err.endswith("changed after it was written); it is made again.\n")
    # Another digest that fits the content, as a damaged file never has one.
    path.rename(named := tmp_path / f"some-{hashlib.sha256(content).hexdigest()[:16]}.arrow")
    named.write_bytes(content)
    with pytest.raises(InvalidInput, match="damaged"):
        CellStore(named, (600,))


def test_one_flipped_bit_in_the_event_cache_c3(tmp_path: Path) -> None:
    path = write_cells(tmp_path, "some", random_cells(3))
    content = path.read_bytes()
    for bit in random.Random(0).sample(range(8 * len(content)), 40):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(InvalidInput, match="changed after it was written"):
            CellStore(path, (600,))


def test_recordings_of_another_name_are_not_taken_c3(tmp_path: Path) -> None:
    path = write_cells(tmp_path, "these", random_cells(3))
    other = path.rename(path.with_name(path.name.replace("these", "those")))
    with pytest.raises(InvalidInput, match="holds other recordings than its name says"):
        CellStore(other, (600,))
    assert stored_cells(tmp_path, "those", (600,), lambda: random_cells(2)).read([0]).shape == (1, 600)
    assert len(list(tmp_path.iterdir())) == 1


def test_recordings_that_were_used_longest_ago_make_room_c3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for age, name in ((300, "old"), (200, "new")):
        path = write_cells(tmp_path, name, random_cells(3))
        os.utime(path, (time.time() - age,) * 2)
    stored_cells(tmp_path, "old", (600,), lambda: [])  # It is there, and now the one that was used last.
    monkeypatch.setattr(cache, "LIMIT", 2 * path.stat().st_size + 100)
    stored_cells(tmp_path, "third", (600,), lambda: random_cells(3))
    assert sorted(found.name.partition("-")[0] for found in tmp_path.iterdir()) == ["old", "third"]


def test_every_dataset_has_every_encoding() -> None:
    names = {name for name in TASKS if issubclass(TASKS[name], EventTask)}
    suffixes = ("", "_temporal", "_toframe", "_tovoxelgrid")
    assert names == {name + suffix for name in (*DATASETS, "mini_events") for suffix in suffixes}
