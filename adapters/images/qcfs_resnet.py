"""Residual networks with QCFS activations; module names are those of the published code, so its weights load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from adapters.base import NETWORKS
from adapters.images.qcfs import INFO, Qcfs, QcfsImageNetNetwork, QcfsNetwork

WIDTHS = (64, 128, 256, 512)


class QcfsBlock(nn.Module):
    """QCFS(shortcut(x) + BN(conv(QCFS(BN(conv(x)))))), with 3x3 convolutions and 1x1 shortcuts where the shape changes.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        stride: stride of the first convolution and the shortcut.
        levels: L of the activations.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, levels: int) -> None:
        super().__init__()
        self.residual_function = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), Qcfs(levels),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.shortcut = nn.Sequential()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.act = Qcfs(levels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.residual_function(x) + self.shortcut(x))


class QcfsResNetModule(nn.Module):
    """3x3 stem of stride 1, stages of basic blocks `conv2_x`, `conv3_x`, ... (stride 1, then 2), mean, linear layer.

    Weights start as PyTorch draws them, as in the published code.

    Args:
        blocks: of each stage.
        widths: channels of each stage; the stem has as many as the first.
        levels: L of the activations.
        classes: size of the output.
    """

    def __init__(self, blocks: Sequence[int], widths: Sequence[int], levels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), Qcfs(levels)
        )
        inputs = widths[0]
        self.stages = [f"conv{number}_x" for number in range(2, 2 + len(blocks))]
        for name, outputs, count in zip(self.stages, widths, blocks, strict=True):
            first = QcfsBlock(inputs, outputs, 1 if name == "conv2_x" else 2, levels)
            others = (QcfsBlock(outputs, outputs, 1, levels) for _ in range(count - 1))
            self.add_module(name, nn.Sequential(first, *others))
            inputs = outputs
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to logits (N, classes)."""
        x = self.conv1(x)
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return self.fc(self.avg_pool(x).flatten(1))


@NETWORKS.register("qcfs_resnet20")
class QcfsResNet20(QcfsNetwork):
    """L = 8, the default of the released script."""

    info = replace(INFO, title="ResNet-20 for 32x32 images, 16-32-64 channels, 1x1 shortcuts, QCFS activations")
    levels = 8

    def build(self) -> QcfsResNetModule:
        return QcfsResNetModule((3, 3, 3), (16, 32, 64), self.levels, len(self.task.classes))


@NETWORKS.register("qcfs_resnet20_l4")
class QcfsResNet20L4(QcfsResNet20):
    """L = 4, which the release recommends for CIFAR-10: made for fewer steps."""

    levels = 4


@NETWORKS.register("qcfs_resnet18")
class QcfsResNet18(QcfsNetwork):
    """L = 4."""

    info = replace(INFO, title="ResNet-18 with a 3x3 stem for 32x32 images, QCFS activations")
    levels = 4

    def build(self) -> QcfsResNetModule:
        return QcfsResNetModule((2, 2, 2, 2), WIDTHS, self.levels, len(self.task.classes))


@NETWORKS.register("qcfs_imagenet_resnet34")
class QcfsImageNetResNet34(QcfsImageNetNetwork):
    """L = 8. The stem keeps all 224x224 pixels, so an image costs about 16 times as much as in torchvision's."""

    info = replace(INFO, title="ResNet-34 with a 3x3 stem for ImageNet, QCFS activations")
    levels = 8

    def build(self) -> QcfsResNetModule:
        return QcfsResNetModule((3, 4, 6, 3), WIDTHS, self.levels, len(self.task.classes))
