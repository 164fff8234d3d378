"""The recipes of the paper's networks against its released code, value by value (docs/training.md)."""

from __future__ import annotations

from dataclasses import asdict
from itertools import product
from typing import Any

import pytest

from adapters import NETWORKS
from adapters.base import Recipe
from tasks import TASKS

SIDES = (320, 352, 384, 416, 448, 480, 512, 544, 576, 608)
# From the released scripts; what is not listed is as in no recipe: no warm-up, mixup, average, milestone or smoothing.
CIFAR = {
    "epochs": 300, "batch_size": 128, "optimizer": "sgd", "learning_rate": 0.1, "final_rate": 0.0, "weight_decay": 5e-4,
    "schedule": "cosine", "augment": "cifar",
}  # fmt: skip
EVENTS = {
    "epochs": 300, "batch_size": 16, "optimizer": "adamw", "learning_rate": 1e-3, "final_rate": 1e-5,
    "weight_decay": 0.06, "schedule": "cosine", "label_smoothing": 0.1, "mixup": 0.5, "augment": "events_released",
}  # fmt: skip
YOLO = {
    "epochs": 250, "batch_size": 16, "optimizer": "sgd", "learning_rate": 1e-3, "weight_decay": 5e-4, "warmup": 2,
    "warmup_shape": "quartic", "milestones": (150, 200), "fall": 0.1, "sides": SIDES, "ema": 0.9999,
    "validate_every": 10, "augment": "detection_ssd",
}  # fmt: skip
DEEPLAB = {
    "epochs": 50, "batch_size": 8, "optimizer": "sgd", "learning_rate": 0.007, "weight_decay": 1e-4, "schedule": "poly",
    "augment": "scale_crop",
}  # fmt: skip
CLOUDS = {
    "epochs": 300, "batch_size": 64, "optimizer": "adamw", "learning_rate": 1e-2, "final_rate": 1e-4,
    "weight_decay": 0.01, "schedule": "cosine", "warmup": 20, "warmup_shape": "linear", "warmup_from": 0.01,
    "augment": "points",
}  # fmt: skip
PARTS = {
    "epochs": 25, "batch_size": 32, "optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.0,
    "milestones": (20,), "fall": 0.5, "augment": "points",
}  # fmt: skip
RELEASED: list[tuple[tuple[str, ...], tuple[str, ...], dict[str, Any]]] = [
    (("resnet20_wide", "resnet32_wide", "vgg16", "resnet18"), ("cifar10", "cifar100"), CIFAR),
    (
        ("event_resnet18", "event_resnet34", "event_vgg11", "event_vgg16"),
        ("cifar10dvs", "ncaltech101", "ncars", "action_recognition"),
        EVENTS,
    ),
    (("yolov2_d19", "yolov2_r34", "yolov2_r50", "yolov2_tiny"), ("voc_detection", "coco_detection"), YOLO),
    (("deeplabv3_resnet50",), ("voc_segmentation", "coco_segmentation"), DEEPLAB),
    (("pointnet",), ("shapenet_classification",), CLOUDS),
    (("pointnet_parts",), ("shapenet_parts",), PARTS),
]
CASES = [
    (network, task, values)
    for networks, tasks, values in RELEASED
    for network, task in product(networks, tasks)
]  # fmt: skip


@pytest.mark.parametrize(("network", "task", "values"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_the_recipe_is_the_released_one(network: str, task: str, values: dict[str, Any]) -> None:
    recipe = NETWORKS[network](TASKS[task]()).recipe
    # A schedule, its last rate and the start of a warm-up count only where there is one.
    idle = {name for name in ("schedule", "final_rate") if recipe.milestones}
    idle |= {"warmup_from", "warmup_shape"} if not recipe.warmup or recipe.warmup_shape == "quartic" else set()
    idle |= {"fall"} if not recipe.milestones else set()
    expected = {**asdict(Recipe(augment="none")), **values}
    found = asdict(recipe)
    assert {name: found[name] for name in found if name not in idle} == {
        name: expected[name] for name in expected if name not in idle
    }
    if recipe.warmup:
        assert recipe.warmup_shape == values["warmup_shape"]


@pytest.mark.parametrize(
    ("task", "mean", "deviation"),
    [
        ("cifar10", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        ("cifar100", (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    ],
)
def test_images_are_normalised_as_released(task: str, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
    network = NETWORKS["vgg16"](TASKS[task]())
    assert (network.mean, network.std) == (mean, deviation)
