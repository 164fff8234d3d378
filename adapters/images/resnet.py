"""Residual networks made for 32x32 images (He et al., "Deep Residual Learning for Image Recognition", 2016, 4.2).

The narrow ones, 16-32-64 channels, follow the paper and have its parameter-free shortcuts (option A); their module
names are those of github.com/akamaster/pytorch_resnet_cifar10, so its published weights load. The wide ones,
64-128-256 channels with projection shortcuts (option B), are the ResNets of SNN Calibration (Li et al., 2021).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from adapters.base import NETWORKS, Network, NetworkInfo
from adapters.images.base import SmallImageNetwork
from adapters.initialisation import initialise
from tasks.images.base import ImageClassification

Shortcut = Literal["subsample", "projection"]


class Subsample(nn.Module):
    """Option A: every `stride`-th pixel, with the new channels zero and split evenly before and after the old ones.

    Args:
        new: number of channels that are added.
        stride: stride in both directions.
    """

    def __init__(self, new: int, stride: int) -> None:
        super().__init__()
        self.new = new
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        before = self.new // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.new - before))


class BasicBlock(nn.Module):
    """ReLU(shortcut(x) + BN(conv(ReLU(BN(conv(x)))))), with 3x3 convolutions.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        stride: stride of the first convolution and the shortcut.
        shortcut: the kind of shortcut where the shape changes; else it is the identity.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module
        if inputs == outputs and stride == 1:
            self.shortcut = nn.Identity()
        elif shortcut == "subsample":
            self.shortcut = Subsample(outputs - inputs, stride)
        else:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(residual + self.shortcut(x))


class CifarResNet(nn.Module):
    """3x3 stem, three stages of basic blocks (stride 1, 2, 2), global average pooling, one linear layer.

    Args:
        blocks: per stage; the depth is 6 * blocks + 2.
        widths: channels of the three stages; the stem has as many as the first.
        shortcut: see `BasicBlock`.
        classes: size of the output.
    """

    def __init__(self, blocks: int, widths: tuple[int, int, int], shortcut: Shortcut, classes: int) -> None:
        super().__init__()

        def stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
            first = BasicBlock(inputs, outputs, stride, shortcut)
            return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1, shortcut) for _ in range(blocks - 1)))

        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.layer1 = stage(widths[0], widths[0], stride=1)
        self.layer2 = stage(widths[0], widths[1], stride=2)
        self.layer3 = stage(widths[1], widths[2], stride=2)
        self.linear = nn.Linear(widths[2], classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 32, 32) to logits (N, classes)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


class NarrowResNet(Network):
    """Option A, with the ImageNet statistics that the published weights were trained on, whatever the task's."""

    info = NetworkInfo(
        "ResNet for 32x32 images, 16-32-64 channels, zero-padded shortcuts",
        'He et al., "Deep Residual Learning for Image Recognition", CVPR 2016',
        "https://github.com/akamaster/pytorch_resnet_cifar10", "BSD 2-Clause", {"cifar10": "{name}-*.th"},
    )  # fmt: skip
    family, shape = ImageClassification, SmallImageNetwork.shape
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    blocks: ClassVar[int]

    def build(self) -> CifarResNet:
        return CifarResNet(self.blocks, (16, 32, 64), "subsample", len(self.task.classes))


@NETWORKS.register("resnet20")
class ResNet20(NarrowResNet):
    blocks = 3


@NETWORKS.register("resnet32")
class ResNet32(NarrowResNet):
    blocks = 5


@NETWORKS.register("resnet44")
class ResNet44(NarrowResNet):
    blocks = 7


@NETWORKS.register("resnet56")
class ResNet56(NarrowResNet):
    blocks = 9


class WideResNet(SmallImageNetwork):
    """Option B, four times as wide."""

    info = NetworkInfo(
        "ResNet for 32x32 images, 64-128-256 channels, as in SNN Calibration",
        'Li et al., "A Free Lunch From ANN: Towards Efficient, Accurate Spiking Neural Networks Calibration", '
        "ICML 2021",
        "https://github.com/yhhhli/SNN_Calibration",
    )

    blocks: ClassVar[int]

    def build(self) -> CifarResNet:
        return CifarResNet(self.blocks, (64, 128, 256), "projection", len(self.task.classes))


@NETWORKS.register("resnet20_wide")
class ResNet20Wide(WideResNet):
    blocks = 3


@NETWORKS.register("resnet32_wide")
class ResNet32Wide(WideResNet):
    blocks = 5
