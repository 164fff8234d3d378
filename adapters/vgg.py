"""VGG-16 for CIFAR as SNN Calibration (Li et al., 2021) trains it: average pooling and a single linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from adapters.base import NETWORKS
from adapters.cifar import CifarNetwork
from adapters.initialisation import initialise

# Configuration D of Simonyan, Zisserman, "Very Deep Convolutional Networks", 2015: channels per stage.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class Vgg(nn.Module):
    """Stages of 3x3 convolution, batch norm and ReLU, each closed by 2x2 average pooling.

    Module names are those of SNN Calibration's VGG, `features.<index>` and `classifier`.

    Args:
        stages: channels of the convolutions of each stage.
        classes: size of the output.
    """

    def __init__(self, stages: tuple[tuple[int, ...], ...], classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for stage in stages:
            for outputs in stage:
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
                inputs = outputs
            layers.append(nn.AvgPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 32, 32) to logits (N, classes); five poolings leave one pixel."""
        return self.classifier(self.features(x).flatten(1))


@NETWORKS.register("vgg16")
class Vgg16(CifarNetwork):
    name = "vgg16"

    def build(self) -> Vgg:
        return Vgg(STAGES, len(self.task.classes))
