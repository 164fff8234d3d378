"""The paper's residual networks for event cameras: torchvision's, behind a convolution that makes three channels."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from adapters.base import NETWORKS, Backbone, NetworkInfo
from adapters.events.base import RECIPE, ResizedEventNetwork
from adapters.initialisation import initialise


class EventResNet(ResizedEventNetwork):
    """A 3x3 convolution from all channels to 3, without an activation, then a ResNet whose stem has average pooling.

    The released code starts the ResNet from ImageNet's weights, as `train --backbone` does.
    """

    info = NetworkInfo(
        "torchvision's ResNet for event cameras, 224x224",
        'He et al., "Deep Residual Learning for Image Recognition", CVPR 2016',
        "https://docs.pytorch.org/vision/stable/models/resnet.html",
    )
    blocks: ClassVar[tuple[int, ...]]
    recipe = RECIPE
    # The first convolution and the classifier are those of this network.
    backbone = Backbone("torchvision's weights of the same ResNet", {"": "backbone."}, ("fc.",))

    def build(self) -> nn.Sequential:
        network = ResNet(BasicBlock, list(self.blocks), num_classes=len(self.task.classes))
        network.maxpool = nn.AvgPool2d(3, 2, 1)
        whole = nn.Sequential(
            OrderedDict(reduction=nn.Conv2d(self.channels, 3, 3, padding=1, bias=False), backbone=network)
        )
        initialise(whole)
        return whole


@NETWORKS.register("event_resnet18")
class EventResNet18(EventResNet):
    blocks = (2, 2, 2, 2)


@NETWORKS.register("event_resnet34")
class EventResNet34(EventResNet):
    blocks = (3, 4, 6, 3)
