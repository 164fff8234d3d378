"""Networks that classify every pixel: torchvision's DeepLabv3 and FCN on ResNet-50, and small ones for a CPU.

All activations are ReLUs. The operations behind the last of them, the classifying convolutions and the upsampling to
the size of the image, are linear: the simulation applies them once, to the averaged readout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import segmentation

from adapters.base import NETWORKS, Backbone, Network, NetworkInfo, Recipe
from adapters.images.resnet import BasicBlock
from adapters.initialisation import initialise
from tasks.segmentation.base import IGNORE, Segmentation


class SegmentationNetwork(Network):
    """A network whose output is a map of class scores, shape (N, classes, H, W)."""

    family, shape = Segmentation, (3, None, None)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's.

    def decode(self, output: Any) -> Tensor:
        """Class scores to class indices, uint8 of shape (N, H, W)."""
        return output.argmax(dim=1).to(torch.uint8)

    def loss(self, output: Any, targets: Any) -> Tensor:
        """Cross-entropy, a mean over the pixels whose target is not 255."""
        # A batch without a labelled pixel has no mean; its loss is 0.
        total = F.cross_entropy(output.float(), targets.long(), ignore_index=IGNORE, reduction="sum")
        return total / (targets != IGNORE).sum().clamp(min=1)


class Scores(nn.Module):
    """One of torchvision's segmentation models, whose output is scores instead of a dictionary.

    Args:
        model: torchvision's model; its parameters keep their names.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.backbone = model.backbone
        self.classifier = model.classifier

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to scores (N, classes, H, W)."""
        scores = self.classifier(self.backbone(x)["out"])
        return resized(scores, x.shape[-2:])


class LightFCN(nn.Module):
    """A residual network of four stages whose features are merged from the coarsest to the finest.

    Every stage halves the image, and so does the stem. Each coarser stage is upsampled and added to the next finer one
    (Lin et al., "Feature Pyramid Networks", 2017) down to the second; the scores of that and of the first stage, at a
    quarter of the image's size, are added (Long et al., "Fully Convolutional Networks", 2015) and upsampled.

    Args:
        classes: size of the output.
        stem: channels of the first convolution.
        widths: channels of the four stages, each of two residual blocks.
        merged: channels of the merged features.
        stride: stride of the first convolution; 1 for small images.
    """

    def __init__(
        self, classes: int, stem: int, widths: tuple[int, int, int, int], merged: int, stride: int = 2
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, stride, padding=1, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        self.stages = nn.ModuleList(
            nn.Sequential(BasicBlock(inputs, width, 2, "projection"), BasicBlock(width, width, 1, "projection"))
            for inputs, width in zip((stem, *widths), widths, strict=False)
        )
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, merged, 1, bias=False), nn.BatchNorm2d(merged)) for width in widths[1:]
        )
        self.relu = nn.ReLU()
        self.smooth = nn.Sequential(
            nn.Conv2d(merged, merged, 3, padding=1, bias=False), nn.BatchNorm2d(merged), nn.ReLU()
        )
        self.coarse = nn.Conv2d(merged, classes, 1)
        self.fine = nn.Conv2d(widths[0], classes, 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to scores (N, classes, H, W)."""
        size = x.shape[-2:]
        features = [x := self.stages[0](self.stem(x))]
        for stage in self.stages[1:]:
            features.append(x := stage(x))
        x = self.relu(self.lateral[-1](x))
        for lateral, finer in zip(self.lateral[-2::-1], features[-2:0:-1], strict=True):
            x = self.relu(lateral(finer) + resized(x, finer.shape[-2:]))
        scores = resized(self.coarse(self.smooth(x)), features[0].shape[-2:]) + self.fine(features[0])
        return resized(scores, size)


def resized(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps upsampled to a height and width, bilinearly."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


# torchvision's names, for instance deeplabv3_resnet50_coco-cd0a2569.pth: COCO's images with VOC's classes.
FILES = {"voc": "{name}_coco-*.pth"}


class TorchvisionNetwork(SegmentationNetwork):
    """A network of torchvision's on ResNet-50 with output stride 8, without its auxiliary head.

    torchvision's own state dicts, trained on COCO's images of VOC's 21 classes, load for VOC from a file.
    """

    recipe = Recipe(
        epochs=50, batch_size=8, learning_rate=0.007, weight_decay=1e-4, augment="scale_crop", schedule="poly"
    )
    constructor: ClassVar[Callable[..., Any]]
    backbone = Backbone("torchvision's weights of ResNet-50", {"": "backbone."}, ("fc.",))

    def build(self) -> Scores:
        # Without `weights_backbone=None` torchvision would download ImageNet's.
        model = type(self).constructor(
            weights=None, weights_backbone=None, num_classes=len(self.task.classes), aux_loss=False
        )
        return Scores(model)


@NETWORKS.register("deeplabv3_resnet50")
class DeepLabv3ResNet50(TorchvisionNetwork):
    """DeepLabv3 (Chen et al., arXiv:1706.05587) as torchvision builds it, 39.6 million parameters."""

    info = NetworkInfo(
        "DeepLabv3 on ResNet-50, torchvision's",
        'Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", arXiv:1706.05587, 2017',
        "https://docs.pytorch.org/vision/stable/models/deeplabv3.html", files=FILES,
    )  # fmt: skip
    constructor = segmentation.deeplabv3_resnet50


@NETWORKS.register("fcn_resnet50")
class FCNResNet50(TorchvisionNetwork):
    """FCN (Long et al., CVPR 2015) as torchvision builds it, on the dilated ResNet-50, 33.0 million parameters."""

    info = NetworkInfo(
        "FCN on ResNet-50, torchvision's",
        'Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015',
        "https://docs.pytorch.org/vision/stable/models/fcn.html", files=FILES,
    )  # fmt: skip
    constructor = segmentation.fcn_resnet50


@NETWORKS.register("fcn_light")
class LightFCNNetwork(SegmentationNetwork):
    """1.1 million parameters, small enough to be trained on a CPU."""

    info = NetworkInfo("A light FCN: four residual stages, merged from coarse to fine")
    recipe = Recipe(
        epochs=80, batch_size=8, learning_rate=0.05, weight_decay=5e-4, augment="scale_crop_half", schedule="poly"
    )

    def build(self) -> LightFCN:
        return LightFCN(len(self.task.classes), 16, (32, 64, 96, 128), 64)


@NETWORKS.register("mini_fcn")
class MiniFCNNetwork(SegmentationNetwork):
    """The light network, narrower and for smaller images; its weights are shipped."""

    info = NetworkInfo("A light FCN for small images")
    recipe = Recipe(epochs=20, batch_size=32, learning_rate=0.1, weight_decay=5e-4, augment="none", schedule="poly")

    def build(self) -> LightFCN:
        return LightFCN(len(self.task.classes), 16, (16, 32, 48, 64), 32, stride=1)
