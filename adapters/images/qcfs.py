"""Networks trained with QCFS activations (Bu et al., ICLR 2022): the activation, and what the networks share."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from adapters.base import NetworkInfo, Recipe
from adapters.images.base import ImageNetwork
from conversion.capture.qcfs import qcfs
from conversion.errors import InvalidInput
from tasks.base import Task

INFO = NetworkInfo(
    citation='Bu et al., "Optimal ANN-SNN Conversion for High-accuracy and Ultra-low-latency Spiking Neural Networks", '
    "ICLR 2022",
    homepage="https://github.com/putshua/ANN_SNN_QCFS",
)


class Qcfs(nn.Module):
    """The QCFS activation, th floor(L clip(x / th, 0, 1) + 1/2) / L, whose threshold th is learnt with the weights.

    Args:
        levels: L.
        threshold: th before training.
    """

    def __init__(self, levels: int, threshold: float = 8.0) -> None:
        super().__init__()
        if levels < 1:
            raise InvalidInput(f"A QCFS activation needs at least 1 level above zero; {levels} were asked for.")
        self.thresh = nn.Parameter(torch.tensor([threshold]))
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        return qcfs(x, self.thresh, self.levels)

    def extra_repr(self) -> str:
        return f"levels={self.levels}"


class QcfsNetwork(ImageNetwork):
    """A classifier of 32x32 images with QCFS activations and the training settings of the release.

    As released for CIFAR-100, more than 10 classes halve the learning rate.
    """

    info = INFO
    shape = (3, 32, 32)
    recipe = Recipe(batch_size=300, augment="cifar_mean")
    levels: ClassVar[int]
    """L of every activation."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if len(task.classes) > 10:
            self.recipe = replace(self.recipe, learning_rate=self.recipe.learning_rate / 2)


class QcfsImageNetNetwork(ImageNetwork):
    """A classifier of 224x224 images with QCFS activations and the training settings of the release for ImageNet."""

    info = INFO
    shape = (3, 224, 224)
    recipe = Recipe(epochs=120, weight_decay=1e-4, label_smoothing=0.1, augment="imagenet")
    levels: ClassVar[int]
    """L of every activation."""
