"""A network for event cameras that trains on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from adapters.base import NETWORKS, NetworkInfo, shown
from adapters.events.base import RECIPE, EventNetwork, sum_pooled
from adapters.images.resnet import BasicBlock
from adapters.initialisation import initialise
from tasks.base import Task

# Most pixels on the longer side: larger samples are pooled. Fewest pixels on the shorter side, for two poolings.
LARGEST, SMALLEST = 40, 4


class EventConvNet(nn.Module):
    """Two convolutions with average pooling, two residual blocks, global average pooling, one linear layer.

    Args:
        channels: number of channels of the input.
        widths: channels of the first convolution, of the second and the first block, and of the second block.
        classes: size of the output.
    """

    def __init__(self, channels: int, widths: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        first, second, third = widths
        self.conv1 = nn.Conv2d(channels, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(first, second, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(second)
        self.relu2 = nn.ReLU()
        self.pool = nn.AvgPool2d(2)
        self.block1 = BasicBlock(second, second, 1, "projection")
        self.block2 = BasicBlock(second, third, 2, "projection")
        self.linear = nn.Linear(third, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to logits (N, classes)."""
        x = self.pool(self.relu1(self.bn1(self.conv1(x))))
        x = self.pool(self.relu2(self.bn2(self.conv2(x))))
        x = self.block2(self.block1(x))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


@NETWORKS.register("event_convnet")
class EventConvolutions(EventNetwork):
    """A small residual network; events of neighbouring pixels are joined where a camera has more than 40 on a side."""

    info = NetworkInfo("A small residual network for event cameras")
    recipe = replace(RECIPE, epochs=40, batch_size=32, augment="events")

    def build(self) -> EventConvNet:
        return EventConvNet(self.channels, (16, 32, 64), len(self.task.classes))

    @classmethod
    def fits(cls, task: Task) -> str | None:
        small = cls.misfit(task, f"of {shown(task.input_shape)} too few pixels are left by joining and pooling them")
        return super().fits(task) or (
            small if min(task.input_shape[-2:]) < SMALLEST * pooling_side(task.input_shape) else None
        )

    def pixels(self, counts: Tensor) -> Tensor:
        side = pooling_side(counts.shape)
        return sum_pooled(counts, side) if side > 1 else counts


def pooling_side(shape: Sequence[int]) -> int:
    """The side of the squares whose counts are summed, for samples whose shape ends in height and width."""
    return -(-max(shape[-2:]) // LARGEST)
