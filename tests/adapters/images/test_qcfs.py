"""Networks with QCFS activations: names, sizes, training, and the accuracy of a published one at every T."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms.functional import pil_to_tensor

from adapters import NETWORKS, find_weights, load_weights, train
from adapters.base import Recipe
from adapters.images.digits import DigitsNetwork
from adapters.images.qcfs import Qcfs
from adapters.images.qcfs_resnet import WIDTHS, QcfsResNetModule
from adapters.images.qcfs_vgg import QcfsVgg
from adapters.initialisation import initialise
from conversion import capture, convert, simulate
from tasks import TASKS
from tasks.images.digits import Digits


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("network", "count"),
    [
        # ResNet-20 with zero-padded shortcuts, 1x1 shortcuts with batch norms, one threshold for each activation.
        ("qcfs_resnet20", 269_722 + (16 * 32 + 32 * 64) + 2 * (32 + 64) + 19),
        ("qcfs_resnet20_l4", 269_722 + (16 * 32 + 32 * 64) + 2 * (32 + 64) + 19),
        ("qcfs_resnet18", 11_173_962 + 17),
        # Convolutions and batch norms of VGG-16, linear layers 512-4096-4096-10.
        ("qcfs_vgg16", 14_723_136 + 513 * 4096 + 4097 * 4096 + 4097 * 10 + 15),
    ],
)
def test_sizes(network: str, count: int) -> None:
    with torch.device("meta"):
        assert parameters(NETWORKS[network](TASKS["cifar10"]()).build()) == count


def test_sizes_for_imagenet() -> None:
    """torchvision publishes 138,365,992 for VGG-16 with batch norm and 21,797,672 for ResNet-34, whose stem is 7x7."""
    with torch.device("meta"):
        assert parameters(QcfsVgg(224, 16, 1000)) == 138_365_992 + 15
        assert parameters(QcfsResNetModule((3, 4, 6, 3), WIDTHS, 8, 1000)) == 21_797_672 - 64 * 3 * (49 - 9) + 33


@pytest.mark.parametrize("network", ["qcfs_imagenet_vgg16", "qcfs_imagenet_resnet34"])
def test_networks_for_imagenet(network: str) -> None:
    """On no device, for an image costs up to 58 billion MACs: only shapes are computed."""

    class Photographs(Digits):
        name = "photographs"
        input_shape = (3, 224, 224)
        classes = tuple(str(number) for number in range(1000))

    adapter = NETWORKS[network](Photographs())
    with torch.device("meta"):
        assert adapter.build().eval()(torch.zeros(2, 3, 224, 224)).shape == (2, 1000)
    assert NETWORKS[network].fits(TASKS["cifar10"]()) is not None


def names(network: str) -> set[str]:
    with torch.device("meta"):
        return set(NETWORKS[network](TASKS["cifar10"]()).build().state_dict())


def test_names_are_those_of_the_published_code() -> None:
    resnet = names("qcfs_resnet20")
    assert {"conv1.0.weight", "conv1.1.bias", "conv1.2.thresh", "fc.weight"} <= resnet
    for block in ("conv2_x.0", "conv3_x.0", "conv4_x.2"):
        assert {
            f"{block}.residual_function.{part}" for part in ("0.weight", "1.bias", "2.thresh", "3.weight", "4.bias")
        } < resnet
        assert f"{block}.act.thresh" in resnet
        assert (f"{block}.shortcut.1.running_var" in resnet) == (block == "conv3_x.0")
    assert "conv5_x.1.act.thresh" in names("qcfs_resnet18")
    # Dropout behind every activation counts in the numbers.
    vgg = names("qcfs_vgg16")
    assert {"layer1.0.weight", "layer1.2.thresh", "layer1.4.weight", "layer1.6.thresh", "layer5.10.thresh"} < vgg
    assert {"classifier.1.weight", "classifier.2.thresh", "classifier.5.thresh", "classifier.7.bias"} < vgg


def test_more_classes_are_trained_at_half_the_learning_rate() -> None:
    rates = {task: NETWORKS["qcfs_vgg16"](TASKS[task]()).recipe.learning_rate for task in ("cifar10", "cifar100")}
    assert rates == {"cifar10": 0.1, "cifar100": 0.05}


class Toy(DigitsNetwork):
    """Two convolutions for digits, with QCFS activations."""

    name = "toy"
    recipe = Recipe(batch_size=64, augment="none")

    def build(self) -> nn.Sequential:  # type: ignore[override]
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), Qcfs(4, 8.0), nn.AvgPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), Qcfs(4, 8.0), nn.Flatten(), nn.Linear(512, 10),
        )  # fmt: skip
        initialise(model)
        return model


@pytest.mark.slow
def test_training_learns_the_thresholds(tmp_path: Path) -> None:
    """They start at 8, where what a batch norm gives reaches the first level or two alone, and fall."""
    result = train(Toy, Digits(), tmp_path, epochs=4)
    adapter = Toy(Digits())
    model = adapter.build()
    load_weights(model, result.path)
    thresholds = [part.thresh.item() for part in model.modules() if isinstance(part, Qcfs)]
    assert all(0 < threshold < 7.9 for threshold in thresholds), thresholds
    assert result.validation_accuracy > 80
    # The network converts by the thresholds that it learnt, and its spikes find most of what the ANN finds.
    images = adapter.encode(next(Digits().test(200)).inputs)
    graph = capture(model.eval(), images[:1])
    network = convert(graph, images[:1], "qcfs", T=8)
    assert [float(neuron.threshold) for neuron in network.neurons.values()] == pytest.approx(thresholds)
    same = simulate(network, images, at=[8]).mean(8).argmax(1) == graph.run(images).argmax(1)
    assert same.float().mean() > 0.8


@pytest.mark.data
@pytest.mark.slow
def test_the_published_network_has_its_accuracies(real_data: Path) -> None:
    """On the first 30 test images of each class, measured by another implementation with the ANN's own modules.

    Rounding decides on which side of a level an activation falls, so that a few images may change their class.
    """
    if not (real_data / "qcfs_resnet20_cifar10.safetensors").is_file():
        pytest.skip("qcfs_resnet20_cifar10.safetensors is not in the folder that SNNBENCH_DATA names")
    task = TASKS["cifar10"](real_data)
    adapter = NETWORKS["qcfs_resnet20"](task)
    model = adapter.build().eval()
    load_weights(model, find_weights("qcfs_resnet20", "cifar10", real_data))
    folders = [real_data / "cifar10" / "test" / name for name in task.classes]
    files = [file for folder in folders for file in sorted(folder.glob("*.png"))[:30]]
    images = adapter.encode(torch.stack([pil_to_tensor(Image.open(file)) for file in files]))
    classes = torch.arange(10).repeat_interleave(30)
    graph = capture(model, images[:1])
    accuracy = {"ann": graph.run(images), "module": model(images).detach()}
    readout = simulate(convert(graph, images[:1], "qcfs", T=16), images, at=[1, 2, 4, 8, 16], count=False)
    accuracy |= {str(t): output for t, output in readout.outputs.items()}
    found = {name: 100 * (logits.argmax(1) == classes).float().mean().item() for name, logits in accuracy.items()}
    expected = {"ann": 93.0, "module": 93.0, "1": 46.7, "2": 54.7, "4": 67.7, "8": 83.7, "16": 90.7}
    assert found == pytest.approx(expected, abs=1.0)
