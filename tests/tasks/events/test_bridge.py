"""Datasets of tonic as tasks, through one conversion."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tonic
import torch
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks.events.bridge import TonicTask
from tasks.events.encoding import EventFrames, Sensor, VoxelGrid
from tests.tasks.bridged import classifier, converted
from tests.tasks.events import recorded

SPLITS = ("train", "validation", "test")
SENSOR = Sensor(12, 10)


class Strokes(tonic.Dataset):
    """Forty recordings of two classes to train on, eight to test on, made by seeds; times are whole microseconds."""

    sensor_size = (12, 10, 2)

    def __init__(self, save_to: str, train: bool = True, fields: str = "txyp", transform: Any = None) -> None:
        super().__init__(save_to, transform=transform)
        if not Path(save_to).is_dir():
            self.download()
        self.fields, self.first = fields, 0 if train else 1000
        self.targets = [number % 2 for number in range(40 if train else 8)]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        events = recorded.drawn(SENSOR, 60, seed=self.first + index)[list(self.fields)]
        return (self.transform(events) if self.transform else events), self.targets[index]


class OfStrokes(TonicTask):
    name = "strokes"
    dataset = Strokes
    classes = ("up", "down")
    sensor = SENSOR
    encoding = VoxelGrid(4)


class Digits(TonicTask):
    name = "digits_of_tonic"
    dataset = "tonic.datasets.NMNIST"
    classes = tuple("0123456789")
    sensor = Sensor(34, 34)
    encoding = EventFrames(5)


def counts(inputs: Tensor) -> Tensor:
    return inputs.float()


def frames(inputs: Tensor) -> Tensor:
    return inputs.float().sum(1)


def test_a_dataset_of_tonic(tmp_path: Path) -> None:
    task = OfStrokes(tmp_path)
    assert task.missing() is None and task.input_shape == (8, 10, 12)
    assert [len(task.listed(split)) for split in SPLITS] == [36, 4, 8]  # type: ignore[arg-type]
    encoded, label = task.split("test")[3]
    assert (int(encoded.sum()), int(label)) == (60, 1)
    assert torch.equal(encoded, task.read(task.listed("test")[3])[0])
    assert task.digest() == OfStrokes(tmp_path).digest()
    assert converted(task, classifier(8, 2), counts) == 8


def test_nmnist_as_tonic_unpacks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reader wants 10,000 recordings; here are 10 and 1 of every digit."""
    monkeypatch.setattr(tonic.datasets.NMNIST, "_check_exists", lambda self: Path(self.location_on_system).is_dir())
    for part, count in (("Train", 10), ("Test", 1)):
        for digit in range(10):
            for number in range(count):
                events = recorded.drawn(Sensor(34, 34), 200, seed=100 * digit + number + 50 * (part == "Test"))
                recorded.mnist_bin(tmp_path / f"NMNIST/{part}/{digit}/{number:05}.bin", events)
    task = Digits(tmp_path)
    assert [len(task.listed(split)) for split in SPLITS] == [90, 10, 10]  # type: ignore[arg-type]
    assert task.split("test").labels.tolist() == list(range(10))
    theirs = tonic.datasets.NMNIST(str(tmp_path), train=False)[4][0]
    ours = task.events(task.listed("test")[4])
    assert all(np.array_equal(ours[name], theirs[name]) for name in "txyp")
    assert converted(task, classifier(2, 10), frames) == 10


def test_a_dataset_that_is_not_there_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tonic.Dataset, "download", lambda self: pytest.fail("It was downloaded."))
    with pytest.raises(DataMissing, match=r"NMNIST is not in .*, nor downloaded: .*Expected layout: .*NMNIST"):
        Digits(tmp_path).split("test")
    assert list(tmp_path.iterdir()) == []


def test_without_tonic_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any) -> Any:
        if name.startswith("tonic"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", absent)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tonic"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InvalidInput, match=r"needs tonic, which is not installed: pip install -e '\.\[events\]'"):
        Digits(tmp_path).missing()


def test_a_dataset_that_tonic_has_not(tmp_path: Path) -> None:
    about = {"name": "wrong", "dataset": "tonic.datasets.NMIST"}
    with pytest.raises(InvalidInput, match=r"tonic\.datasets has no dataset NMIST"):
        type("Wrong", (Digits,), about)(tmp_path).missing()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": "txy"}, "test/0 of task strokes has no field p; events have x, y, t and p"),
        (
            {"transform": tonic.transforms.ToFrame((12, 10, 2), n_time_bins=2)},
            "no field t and no x and no y and no p",
        ),
        ({"transform": lambda events: events[:0]}, "test/0 of task strokes holds no event"),
        ({"transform": lambda events: events[::-1]}, "runs backwards at event"),
    ],
)
def test_what_a_dataset_gives_is_checked(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    task = type("Wrong", (OfStrokes,), {"options": options})(tmp_path)
    with pytest.raises(InvalidInput, match=message) as error:
        task.split("test")
    assert f"write test/0 on a line of {tmp_path / 'skip.txt'}" in str(error.value).replace("/./", "/")


def with_field(name: str, values: Any) -> Any:
    """A transform that gives one field of the events other values, whatever their type."""

    def change(events: Any) -> Any:
        kept = {field: events[field] for field in events.dtype.names} | {name: np.resize(values, len(events))}
        found = np.empty(len(events), [(field, column.dtype) for field, column in kept.items()])
        for field, column in kept.items():
            found[field] = column
        return found

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_field("t", np.linspace(0, 1, 60)), r"has t = 0\.0\d+; t is in whole microseconds: .* seconds by 1e6"),
        (with_field("t", np.nan), "Event 0 of test/0 of task strokes has t = nan"),
        (with_field("t", np.inf), "has t = inf"),
        (with_field("t", np.uint64(2**63 + 5)), "has t = 9223372036854775813"),
        (with_field("x", np.nan), "has x = nan; x is in whole numbers"),
        (with_field("x", 2.7), r"has x = 2\.7; x is in whole numbers"),
        (with_field("x", 65539), "has an event at x = 65539; the sensor of 12x10"),
        (with_field("y", np.uint64(2**64 - 1)), "has y = 18446744073709551615"),
        (with_field("p", np.nan), "has p = nan"),
        (with_field("p", "on"), "The field p of test/0 of task strokes is <U2 of shape"),
        (lambda events: np.stack([events, events]), r"is an array of shape \(2, 60\); it should be \(events,\)"),
    ],
)
def test_events_are_whole_numbers_before_they_are_cast(change: Any, message: str, tmp_path: Path) -> None:
    task = type("Wrong", (OfStrokes,), {"options": {"transform": change}})(tmp_path)
    with pytest.raises(InvalidInput, match=message):
        task.split("test")


@pytest.mark.parametrize("kind", [np.float64, np.uint16, np.int32])
def test_whole_numbers_of_any_type_are_events(kind: type, tmp_path: Path) -> None:
    def cast(events: Any) -> Any:
        return events.astype([(name, np.float64 if name == "t" else kind) for name in "txyp"])

    expected, task = OfStrokes(tmp_path), type("Cast", (OfStrokes,), {"options": {"transform": cast}})(tmp_path)
    first, second = expected.listed("test")[0], task.listed("test")[0]
    assert np.array_equal(task.events(second), expected.events(first))


def test_a_pixel_off_the_sensor_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"test/\d of task strokes has an event at x = \d+; the sensor of 4x10"):
        type("Wrong", (OfStrokes,), {"sensor": Sensor(4, 10)})(tmp_path).split("test")
