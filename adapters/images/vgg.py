"""VGG-16 for CIFAR as SNN Calibration (Li et al., 2021) trains it: average pooling and a single linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from adapters.base import NETWORKS, NetworkInfo
from adapters.images.base import SmallImageNetwork
from adapters.initialisation import initialise

# Configuration D of Simonyan, Zisserman, "Very Deep Convolutional Networks", 2015: channels per stage.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def features(channels: int, stages: tuple[tuple[int, ...], ...], *, normalised: bool) -> nn.Sequential:
    """Stages of 3x3 convolution, batch norm if asked for, and ReLU, each closed by 2x2 average pooling.

    Args:
        channels: number of channels of the input.
        stages: channels of the convolutions of each stage.
        normalised: whether convolutions have batch norm.
    """
    layers: list[nn.Module] = []
    for stage in stages:
        for outputs in stage:
            norm = [nn.BatchNorm2d(outputs)] if normalised else []
            layers += [nn.Conv2d(channels, outputs, 3, padding=1), *norm, nn.ReLU()]
            channels = outputs
        layers.append(nn.AvgPool2d(2))
    return nn.Sequential(*layers)


class Vgg(nn.Module):
    """Stages of 3x3 convolution, batch norm and ReLU, each closed by 2x2 average pooling.

    Module names are those of SNN Calibration's VGG, `features.<index>` and `classifier`.

    Args:
        stages: channels of the convolutions of each stage.
        classes: size of the output.
    """

    def __init__(self, stages: tuple[tuple[int, ...], ...], classes: int) -> None:
        super().__init__()
        self.features = features(3, stages, normalised=True)
        self.classifier = nn.Linear(stages[-1][-1], classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 32, 32) to logits (N, classes); five poolings leave one pixel."""
        return self.classifier(self.features(x).flatten(1))


@NETWORKS.register("vgg16")
class Vgg16(SmallImageNetwork):
    """VGG-16 with average pooling and a single linear layer."""

    info = NetworkInfo(
        "VGG-16 for 32x32 images, average pooling, one linear layer",
        'Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015; as '
        "trained by Li et al., ICML 2021",
        "https://github.com/yhhhli/SNN_Calibration",
    )

    def build(self) -> Vgg:
        return Vgg(STAGES, len(self.task.classes))
