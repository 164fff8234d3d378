"""The paper's VGG for event cameras: torchvision's without batch norm, with average pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import nn
from torchvision.models.vgg import VGG, vgg11, vgg16

from adapters.base import NETWORKS
from adapters.events import RECIPE, ResizedEventNetwork


class EventVgg(ResizedEventNetwork):
    """torchvision's VGG; its first convolution takes all channels, and it averages where torchvision takes maxima."""

    model: ClassVar[Callable[..., VGG]]
    recipe = RECIPE

    def build(self) -> VGG:
        network = type(self).model(num_classes=len(self.task.classes))
        for position, layer in enumerate(network.features):
            if isinstance(layer, nn.MaxPool2d):
                network.features[position] = nn.AvgPool2d(2)
        first = nn.Conv2d(self.channels, 64, 3, padding=1)
        nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
        assert first.bias is not None
        nn.init.zeros_(first.bias)
        network.features[0] = first
        return network


@NETWORKS.register("event_vgg11")
class EventVgg11(EventVgg):
    name, model = "event_vgg11", staticmethod(vgg11)


@NETWORKS.register("event_vgg16")
class EventVgg16(EventVgg):
    name, model = "event_vgg16", staticmethod(vgg16)
