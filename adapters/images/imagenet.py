"""Classifiers of ImageNet: torchvision's, with the preprocessing that their published weights were trained for."""

from __future__ import annotations

from typing import ClassVar

from torch import nn
from torchvision import models
from torchvision.models import WeightsEnum, get_model

from adapters.base import NETWORKS, NetworkInfo, Recipe
from adapters.images.base import ImageNetwork
from tasks.base import Task
from tasks.images.preprocessing import Preprocessing
from tasks.images.sized import SizedImages

# Those of torchvision's training reference for residual networks, but for its random sizes of crops.
RECIPE = Recipe(epochs=90, batch_size=256, weight_decay=1e-4, milestones=(30, 60))


class PhotographNetwork(ImageNetwork):
    """A classifier of photographs that brings its own preprocessing: it sees its task through it."""

    family = SizedImages
    shape: ClassVar[tuple[int | None, ...]] = (3, None, None)
    recipe = RECIPE
    task: SizedImages
    preprocessing: ClassVar[Preprocessing]

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.task = self.task.seen_through(self.preprocessing)
        self.mean, self.std = self.preprocessing.mean, self.preprocessing.std

    @classmethod
    def fits(cls, task: Task) -> str | None:
        side = cls.preprocessing.crop
        misfit = super().fits(task)
        if misfit is None and tuple(task.input_shape[1:]) != (side, side):
            height, width = task.input_shape[1:]
            return cls.misfit(task, f"it takes images of {side}x{side}, and the task's are {height}x{width}")
        return misfit


class TorchvisionClassifier(PhotographNetwork):
    """A classifier of torchvision, under its module names."""

    architecture: ClassVar[str]
    """torchvision's name of the function that builds it."""

    def build(self) -> nn.Module:
        network: nn.Module = get_model(self.architecture, weights=None, num_classes=len(self.task.classes))
        return network


class TorchvisionTransformer(TorchvisionClassifier):
    """A vision transformer of torchvision, which takes images of one size only."""

    shape = (3, 224, 224)

    def build(self) -> nn.Module:
        network: models.VisionTransformer = super().build()
        # torchvision's head is zero, whatever the seed.
        nn.init.normal_(network.heads.head.weight, std=0.02)
        return network


def published(architecture: str, title: str, citation: str | None, weights: WeightsEnum) -> NetworkInfo:
    """What torchvision says of weights."""
    page = f"https://docs.pytorch.org/vision/stable/models/generated/torchvision.models.{architecture}.html"
    accuracy = weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    return NetworkInfo(
        title, citation, page, "BSD-3-Clause", {"imagenet": weights.url.rpartition("/")[2]},
        f"accuracy {accuracy:.2f} on imagenet (torchvision)",
    )  # fmt: skip


_VGG = 'Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015'
_RESNET = 'He et al., "Deep Residual Learning for Image Recognition", CVPR 2016'
_MOBILENET = 'Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018'
_SQUEEZENET = (
    'Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016'
)  # fmt: skip
_VIT = (
    'Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", ICLR 2021'
)  # fmt: skip

for _name, _citation, _weights in (
    ("vgg16", _VGG, models.VGG16_Weights.IMAGENET1K_V1),
    ("vgg16_bn", _VGG, models.VGG16_BN_Weights.IMAGENET1K_V1),
    ("resnet18", _RESNET, models.ResNet18_Weights.IMAGENET1K_V1),
    ("resnet34", _RESNET, models.ResNet34_Weights.IMAGENET1K_V1),
    ("resnet50", _RESNET, models.ResNet50_Weights.IMAGENET1K_V1),
    ("resnet50.v2", _RESNET, models.ResNet50_Weights.IMAGENET1K_V2),
    ("mobilenet_v2", _MOBILENET, models.MobileNet_V2_Weights.IMAGENET1K_V1),
    ("mobilenet_v2.v2", _MOBILENET, models.MobileNet_V2_Weights.IMAGENET1K_V2),
    ("squeezenet1_0", _SQUEEZENET, models.SqueezeNet1_0_Weights.IMAGENET1K_V1),
    ("vit_b_16", _VIT, models.ViT_B_16_Weights.IMAGENET1K_V1),
):
    _architecture, _, _version = _name.partition(".")
    NETWORKS.variant(
        TorchvisionTransformer if _name.startswith("vit") else TorchvisionClassifier, f"torchvision/{_name}",
        f"{_architecture}, weights {_weights.name}.", architecture=_architecture,
        preprocessing=Preprocessing.of(_weights),
        info=published(
            _architecture, f"torchvision's {_architecture}{' with its second weights' if _version else ''}", _citation,
            _weights,
        ),
    )  # fmt: skip
