"""A network for 8x8 digits that trains in seconds, with every ingredient of the large ones."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from adapters.base import NETWORKS, NetworkInfo, Recipe
from adapters.images.base import ImageNetwork
from adapters.images.resnet import BasicBlock
from adapters.initialisation import initialise


class DigitsConvNet(nn.Module):
    """Stem, average pooling, two residual blocks (one identity, one projection shortcut), linear readout.

    Args:
        classes: size of the output.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu = nn.ReLU()
        self.pool = nn.AvgPool2d(2)
        self.block1 = BasicBlock(32, 32, 1, "projection")
        self.block2 = BasicBlock(32, 64, 1, "projection")
        self.linear = nn.Linear(64, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 8, 8) to logits (N, classes)."""
        x = self.pool(self.relu(self.bn1(self.conv1(x))))
        x = self.block2(self.block1(x))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


@NETWORKS.register("digits_convnet")
class DigitsNetwork(ImageNetwork):
    """The convolutional network of the digits; its weights are shipped."""

    info = NetworkInfo("A small residual network for grey images of 8x8")
    shape = (1, 8, 8)
    recipe = Recipe(epochs=40, batch_size=64, augment="shift")

    def build(self) -> DigitsConvNet:
        return DigitsConvNet(len(self.task.classes))
