"""torchvision's ResNet-18 (64-128-256-512 channels) with a stem for small images."""

from __future__ import annotations

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from adapters.base import NETWORKS, NetworkInfo
from adapters.images.base import SmallImageNetwork
from adapters.initialisation import initialise


@NETWORKS.register("resnet18")
class ResNet18(SmallImageNetwork):
    """torchvision's module names; the 7x7 stem and its max pooling, which would leave 8x8 pixels, give way to a 3x3."""

    info = NetworkInfo(
        "torchvision's ResNet-18 with a stem for 32x32 images",
        'He et al., "Deep Residual Learning for Image Recognition", CVPR 2016',
        "https://docs.pytorch.org/vision/stable/models/resnet.html",
    )

    def build(self) -> ResNet:
        network = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=len(self.task.classes))
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
        initialise(network)
        return network
