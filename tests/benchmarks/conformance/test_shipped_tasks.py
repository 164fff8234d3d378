"""Every task that ships with the benchmark passes every check that applies to it, on small datasets of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.conformance import tasks
from benchmarks.conformance.kit import judge
from benchmarks.conformance.tasks import TaskBench
from tasks import TASKS
from tasks.events.base import EventTask
from tasks.points.shapenet import PARTS
from tasks.segmentation.base import Segmentation
from tests.tasks.detection import annotated
from tests.tasks.events import recorded
from tests.tasks.images import imagenet_trees as trees
from tests.tasks.points import shapes
from tests.tasks.segmentation import drawn

pytestmark = pytest.mark.slow


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
    annotated.coco(root / "few", {"train2017": 40, "val2017": 6})  # Of all COCO; COCO128 has as many as its name says.
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
    trees.parquet(root / "imagenet", "validation", np.random.default_rng(0).integers(0, 1000, 150).tolist())
    trees.folders(root / "imagenette2-160", "train", 4, TASKS["imagenette"].wnids, first=2)  # type: ignore[attr-defined]
    trees.folders(root / "imagenette2-160", "val", 2, TASKS["imagenette"].wnids)  # type: ignore[attr-defined]
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
    folder = "maps" if issubclass(TASKS[name], Segmentation) else "few" if name == "coco_detection" else "."
    bench = TaskBench(TASKS[name], data / folder)
    results = {check: judge(check, bench) for check in tasks.CHECKS}
    assert [result for result in results.values() if result.verdict == "failed"] == []
    needless = {check for check, result in results.items() if result.verdict == "does not apply"}
    assert needless == ({tasks.says_what_is_missing} if name == "digits" or name.startswith("mini_") else set())
