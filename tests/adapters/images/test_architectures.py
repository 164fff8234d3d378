"""The networks: their size, shape, normalisation, and that they hold only what conversion has published rules for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from adapters import NETWORKS
from adapters.base import fitting
from adapters.images.resnet import BasicBlock, Subsample
from conversion.errors import InvalidInput
from tasks import TASKS

# Published: ResNet-20/32/44/56 0.27/0.46/0.66/0.85 M (He et al., Table 6), VGG-16-BN 14.73 M, ResNet-18 11.17 M.
PARAMETERS = {
    ("resnet20", "cifar10"): 269_722,
    ("resnet32", "cifar10"): 464_154,
    ("resnet44", "cifar10"): 658_586,
    ("resnet56", "cifar10"): 853_018,
    ("resnet20_wide", "cifar10"): 4_327_754,
    ("resnet32_wide", "cifar10"): 7_427_914,
    ("resnet18", "cifar10"): 11_173_962,
    ("vgg16", "cifar10"): 14_728_266,
    ("resnet20", "cifar100"): 269_722 + 90 * 65,
    ("resnet18", "cifar100"): 11_173_962 + 90 * 513,
    ("vgg16", "cifar100"): 14_728_266 + 90 * 513,
    ("digits_convnet", "digits"): 77_290,
}
LINEAR = {
    "conv2d", "batch_norm", "linear", "add", "add_", "pad", "slice", "flatten", "avg_pool2d", "adaptive_avg_pool2d",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("network", "task"), PARAMETERS)
def test_size_and_output(network: str, task: str) -> None:
    adapter = NETWORKS[network](TASKS[task]())
    model = adapter.build().eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[network, task]
    images = torch.randint(0, 256, (2, *adapter.task.input_shape), dtype=torch.uint8)
    logits = model(adapter.encode(images))
    assert logits.shape == (2, len(adapter.task.classes))
    assert torch.equal(adapter.decode(logits), logits.argmax(1))


@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet20", "resnet20_wide", "resnet18", "vgg16", "digits_convnet"])
def test_relu_is_the_only_nonlinearity(network: str) -> None:
    adapter = NETWORKS[network](TASKS[fitting(NETWORKS[network])[0]]())
    example = torch.randn(2, *adapter.task.input_shape)
    program = torch.export.export(adapter.build().eval(), (example,))
    used = {str(node.target).split(".")[1] for node in program.graph.nodes if node.op == "call_function"}
    assert {"conv2d", "batch_norm", "linear"} <= used
    assert used - LINEAR in ({"relu"}, {"relu_"})


def test_the_subsampling_shortcut_pads_half_of_the_channels_on_each_side() -> None:
    x = torch.arange(2 * 2 * 4 * 4.0).view(2, 2, 4, 4)
    out = Subsample(new=2, stride=2)(x)
    assert out.shape == (2, 4, 2, 2)
    assert torch.equal(out[:, 1:3], x[:, :, [0, 2]][:, :, :, [0, 2]])
    assert not out[:, [0, 3]].any()


@pytest.mark.parametrize("shortcut", ["subsample", "projection"])
def test_a_block_adds_its_input(shortcut: str) -> None:
    block = BasicBlock(4, 4, 1, shortcut).eval()  # type: ignore[arg-type]
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(x), x.relu())


def test_names_are_those_of_the_published_resnets() -> None:
    names = NETWORKS["resnet20"](TASKS["cifar10"]()).build().state_dict()
    expected = {"conv1.weight", "bn1.running_mean", "layer3.2.conv2.weight", "layer2.0.bn1.bias", "linear.bias"}
    assert expected <= set(names)
    assert not any("shortcut" in name for name in names)


@pytest.mark.parametrize(
    ("network", "task", "mean", "std"),
    [
        ("resnet20", "cifar10", 0.485, 0.229),
        ("resnet20", "cifar100", 0.485, 0.229),
        ("vgg16", "cifar10", 0.4914, 0.2023),
        ("vgg16", "cifar100", 0.5071, 0.2675),
        ("resnet18", "cifar100", 0.5071, 0.2675),
        ("resnet20_wide", "cifar10", 0.4914, 0.2023),
    ],
)
def test_pixels_are_normalised_for_the_network_and_the_dataset(
    network: str, task: str, mean: float, std: float
) -> None:
    encoded: Tensor = NETWORKS[network](TASKS[task]()).encode(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8))
    assert encoded.dtype == torch.float32
    assert encoded[0, 0, 0, 0].item() == pytest.approx((1 - mean) / std)


def test_digits_are_centred() -> None:
    task = TASKS["digits"]()
    encoded = NETWORKS["digits_convnet"](task).encode(task.calibration(2000, seed=0))
    assert encoded.mean().item() == pytest.approx(0, abs=0.01)
    assert encoded.std().item() == pytest.approx(1, abs=0.01)


def test_a_network_refuses_a_task_it_does_not_fit() -> None:
    with pytest.raises(
        InvalidInput,
        match=r"resnet20 does not fit task digits: it takes samples of 3x32x32, and the task's are 1x8x8\.",
    ):
        NETWORKS["resnet20"](TASKS["digits"]())
