"""VGG-16 with QCFS activations; module names are those of the published code, so its weights load."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from adapters.base import NETWORKS
from adapters.images.qcfs import INFO, Qcfs, QcfsImageNetNetwork, QcfsNetwork
from adapters.images.vgg import STAGES
from adapters.initialisation import initialise

HIDDEN = 4096


class QcfsVgg(nn.Module):
    """Stages `layer1` to `layer5` of 3x3 convolution, batch norm and QCFS, each closed by 2x2 average pooling.

    Dropout of rate 0 behind every activation does nothing; it is there for the numbers in the names of weights.

    Args:
        side: height and width of the images, a multiple of 32.
        levels: L of the activations.
        classes: size of the output.
    """

    def __init__(self, side: int, levels: int, classes: int) -> None:
        super().__init__()
        inputs = 3
        for number, stage in enumerate(STAGES, 1):
            layers: list[nn.Module] = []
            for outputs in stage:
                convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
                layers += [convolution, nn.BatchNorm2d(outputs), Qcfs(levels), nn.Dropout(0.0)]
                inputs = outputs
            self.add_module(f"layer{number}", nn.Sequential(*layers, nn.AvgPool2d(2)))
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs * (side // 32) ** 2, HIDDEN), Qcfs(levels), nn.Dropout(0.0),
            nn.Linear(HIDDEN, HIDDEN), Qcfs(levels), nn.Dropout(0.0),
            nn.Linear(HIDDEN, classes),
        )  # fmt: skip
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, side, side) to logits (N, classes)."""
        for number in range(1, 1 + len(STAGES)):
            x = self.get_submodule(f"layer{number}")(x)
        return self.classifier(x)


@NETWORKS.register("qcfs_vgg16")
class QcfsVgg16(QcfsNetwork):
    """L = 4."""

    info = replace(INFO, title="VGG-16 for 32x32 images, average pooling, three linear layers, QCFS activations")
    levels = 4

    def build(self) -> QcfsVgg:
        return QcfsVgg(32, self.levels, len(self.task.classes))


@NETWORKS.register("qcfs_imagenet_vgg16")
class QcfsImageNetVgg16(QcfsImageNetNetwork):
    """L = 16."""

    info = replace(INFO, title="VGG-16 with batch norm for ImageNet, average pooling, QCFS activations")
    levels = 16

    def build(self) -> QcfsVgg:
        return QcfsVgg(224, self.levels, len(self.task.classes))
