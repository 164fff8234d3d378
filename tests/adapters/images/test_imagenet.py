"""Networks of ImageNet: names of tensors, neurons, preprocessing, and whose weights they take."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor

from adapters import NETWORKS, find_weights, load_weights
from adapters.base import NetworkInfo
from adapters.images.imagenet import PhotographNetwork, TorchvisionClassifier
from conversion import capture
from conversion.errors import CheckpointError
from tasks import TASKS
from tasks.images.preprocessing import Preprocessing

NAMES = [name for name in NETWORKS if issubclass(NETWORKS[name], PhotographNetwork)]
STANDARD = (256, "bilinear")
Shapes = dict[str, tuple[int, ...]]


def adapter(name: str) -> PhotographNetwork:
    made = NETWORKS[name](TASKS["imagenette"]())
    assert isinstance(made, PhotographNetwork)
    return made


def batch_norm(name: str, channels: int) -> Shapes:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in parts} | {f"{name}.num_batches_tracked": ()}


def calibration_vgg16() -> Shapes:
    """Names and shapes in vgg16_snn.pth.tar, written out from the indices of its layers."""
    shapes: Shapes = {}
    widths = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    for i, index in enumerate((0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)):
        shapes[f"features.{index}.weight"] = (widths[i + 1], widths[i], 3, 3)
        shapes[f"features.{index}.bias"] = (widths[i + 1],)
        shapes |= batch_norm(f"features.{index + 1}", widths[i + 1])
    for index, outputs, inputs in ((0, 4096, 25088), (3, 4096, 4096), (6, 1000, 4096)):
        shapes |= {f"classifier.{index}.weight": (outputs, inputs), f"classifier.{index}.bias": (outputs,)}
    return shapes


def calibration_resnet34() -> Shapes:
    """Names and shapes in res34_snn.pth.tar: a stem of three convolutions, then 3, 4, 6 and 3 basic blocks."""
    shapes: Shapes = {
        "conv1.0.weight": (32, 3, 3, 3),
        "conv1.3.weight": (32, 32, 3, 3),
        "conv1.6.weight": (64, 32, 3, 3),
    }
    shapes |= batch_norm("conv1.1", 32) | batch_norm("conv1.4", 32) | batch_norm("bn1", 64)
    inputs = 64
    for layer, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, inputs, 3, 3)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            shapes |= batch_norm(f"{name}.bn1", width) | batch_norm(f"{name}.bn2", width)
            if inputs != width:
                shapes[f"{name}.downsample.0.weight"] = (width, inputs, 1, 1)
                shapes |= batch_norm(f"{name}.downsample.1", width)
            inputs = width
    return shapes | {"fc.weight": (1000, 512), "fc.bias": (1000,)}


@pytest.mark.parametrize(
    ("name", "published"),
    [("snn_calibration/vgg16", calibration_vgg16()), ("snn_calibration/resnet34", calibration_resnet34())],
)
def test_published_names_and_shapes_are_those_of_the_network(name: str, published: Shapes) -> None:
    with torch.device("meta"):
        model = adapter(name).build()
    model.load_state_dict({key: torch.empty(shape, device="meta") for key, shape in published.items()}, assign=True)
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == published


@pytest.mark.parametrize(("name", "poolings"), [("snn_calibration/vgg16", 5), ("snn_calibration/resnet34", 1)])
def test_networks_of_snn_calibration_have_average_pooling(name: str, poolings: int) -> None:
    with torch.device("meta"):  # 138 million weights, of which only shapes matter.
        model = adapter(name).build().eval()
    kinds = [type(part).__name__ for part in model.modules()]
    assert (kinds.count("AvgPool2d"), kinds.count("MaxPool2d")) == (poolings, 0)
    assert model(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 1000)


@pytest.mark.slow
def test_the_stem_has_three_layers_of_neurons() -> None:
    """Two in each of 16 blocks, three before them."""
    network = adapter("snn_calibration/resnet34")
    graph = capture(network.build().eval(), torch.zeros(1, 3, 64, 64))
    assert len(graph.firing) == 35


@pytest.mark.parametrize("name", NAMES)
def test_every_network_fits_both_tasks_and_brings_its_preprocessing(name: str) -> None:
    network = adapter(name)
    told = network.preprocessing
    expected = {"torchvision/resnet50.v2": (232, "bilinear"), "torchvision/mobilenet_v2.v2": (232, "bilinear")}
    bicubic = (235, "bicubic") if name.startswith("timm/") else STANDARD
    assert (told.resize, told.interpolation) == expected.get(name, bicubic) and told.crop == 224
    assert network.task.preprocessing == told and network.mean == told.mean
    assert TASKS["imagenette"].preprocessing == Preprocessing(256, 224)  # type: ignore[attr-defined]
    assert NETWORKS[name].fits(TASKS["imagenet"]()) is None
    assert "it is for" in str(NETWORKS[name].fits(TASKS["mini_events"]()))
    assert "it is for tasks of the class SizedImages" in str(NETWORKS[name].fits(TASKS["cifar10"]()))
    assert str(NETWORKS[name].info.expected).startswith("accuracy ")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("torchvision/vgg16", "vgg16-397923af.pth"), ("torchvision/resnet34", "resnet34-b627a593.pth"),
        ("torchvision/resnet50", "resnet50-0676ba61.pth"), ("torchvision/resnet50.v2", "resnet50-11ad3fa6.pth"),
        ("torchvision/squeezenet1_0", "squeezenet1_0_imagenet.safetensors"),
        ("snn_calibration/vgg16", "checkpoints/vgg16_snn.pth.tar"), ("snn_calibration/resnet34", "res34_snn.pth.tar"),
        ("timm/resnet18.a1_in1k", "resnet18_a1_0-d63eafa0.pth"),
        ("timm/resnet18.a1_in1k", "timm/resnet18.a1_in1k/model.safetensors"),
        ("timm/resnet34.a1_in1k", "models--timm--resnet34.a1_in1k/snapshots/0123/model.safetensors"),
    ],
)  # fmt: skip
def test_weights_are_found_under_the_names_of_their_publishers(name: str, file: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert find_weights(name, "imagenet", tmp_path) == path
    if "imagenet." not in file:
        assert find_weights(name, "imagenette", tmp_path) == path


def test_weights_are_found_in_torchs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    path = tmp_path / "checkpoints/resnet34-b627a593.pth"
    path.parent.mkdir()
    path.touch()
    assert find_weights("torchvision/resnet34", "imagenet", None) == path
    own = tmp_path / "resnet34_imagenet.pth"
    own.touch()
    assert find_weights("torchvision/resnet34", "imagenet", tmp_path) == own


def test_other_weights_in_the_folder_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    (tmp_path / "resnet50-11ad3fa6.pth").touch()
    with pytest.raises(
        CheckpointError, match=r"holds resnet50-11ad3fa6\.pth of torchvision/resnet50\.v2, which are other"
    ):
        find_weights("torchvision/resnet50", "imagenet", tmp_path)


def state(shapes: Shapes) -> dict[str, Tensor]:
    return {
        name: torch.zeros(shape, dtype=torch.float16) if shape else torch.tensor(0) for name, shape in shapes.items()
    }


@pytest.mark.slow
def test_the_other_resnet34_is_refused_by_its_name(tmp_path: Path) -> None:
    theirs, plain = adapter("snn_calibration/resnet34"), adapter("torchvision/resnet34")
    path = tmp_path / "res34_snn.pth.tar"
    torch.save({"state_dict": {f"module.{key}": value for key, value in state(calibration_resnet34()).items()}}, path)
    load_weights(theirs.build(), path, theirs)
    with pytest.raises(CheckpointError, match=r"lacks conv1\.weight.* It holds weights of snn_calibration/resnet34\.$"):
        load_weights(plain.build(), path, plain)
    torch.save(plain.build().state_dict(), path)
    with pytest.raises(CheckpointError, match=r"lacks conv1\.0\.weight.* It holds weights of t\S+/resnet34\S*\.$"):
        load_weights(theirs.build(), path, theirs)


def test_weights_of_another_preprocessing_are_refused(tmp_path: Path) -> None:
    """Names and shapes agree; the name under which such a file is published begins its SHA-256."""
    own = adapter("torchvision/squeezenet1_0")
    path = tmp_path / "squeezenet1_0_imagenette.pth"
    torch.save(own.build().state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    load_weights(own.build(), path, own)
    NETWORKS.variant(
        TorchvisionClassifier, "torchvision/squeezenet1_0.other", "Other.", architecture="squeezenet1_0",
        preprocessing=Preprocessing(232, 224), info=NetworkInfo(files={"imagenet": f"other-{digest[:8]}.pth"}),
    )  # fmt: skip
    with pytest.raises(CheckpointError, match=r"is published for network torchvision/squeezenet1_0\.other, whose"):
        load_weights(own.build(), path, own)


@pytest.mark.data
@pytest.mark.slow
@torch.no_grad()
def test_squeezenet_answers_among_1000_classes(real_data: Path) -> None:
    """56.3 % on 300 images of the full set; of 100 drawn here the standard deviation is 5."""
    network = NETWORKS["torchvision/squeezenet1_0"](TASKS["imagenette"](real_data))
    if (gap := network.task.missing()) is not None:
        pytest.skip(gap)
    model = network.build().eval()
    load_weights(model, find_weights("torchvision/squeezenet1_0", "imagenette", real_data), network)
    metric = network.task.metric()
    for batch in network.task.test(batch_size=50, limit=100):
        metric.update(network.decode(model(network.encode(batch.inputs))), batch.targets)
    assert 41 <= metric.compute()["accuracy"].value <= 71
