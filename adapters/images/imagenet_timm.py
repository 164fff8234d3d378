"""timm's residual networks for ImageNet, on which the training-free frontier is published (DCGS, H-MT).

Their modules are torchvision's; weights and preprocessing differ (Wightman et al., "ResNet strikes back", 2021).
"""

from __future__ import annotations

from adapters.base import NETWORKS, NetworkInfo
from adapters.images.imagenet import TorchvisionClassifier
from tasks.images.preprocessing import Preprocessing


class TimmResNet(TorchvisionClassifier):
    """A residual network of timm, under torchvision's module names, with weights of recipe A1."""

    # The crop is 0.95 of the shorter side, rounded as timm does it.
    preprocessing = Preprocessing(int(224 / 0.95), 224, "bicubic")


for _architecture, _hash, _accuracy in (("resnet18", "d63eafa0", 71.50), ("resnet34", "46f8f793", 76.42)):
    _name = f"{_architecture}.a1_in1k"
    NETWORKS.variant(
        TimmResNet, f"timm/{_name}", f"{_architecture}.", architecture=_architecture,
        info=NetworkInfo(
            f"timm's {_architecture}, recipe A1",
            'Wightman et al., "ResNet strikes back: An improved training procedure in timm", NeurIPS Workshop 2021',
            f"https://huggingface.co/timm/{_name}", "Apache-2.0",
            {"imagenet": (
                f"{_architecture}_a1_0-{_hash}.pth", f"{_name}/model.safetensors", f"timm/{_name}/model.safetensors",
                f"models--timm--{_name}/snapshots/*/model.safetensors",
            )},
            f"accuracy {_accuracy:.2f} on imagenet at 224x224 (timm)",
        ),
    )  # fmt: skip
