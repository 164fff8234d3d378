"""The ImageNet networks of SNN Calibration (Li et al., 2021), with average pooling: the ANNs of the paper's Table 1.

Their module names are those of the published files, vgg16_snn.pth.tar and res34_snn.pth.tar.
"""

from __future__ import annotations

from torch import nn
from torchvision.models import resnet34, vgg16_bn

from adapters.base import NETWORKS, NetworkInfo
from adapters.images.imagenet import PhotographNetwork
from tasks.images.preprocessing import Preprocessing

CITATION = (
    'Li et al., "A Free Lunch From ANN: Towards Efficient, Accurate Spiking Neural Networks Calibration", ICML 2021'
)  # fmt: skip
HOMEPAGE = "https://github.com/yhhhli/SNN_Calibration"


class CalibrationNetwork(PhotographNetwork):
    """A network of SNN Calibration for ImageNet."""

    preprocessing = Preprocessing(256, 224)


@NETWORKS.register("snn_calibration/vgg16")
class CalibrationVgg16(CalibrationNetwork):
    """VGG-16 with batch norm and average pooling, three linear layers as in torchvision's."""

    info = NetworkInfo(
        "SNN Calibration's VGG-16 for ImageNet, average pooling", CITATION, HOMEPAGE, "MIT",
        {"imagenet": ("vgg16_snn.pth.tar", "checkpoints/vgg16_snn.pth.tar")},
        "accuracy 75.36 on imagenet (SNN Calibration)",
    )  # fmt: skip

    def build(self) -> nn.Module:
        network = vgg16_bn(num_classes=len(self.task.classes))
        for index, layer in enumerate(network.features):
            if isinstance(layer, nn.MaxPool2d):
                network.features[index] = nn.AvgPool2d(2, 2)
        return network


@NETWORKS.register("snn_calibration/resnet34")
class CalibrationResNet34(CalibrationNetwork):
    """ResNet-34 with a stem of three 3x3 convolutions and average pooling behind it."""

    info = NetworkInfo(
        "SNN Calibration's ResNet-34 for ImageNet, deep stem, average pooling", CITATION, HOMEPAGE, "MIT",
        {"imagenet": ("res34_snn.pth.tar", "checkpoints/res34_snn.pth.tar")},
        "accuracy 75.66 on imagenet (SNN Calibration)",
    )  # fmt: skip

    def build(self) -> nn.Module:
        network = resnet34(num_classes=len(self.task.classes))
        stem = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, 1, 1, bias=False),
        )  # fmt: skip
        network.conv1 = stem
        network.maxpool = nn.AvgPool2d(3, 2, 1)
        return network
