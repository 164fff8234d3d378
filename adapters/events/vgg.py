"""VGG for event cameras: without batch norm, with average pooling, and one linear layer."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from adapters.base import NETWORKS, Backbone, NetworkInfo
from adapters.events.base import RECIPE, ResizedEventNetwork
from adapters.images.vgg import STAGES, features
from adapters.initialisation import initialise

# Configuration A of Simonyan, Zisserman, "Very Deep Convolutional Networks", 2015; D is that of the CIFAR network.
SHALLOW = ((64,), (128,), (256, 256), (512, 512), (512, 512))


class PlainVgg(nn.Module):
    """Stages of 3x3 convolution and ReLU, each closed by 2x2 average pooling; global average pooling, a linear layer.

    Args:
        channels: number of channels of the input.
        stages: channels of the convolutions of each stage.
        classes: size of the output.
    """

    def __init__(self, channels: int, stages: tuple[tuple[int, ...], ...], classes: int) -> None:
        super().__init__()
        self.features = features(channels, stages, normalised=False)
        self.classifier = nn.Linear(stages[-1][-1], classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W), H and W at least 32, to logits (N, classes)."""
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


class EventVgg(ResizedEventNetwork):
    """VGG without batch norm; average pooling where VGG takes maxima, and no hidden linear layers."""

    info = NetworkInfo(
        "VGG for event cameras, 224x224, without batch norm",
        'Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015',
    )
    stages: ClassVar[tuple[tuple[int, ...], ...]]
    recipe = RECIPE
    # torchvision's has the same indices; its first convolution takes three channels.
    backbone = Backbone(
        "torchvision's weights of the same VGG without batch norm", {"features.": "features."},
        ("features.0.", "classifier."),
    )  # fmt: skip

    def build(self) -> PlainVgg:
        return PlainVgg(self.channels, self.stages, len(self.task.classes))


@NETWORKS.register("event_vgg11")
class EventVgg11(EventVgg):
    stages = SHALLOW


@NETWORKS.register("event_vgg16")
class EventVgg16(EventVgg):
    stages = STAGES
