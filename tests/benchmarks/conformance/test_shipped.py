"""Everything that ships with the benchmark passes every check that applies to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adapters import NETWORKS
from adapters.detection.ultralytics import UltralyticsYolo
from adapters.detection.yolov2 import YoloNetwork
from benchmarks.conformance import methods, networks, simulation, tasks
from benchmarks.conformance.kit import judge
from benchmarks.conformance.methods import MethodBench
from benchmarks.conformance.networks import NetworkBench
from benchmarks.conformance.tasks import TaskBench
from benchmarks.references.released import named_method
from conversion.methods import METHODS, make_method
from tasks import TASKS
from tasks.events.base import EventTask
from tasks.points.shapenet import PARTS
from tasks.segmentation.base import Segmentation
from tests.tasks.detection import annotated
from tests.tasks.events import recorded
from tests.tasks.points import shapes
from tests.tasks.segmentation import drawn

# Checks that do not apply are named, so that none is passed over by mistake.
NO_EXIT = {"stops counting when a sample leaves"}
SHIPPED = {
    "ann": NO_EXIT | {
        "approaches the ann", "refuses a network without activations", "refuses another networks calibration",
        "counts up",
    },
    "burst:phi=4": NO_EXIT,
    "quantised_ann:phi=4": NO_EXIT | {"approaches its answer"},
    "calibration": NO_EXIT,
    "calibration_advanced": NO_EXIT,
    "calibration_advanced:weights=True,iterations=20": NO_EXIT,
    "calibration_iat": set(),
    "ftbc:phi=4,signed=True": NO_EXIT,
    "snm": NO_EXIT,
    "energy_aware": NO_EXIT | {"approaches the ann"},
    "energy_aware:energy=0.0": NO_EXIT,
    "adafire": NO_EXIT,
    "adafire_iat": set(),
    "adafire_ssc": NO_EXIT,
    "adafire_ssc_iat": set(),
}  # fmt: skip
# Deeper members of a family repeat its blocks; capturing them takes seconds and shows nothing new.
DEEPER = {
    "resnet32", "resnet44", "resnet56", "resnet32_wide", "fcn_resnet50", "yolov2_d19", "yolov2_r34", "yolov2_r50",
    "yolov2_d19_leaky",
    *(name for name in NETWORKS if name.startswith("ultralytics/") and name not in
      ("ultralytics/yolov3-tiny-relu", "ultralytics/yolo11n")),
    "event_resnet34", "event_vgg16",
}  # fmt: skip
CAPTURED = {networks.can_be_captured, networks.is_computed_alike_when_captured, networks.has_activations_for_neurons}


def test_every_method_is_tried() -> None:
    assert {label.partition(":")[0] for label in SHIPPED} == set(METHODS)


@pytest.mark.parametrize("label", SHIPPED)
def test_methods(label: str) -> None:
    name, options = named_method(label)
    bench = MethodBench(make_method(name, **options))
    results = [judge(check, bench) for check in (*methods.CHECKS, *simulation.CHECKS)]
    assert [result for result in results if result.verdict == "failed"] == []
    assert {result.name for result in results if result.verdict == "does not apply"} == SHIPPED[label]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small datasets of noise in every layout; of CIFAR 20 training images and 1 test image for each class."""
    root = tmp_path_factory.mktemp("data")
    maps = root / "maps"  # The same folders as for boxes, with other files in them.
    drawn.camvid(maps, train=5, validation=4, test=4)
    drawn.voc(maps, train=4, test=4, sbd=35)
    drawn.coco(maps, train=40, test=4)
    years = {"VOC2007": {"trainval": 20, "test": 6}, "VOC2012": {"trainval": 20, "train": 12, "val": 8}}
    annotated.devkit(root, {"BCCD": {"train": 12, "val": 6, "test": 8}, **years})
    annotated.coco(root, {"train2017": 128, "val2017": 6})
    layout = {name: (f"{number:08}", labels) for number, (name, labels) in enumerate(PARTS.items(), 1)}
    shapes.shapenet(root, "ShapeNet/raw", layout, train=5, validation=4, test=4)
    shapes.shapenet(root, "shapenet_like", {"Vase": ("00000001", range(4))}, train=6, validation=6, test=6)
    for name, suffix in (("shrec16", ".obj"), ("modelnet10", ".off"), ("modelnet40", ".off")):
        shapes.meshes(root, TASKS[name].folders[-1], TASKS[name].classes, suffix)  # type: ignore[attr-defined]
    for dataset in (
        recorded.nmnist, recorded.ncars, recorded.cifar10dvs, recorded.action_recognition, recorded.ncaltech101,
        recorded.dvsgesture,
    ):  # fmt: skip
        dataset(root)
    for name in ("cifar10", "cifar100"):
        for part, count, seed in (("train", 20, 1), ("test", 1, 2)):
            noise = np.random.default_rng(seed)
            for label in TASKS[name].classes:
                folder = root / name / part / label
                folder.mkdir(parents=True)
                for number in range(count):
                    image = Image.fromarray(noise.integers(0, 256, (32, 32, 3), dtype=np.uint8))
                    image.save(folder / f"{number}.png", compress_level=1)
    return root


# Encodings share all but a function, which tests of its own look at; one dataset has all of them.
OTHERWISE_ENCODED = {
    name for name in TASKS if issubclass(TASKS[name], EventTask) and "_to" in name and not name.startswith("nmnist")
} | {f"{name}_temporal" for name in ("action_recognition", "ncaltech101", "cifar10dvs", "dvsgesture", "ncars")}


@pytest.mark.parametrize("name", [name for name in TASKS if name not in OTHERWISE_ENCODED])
def test_tasks(name: str, data: Path) -> None:
    bench = TaskBench(TASKS[name], data / "maps" if issubclass(TASKS[name], Segmentation) else data)
    results = {check: judge(check, bench) for check in tasks.CHECKS}
    assert [result for result in results.values() if result.verdict == "failed"] == []
    needless = {check for check, result in results.items() if result.verdict == "does not apply"}
    assert needless == ({tasks.says_what_is_missing} if name == "digits" or name.startswith("mini_") else set())


@pytest.mark.parametrize("name", list(NETWORKS))
def test_networks(name: str) -> None:
    bench = NetworkBench(NETWORKS[name])
    checks: list[Callable[[NetworkBench], None]] = [
        check for check in networks.CHECKS if name not in DEEPER or check not in CAPTURED
    ]
    results = [judge(check, bench) for check in checks]
    assert [result for result in results if result.verdict == "failed"] == []
    needless = {result.name for result in results if result.verdict == "does not apply"}
    assert needless == ({"decodes to classes"} if issubclass(NETWORKS[name], (YoloNetwork, UltralyticsYolo)) else set())
