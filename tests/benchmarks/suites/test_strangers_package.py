"""A stranger's package brings tasks of four families; the networks that are here run on them without an edit."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import run_all
from adapters import NETWORKS
from adapters.base import fitting
from adapters.weights import save_weights
from benchmarks.suites.plugins import GROUP, load_plugins
from tasks import TASKS
from tests.tasks.detection.annotated import devkit

pytestmark = pytest.mark.slow

MODULE = '''
"""Tasks of four families, with the data that a test needs."""

import torch

from tasks import TASKS
from tasks.detection.voc import VocLayout
from tasks.events.base import EventTask, with_encodings
from tasks.events.encoding import Sensor
from tasks.images.base import ImageSplits, LabelledImages, LoadedImages
from tasks.points.base import CloudClassification


SIZES = {"train": (40, 0), "validation": (12, 1), "test": (12, 2)}


def noise(split, shape, classes):
    """Random counts with classes in turn, each class brighter than the one before."""
    count, seed = SIZES[split]
    labels = torch.arange(count) % classes
    random = torch.randint(0, 100, (count, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return LabelledImages(random + 10 * labels.to(torch.uint8).view(-1, *[1] * len(shape)), labels)


@TASKS.register("tiles")
class Tiles(LoadedImages):
    """32x32 colour tiles."""

    classes = ("dark", "medium", "bright")
    input_shape = (3, 32, 32)
    layout = "nothing; the tiles are drawn."

    def missing(self):
        return None

    def load(self):
        return ImageSplits(*(noise(split, self.input_shape, len(self.classes)) for split in SIZES))


@TASKS.register("signs")
class Signs(VocLayout):
    """Signs in the layout of VOC."""

    classes = ("RBC", "WBC")
    input_shape = (3, 48, 48)
    layout = "VOCdevkit/BCCD/{JPEGImages,Annotations,ImageSets/Main}."
    lists = {"train": (("BCCD", "train"),), "validation": (("BCCD", "val"),), "test": (("BCCD", "test"),)}


@with_encodings("blinks")
class Blinks(EventTask):
    """Blinking lights before an event camera of 12x20 pixels."""

    classes = ("on", "off")
    sensor = Sensor(20, 12)
    layout = "nothing; the lights are simulated."

    def missing(self):
        return None

    def split(self, name):
        return noise(name, self.input_shape, len(self.classes))

    def digest(self):
        return 64 * "0"


@TASKS.register("pebbles")
class Pebbles(CloudClassification):
    """Clouds of 24 points."""

    classes = ("round", "flat", "long", "odd")
    input_shape = (3, 24)
    layout = "nothing; the pebbles are drawn."

    def missing(self):
        return None

    def split(self, name):
        clouds = noise(name, self.input_shape, len(self.classes))
        return LabelledImages(clouds.images.float() / 100 - 0.5, clouds.labels)

    def digest(self):
        return 64 * "1"
'''
PAIRS = {"tiles": "resnet20", "signs": "yolov2_mini", "blinks": "event_convnet", "pebbles": "pointnet_mini"}
SUITE = """
name: strangers
title: A stranger's tasks
calibration: 8
entries:
"""
ENTRY = "  - {{tasks: [{}], networks: [{}], methods: [{{burst: {{phi: 4}}}}], T: [2]}}\n"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package installed and loaded, with its data below `data`; gone afterwards."""
    site = tmp_path / "site"
    (site / "strangers-1.0.dist-info").mkdir(parents=True)
    (site / "strangers.py").write_text(MODULE)
    (site / "strangers-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    (site / "strangers-1.0.dist-info/entry_points.txt").write_text(f"[{GROUP}]\nstrangers = strangers\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    load_plugins.cache_clear()
    load_plugins()
    yield devkit(tmp_path / "data")
    load_plugins.cache_clear()
    sys.modules.pop("strangers", None)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """One command in this process: its exit status, and what it printed."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["run_all.py", *arguments])
        with pytest.raises(SystemExit) as stopped:
            run_all.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out + printed.err

    return call


def weights(folder: Path, data: Path) -> Path:
    """Random weights of every pair."""
    folder.mkdir()
    torch.manual_seed(0)
    for task, network in PAIRS.items():
        model = NETWORKS[network](TASKS[task](data)).build()
        save_weights(folder / f"{network}_{task}.safetensors", model.state_dict(), {})
    return folder


def test_the_networks_run_on_all_four(package: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "own.yaml").write_text(SUITE + "".join(ENTRY.format(*pair) for pair in PAIRS.items()))
    folder = weights(tmp_path / "weights", package)
    places = ("--data-root", str(package), "--weights", str(folder), "--results", str(tmp_path / "results"))
    code, printed = run("run", "--suite", "own.yaml", "--limit", "4", "--engine", "inline", *places)
    assert code == 0, printed
    with (tmp_path / "results/strangers-first-4/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {(row["task"], row["network"], row["method"]): row for row in rows}
    assert set(found) == {(task, net, method) for task, net in PAIRS.items() for method in ("ann", "burst:phi=4")}
    assert {row["status"] for row in rows} == {"done"}
    assert all(0 <= float(row["value"]) <= 100 for row in rows)
    assert all(float(found[task, net, "burst:phi=4"]["spikes"]) > 0 for task, net in PAIRS.items())


@pytest.mark.usefixtures("package")
def test_what_fits_what() -> None:
    """By kind and shape: what takes 3x32x32 images takes the stranger's, and nothing else does."""
    for network in ("resnet20", "resnet18", "vgg16"):
        assert fitting(NETWORKS[network]) == ["cifar10", "cifar100", "tiles"]
    assert "blinks_temporal" in fitting(NETWORKS["event_resnet18"]) and "pebbles" in fitting(NETWORKS["pointnet_max"])
    fit = {task: {name for name in NETWORKS if NETWORKS[name].fits(TASKS[task]()) is None} for task in PAIRS}
    assert fit["signs"] == {"yolov2_light", "yolov2_mini"}  # The others need multiples of 32.
    assert fit["pebbles"] == {
        "pointnet", "pointnet_max", "pointnet_light", "pointnet_light_max", "pointnet_mini"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("task", "network", "why"),
    [
        ("tiles", "digits_convnet", "it takes samples of 1x8x8, and the task's are 3x32x32."),
        ("pebbles", "resnet20", "it is for image classification, and the task is point cloud classification."),
        ("signs", "yolov2_d19", "height and width have to be multiples of 32, and the task's samples are 3x48x48."),
        ("blinks", "fcn_light", "it is for semantic segmentation, and the task is event classification."),
        ("mini_parts", "pointnet", "it is for point cloud classification, and the task is part segmentation."),
    ],
)
@pytest.mark.usefixtures("package")
def test_what_does_not_fit_is_refused_before_work(task: str, network: str, why: str, tmp_path: Path, run: Run) -> None:
    sentence = f"Network {network} does not fit task {task}: {why}"
    (tmp_path / "own.yaml").write_text(SUITE + ENTRY.format(task, network))
    code, printed = run("run", "--suite", "own.yaml", "--results", "results")
    assert code == 2 and sentence in printed and not (tmp_path / "results").exists()
    assert run("train", "--task", task, "--network", network, "--weights", "weights") == (2, f"{sentence}\n")
    code, printed = run("convert", "--task", task, "--network", network, "--T", "2", "--data-root", "data")
    assert code == 2 and sentence in printed


@pytest.mark.usefixtures("package")
def test_they_are_listed_with_where_they_come_from(run: Run) -> None:
    code, printed = run("list", "tasks")
    assert code == 0
    assert {f"{task}  (plug-in strangers 1.0)" for task in PAIRS} <= set(printed.splitlines())
    _, printed = run("doctor", "--task", "signs", "--data-root", "data", "--weights", "weights")
    assert "task signs: its data are there\n  without weights: yolov2_light, yolov2_mini\n" in printed
