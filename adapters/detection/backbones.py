"""Backbones of detectors: two feature maps of an image, the coarser half as high and wide as the finer.

Every backbone is called with images (N, 3, H, W), H and W multiples of 32, and returns the finer map, then the coarser,
1/16 and 1/32 of the image unless it says otherwise; `channels` says how many channels the two have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn
from torchvision.models import ResNet, resnet34, resnet50

from adapters.images.resnet import BasicBlock

Activation = Callable[[], nn.Module]


def convolution(inputs: int, outputs: int, kernel: int, activation: Activation, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the size at stride 1, batch norm, activation."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), activation())


def _stack(inputs: int, outputs: Sequence[int], activation: Activation) -> nn.Sequential:
    """Alternating 3x3 and 1x1 convolutions, as in Darknet."""
    widths = [inputs, *outputs]
    kernels = [3 if i % 2 == 0 else 1 for i in range(len(outputs))]
    triples = zip(widths, widths[1:], kernels, strict=False)
    return nn.Sequential(*(convolution(a, b, kernel, activation) for a, b, kernel in triples))


class Darknet19(nn.Module):
    """Darknet-19 without its classifier (Redmon, Farhadi, "YOLO9000", CVPR 2017, table 6)."""

    channels = (512, 1024)

    def __init__(self, activation: Activation = nn.ReLU) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            _stack(3, [32], activation), nn.MaxPool2d(2),
            _stack(32, [64], activation), nn.MaxPool2d(2),
            _stack(64, [128, 64, 128], activation), nn.MaxPool2d(2),
            _stack(128, [256, 128, 256], activation), nn.MaxPool2d(2),
            _stack(256, [512, 256, 512, 256, 512], activation),
        )  # fmt: skip
        self.coarse = nn.Sequential(nn.MaxPool2d(2), _stack(512, [1024, 512, 1024, 512, 1024], activation))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(x)
        return fine, self.coarse(fine)


class TinyDarknet(nn.Module):
    """The backbone of Tiny YOLOv2: six 3x3 convolutions with max pooling, then one more; its last pooling of stride 1
    is left out."""

    channels = (256, 1024)

    def __init__(self, activation: Activation = nn.ReLU) -> None:
        super().__init__()
        widths = [3, 16, 32, 64, 128]
        pairs = pairwise(widths)
        blocks = [part for a, b in pairs for part in (convolution(a, b, 3, activation), nn.MaxPool2d(2))]
        self.fine = nn.Sequential(*blocks, convolution(128, 256, 3, activation))
        self.coarse = nn.Sequential(
            nn.MaxPool2d(2), convolution(256, 512, 3, activation), convolution(512, 1024, 3, activation)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(x)
        return fine, self.coarse(fine)


class TorchvisionResNet(nn.Module):
    """One of torchvision's residual networks without its classifier, under torchvision's names."""

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        self.layer1, self.layer2, self.layer3 = network.layer1, network.layer2, network.layer3
        self.layer4 = network.layer4
        self.channels = (network.fc.in_features // 2, network.fc.in_features)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.layer3(self.layer2(self.layer1(self.stem(x))))
        return fine, self.layer4(fine)


def resnet34_backbone() -> TorchvisionResNet:
    """ResNet-34, random weights."""
    return TorchvisionResNet(resnet34())


def resnet50_backbone() -> TorchvisionResNet:
    """ResNet-50, random weights."""
    return TorchvisionResNet(resnet50())


class NarrowResNet(nn.Module):
    """The first stages of a ResNet-18 at a fraction of its width, without pooling; its maps are 1/8 and 1/16.

    Args:
        widths: channels of the first convolution and of three stages, each of stride 2.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.channels = (widths[-2], widths[-1])
        self.stem = convolution(3, widths[0], 3, nn.ReLU, stride=2)
        stages = [
            nn.Sequential(BasicBlock(a, b, 2, "projection"), BasicBlock(b, b, 1, "projection"))
            for a, b in pairwise(widths)
        ]
        self.fine, self.coarse = nn.Sequential(*stages[:-1]), stages[-1]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(self.stem(x))
        return fine, self.coarse(fine)
