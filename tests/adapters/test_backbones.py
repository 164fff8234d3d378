"""Networks that start from the weights of another: which of them they take, and what they refuse."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from adapters import NETWORKS
from adapters.weights import load_backbone
from conversion.errors import CheckpointError, InvalidInput
from tasks import TASKS

pytestmark = pytest.mark.slow

Weights = dict[str, Tensor]
# A network, a task, torchvision's network, some names in its file and here, and what of the file is left out.
TAKEN: list[tuple[str, str, Callable[..., nn.Module], dict[str, str], tuple[str, ...]]] = [
    (
        "event_resnet18", "ncars", models.resnet18,
        {"conv1.weight": "backbone.conv1.weight", "layer4.1.bn2.running_var": "backbone.layer4.1.bn2.running_var"},
        ("fc.",),
    ),
    ("event_resnet34", "cifar10dvs", models.resnet34, {"bn1.bias": "backbone.bn1.bias"}, ("fc.",)),
    (
        "event_vgg11", "ncars", models.vgg11, {"features.18.bias": "features.18.bias"}, ("features.0.", "classifier."),
    ),
    (
        "event_vgg16", "ncars", models.vgg16, {"features.28.bias": "features.28.bias"}, ("features.0.", "classifier."),
    ),
    (
        "yolov2_r34", "voc_detection", models.resnet34,
        {
            "conv1.weight": "backbone.stem.0.weight", "bn1.running_mean": "backbone.stem.1.running_mean",
            "layer1.0.conv1.weight": "backbone.layer1.0.conv1.weight",
        },
        ("fc.",),
    ),
    (
        "yolov2_r50", "voc_detection", models.resnet50, {"layer4.2.conv3.weight": "backbone.layer4.2.conv3.weight"},
        ("fc.",),
    ),
    (
        "deeplabv3_resnet50", "voc_segmentation", models.resnet50,
        {"layer3.5.conv2.weight": "backbone.layer3.5.conv2.weight"}, ("fc.",),
    ),
    ("fcn_resnet50", "voc_segmentation", models.resnet50, {"bn1.weight": "backbone.bn1.weight"}, ("fc.",)),
]  # fmt: skip
NAMES = [case[0] for case in TAKEN]


def weights_of(network: Callable[..., nn.Module], value: float | None = None) -> Weights:
    """A state dict of torchvision's shapes, of one value or a value for each name; of its heads the names alone."""
    with torch.device("meta"):
        shapes = network(weights=None).state_dict()
    weights = {}
    for index, (name, shape) in enumerate(shapes.items()):
        chosen = 0.01 + index % 89 / 100 if value is None else value
        weights[name] = torch.full(shape.shape, chosen) if shape.is_floating_point() else torch.full(shape.shape, 1000)
        if name.startswith(("fc.", "classifier.")):
            weights[name] = torch.zeros(1)
    return weights


def written(path: Path, weights: Any) -> Path:
    torch.save(weights, path)
    return path


def built(network: str, task: str) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[network](TASKS[task]()).build()


@pytest.mark.parametrize(("network", "task", "source", "names", "heads"), TAKEN, ids=NAMES)
def test_it_takes_all_but_the_heads(
    network: str, task: str, source: Callable[..., nn.Module], names: dict[str, str], heads: tuple[str, ...],
    tmp_path: Path,
) -> None:  # fmt: skip
    """Every tensor of the file that is no head is in the network, once; what the file does not have stays."""
    weights = weights_of(source)
    path = written(tmp_path / "pretrained.pth", weights)
    model = built(network, task)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert load_backbone(model, NETWORKS[network], path) == hashlib.sha256(path.read_bytes()).hexdigest()
    after = model.state_dict()
    for given, own in names.items():
        assert torch.equal(after[own], weights[given])
    changed = [name for name in after if not torch.equal(after[name], before[name])]
    taken = [given for given in weights if not given.startswith(heads)]
    assert len(changed) == len(taken)
    assert all(not name.startswith(("reduction", "neck", "classifier", "predict", "backbone.fc")) for name in changed)


def test_wrapped_weights_and_heads_of_any_kind_are_taken(tmp_path: Path) -> None:
    """Data-parallel names, a wrapper, a classifier of other classes or none at all."""
    weights = weights_of(models.resnet18, 0.5)
    for number, given in enumerate(
        (
            {"state_dict": {f"module.{name}": value for name, value in weights.items()}},
            {**weights, "fc.weight": torch.zeros(5, 512), "fc.bias": torch.zeros(5)},
            {name: value for name, value in weights.items() if not name.startswith("fc.")},
            {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")},
        )
    ):
        model: Any = built("event_resnet18", "ncars")
        load_backbone(model, NETWORKS["event_resnet18"], written(tmp_path / f"{number}.pth", given))
        assert bool((model.backbone.conv1.weight == 0.5).all()) and model.backbone.fc.out_features == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("layer2.0.conv1.weight"), "lacks layer2.0.conv1.weight, which the network has"),
        (lambda weights: weights.update(extra=torch.zeros(3)), "holds extra with shape (3,), which the network does"),
        (
            lambda weights: weights.update({"bn1.bias": torch.zeros(3)}),
            "holds bn1.bias with shape (3,); the network has it with shape (64,)",
        ),
        (
            lambda weights: weights.update({"bn1.bias": torch.full((64,), torch.nan)}),
            "values that are not finite in bn1.bias",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(
    change: Callable[[Weights], Any], message: str, tmp_path: Path
) -> None:
    weights = weights_of(models.resnet18)
    change(weights)
    model = built("event_resnet18", "ncars")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=rf"odd\.pth .*{re.escape(message)}.*takes torchvision's weights"):
        load_backbone(model, NETWORKS["event_resnet18"], written(tmp_path / "odd.pth", weights))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_another_depth_and_a_whole_detector_are_refused(tmp_path: Path) -> None:
    model = built("yolov2_r34", "voc_detection")
    with pytest.raises(
        CheckpointError, match=r"lacks layer1\.2\.conv1\.weight.*takes torchvision's weights of ResNet-34"
    ):
        load_backbone(model, NETWORKS["yolov2_r34"], written(tmp_path / "18.pth", weights_of(models.resnet18)))
    with pytest.raises(CheckpointError, match=r"lacks conv1\.weight"):
        load_backbone(model, NETWORKS["yolov2_r34"], written(tmp_path / "own.pth", model.state_dict()))


def test_a_network_without_one_says_which_have(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"vgg16 takes no pretrained backbone; those that do are .*yolov2_r50"):
        load_backbone(built("vgg16", "cifar10"), NETWORKS["vgg16"], tmp_path / "none.pth")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.pth cannot be read"):
        load_backbone(built("event_resnet18", "ncars"), NETWORKS["event_resnet18"], tmp_path / "gone.pth")
