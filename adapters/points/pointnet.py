"""PointNet (Qi et al., CVPR 2017) for classes and for parts, with transforms of the input and of the features.

Points are reduced to one vector by their mean, as in the code of the Adaptive Calibration paper, or by their maximum,
as published. Both end in a ReLU, where conversion places neurons. ReLU commutes with the maximum, so that one neuron
per channel replaces one per point. A mean of ReLUs is not negative, so that a ReLU behind it changes nothing in the
ANN; in the spiking network the next layer then receives the pooled neurons' spikes, not those of every point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapters.base import NETWORKS, Network, NetworkInfo, Recipe, shown
from tasks.base import Task
from tasks.points.base import CloudClassification
from tasks.points.parts import PartSegmentation

Reduce = Literal["mean", "max"]
ORTHOGONALITY = 1e-3
"""Weight of the feature transform's distance from a rotation in the loss."""
RULED_OUT = -1e3
"""Score of a part that the shape's category does not have."""


class Pooled(nn.Module):
    """A vector for a whole cloud from the features of its points: (N, inputs, P) to (N, outputs), not negative."""

    def __init__(self, inputs: int, outputs: int, reduce: Reduce) -> None:
        super().__init__()
        self.lift = nn.Sequential(nn.Conv1d(inputs, outputs, 1), nn.BatchNorm1d(outputs))
        self.reduce = reduce

    def forward(self, x: Tensor) -> Tensor:
        x = self.lift(x)
        return x.amax(2).relu() if self.reduce == "max" else x.relu().mean(2).relu()


class TransformNet(nn.Module):
    """The T-Net: a square matrix for each cloud, near the identity.

    Args:
        size: number of rows of the matrix.
        channels: channels of the first layer; the second has twice as many.
        width: size of the vector that stands for the cloud.
        reduce: the reduction of points to that vector.
    """

    def __init__(self, size: int, channels: int, width: int, reduce: Reduce) -> None:
        super().__init__()
        self.size = size
        self.points = nn.Sequential(*_pointwise(size, channels), *_pointwise(channels, 2 * channels))
        self.pooled = Pooled(2 * channels, width, reduce)
        self.matrix = nn.Sequential(*_dense(width, width // 2), *_dense(width // 2, width // 4))
        self.last = nn.Linear(width // 4, size * size)
        # The matrix starts as the identity.
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.matrix(self.pooled(self.points(x)))
        matrix: Tensor = self.last(x).view(-1, self.size, self.size)
        return matrix + torch.eye(self.size, dtype=x.dtype, device=x.device)


class PointFeatures(nn.Module):
    """The part that both networks share: features of every point, those of the cloud, and the feature transform.

    Args:
        reduce: "mean" over points, or "max".
        width: size of the cloud's features, 1024 as published.
        channels: size of a point's features, 64 as published.
    """

    def __init__(self, reduce: Reduce, width: int, channels: int) -> None:
        super().__init__()
        self.input_transform = TransformNet(3, channels, width, reduce)
        self.first = nn.Sequential(*_pointwise(3, channels))
        self.feature_transform = TransformNet(channels, channels, width, reduce)
        self.second = nn.Sequential(*_pointwise(channels, 2 * channels))
        self.pooled = Pooled(2 * channels, width, reduce)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 3, P) to features (N, channels, P) and (N, width), and the transform (N, channels, channels)."""
        x = self.first(_transformed(x, self.input_transform(x)))
        transform = self.feature_transform(x)
        x = _transformed(x, transform)
        return x, self.pooled(self.second(x)), transform


class PointNet(nn.Module):
    """PointNet for classes; its inputs are clouds (N, 3, P) of any number of points.

    Args:
        classes: size of the output.
        reduce, width, channels: of `PointFeatures`.
    """

    def __init__(self, classes: int, reduce: Reduce = "max", width: int = 1024, channels: int = 64) -> None:
        super().__init__()
        self.features = PointFeatures(reduce, width, channels)
        self.classifier = nn.Sequential(
            *_dense(width, width // 2),
            nn.Linear(width // 2, width // 4), nn.Dropout(0.3), nn.BatchNorm1d(width // 4), nn.ReLU(),
            nn.Linear(width // 4, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits (N, classes); in training the feature transform, too."""
        _, cloud, transform = self.features(x)
        logits: Tensor = self.classifier(cloud)
        return (logits, transform) if self.training else logits


class PartPointNet(nn.Module):
    """PointNet for parts: (N, 3, P) to a score for each part at each point.

    As published, the features of point and cloud are concatenated and multiplied by one matrix, for every point. Here
    the two are multiplied by their own parts of the matrix, the cloud's only once; batch norms follow both parts, not
    their sum.

    Args:
        parts: size of the output.
        reduce, width, channels: of `PointFeatures`.
        categories: the parts of each category, where the input has a channel for each: 1 for the shape's category and 0
            for the others, at all points. Parts of other categories are then ruled out.
    """

    def __init__(
        self, parts: int, reduce: Reduce = "max", width: int = 1024, channels: int = 64,
        categories: Sequence[Sequence[int]] = (),
    ) -> None:  # fmt: skip
        super().__init__()
        self.features = PointFeatures(reduce, width, channels)
        self.category_channels = len(categories)
        half = width // 2
        self.local = nn.Sequential(nn.Conv1d(channels, half, 1), nn.BatchNorm1d(half))
        self.context = nn.Sequential(nn.Linear(width + len(categories), half), nn.BatchNorm1d(half))
        self.head = nn.Sequential(
            *_pointwise(half, half // 2), *_pointwise(half // 2, half // 4), nn.Conv1d(half // 4, parts, 1)
        )
        ruled_out = torch.full((len(categories), parts), RULED_OUT)
        for category, own in enumerate(categories):
            ruled_out[category, list(own)] = 0
        self.ruled_out: Tensor
        self.register_buffer("ruled_out", ruled_out, persistent=False)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits (N, parts, P); in training the feature transform, too."""
        if not self.category_channels:
            local, cloud, transform = self.features(x)
            logits = self._scores(local, cloud)
        else:
            category = x[:, 3:, 0]
            local, cloud, transform = self.features(x[:, :3])
            logits = self._scores(local, torch.cat([cloud, category], 1)) + (category @ self.ruled_out).unsqueeze(2)
        return (logits, transform) if self.training else logits

    def _scores(self, local: Tensor, cloud: Tensor) -> Tensor:
        scores: Tensor = self.head((self.local(local) + self.context(cloud).unsqueeze(2)).relu())
        return scores


def _transformed(x: Tensor, matrix: Tensor) -> Tensor:
    """Points (N, channels, P) times the matrix of their cloud (N, channels, channels): a product of two signals."""
    return (x.transpose(1, 2) @ matrix).transpose(1, 2)


def _pointwise(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv1d(inputs, outputs, 1), nn.BatchNorm1d(outputs), nn.ReLU()


def _dense(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()


def distance_from_rotation(transform: Tensor) -> Tensor:
    """Frobenius norm of I - A A^T, a mean over the matrices A of a batch (N, size, size)."""
    product = transform @ transform.transpose(1, 2)
    identity = torch.eye(transform.shape[1], dtype=transform.dtype, device=transform.device)
    return (identity - product).flatten(1).norm(dim=1).mean()


class CloudNetwork(Network):
    """The base of PointNets for classes and for parts: their inputs and their loss.

    Attributes:
        reduce, width, channels: of `PointFeatures`.
    """

    info = NetworkInfo(
        "PointNet",
        'Qi et al., "PointNet: Deep Learning on Point Sets for 3D Classification and Segmentation", CVPR 2017',
        "https://github.com/charlesq34/pointnet",
    )
    reduce: ClassVar[Reduce] = "mean"
    width: ClassVar[int] = 1024
    channels: ClassVar[int] = 64

    def encode(self, inputs: Tensor) -> Tensor:
        """Clouds as they are, float32."""
        return inputs.float()

    def loss(self, output: Any, targets: Any) -> Tensor:
        """Cross-entropy, of points where targets are parts, and the feature transform's distance from a rotation."""
        logits, transform = output
        # In float32, also where the network runs in bfloat16.
        return F.cross_entropy(
            logits.float(), targets.long(), label_smoothing=self.recipe.label_smoothing
        ) + ORTHOGONALITY * distance_from_rotation(transform.float())


@NETWORKS.register("pointnet")
class PointNetwork(CloudNetwork):
    """A PointNet for classes, of 3.5 million parameters; by the mean over points as in the paper's released code."""

    family, shape = CloudClassification, (3, None)
    # The released one: from 1e-4 to 1e-2 in 20 epochs, and back on a cosine.
    recipe = Recipe(
        epochs=300, batch_size=64, optimizer="adamw", learning_rate=1e-2, final_rate=1e-4, weight_decay=0.01,
        augment="points", warmup=20, warmup_from=0.01,
    )  # fmt: skip

    def build(self) -> nn.Module:
        return PointNet(len(self.task.classes), self.reduce, self.width, self.channels)


@NETWORKS.register("pointnet_light")
class LightPointNetwork(PointNetwork):
    """A quarter of the cloud's features and half of the points', small enough to be trained on a CPU."""

    width = 256
    channels = 32
    recipe = Recipe(
        epochs=150, batch_size=16, optimizer="adamw", learning_rate=1e-3, weight_decay=0.05, label_smoothing=0.1,
        augment="points_along_axes", warmup=5,
    )  # fmt: skip


@NETWORKS.register("pointnet_mini")
class MiniPointNetwork(PointNetwork):
    """By the mean, narrower still; its weights are shipped."""

    width = 64
    channels = 16
    recipe = Recipe(
        epochs=40, batch_size=32, optimizer="adamw", learning_rate=3e-3, weight_decay=0.01, augment="points", warmup=2
    )


@NETWORKS.register("pointnet_parts")
class PartNetwork(CloudNetwork):
    """A PointNet whose output is a map of scores, shape (N, parts, P)."""

    family, shape = PartSegmentation, (None, None)
    task: PartSegmentation
    # That of pointnet.pytorch, which the released code names; without decay of the weights AdamW is Adam.
    recipe = Recipe(
        epochs=25, batch_size=32, optimizer="adamw", learning_rate=1e-3, weight_decay=0.0, augment="points",
        milestones=(20,), fall=0.5,
    )  # fmt: skip

    def build(self) -> nn.Module:
        categories = list(self.task.categories.values()) if self.task.input_shape[0] > 3 else []
        return PartPointNet(len(self.task.classes), self.reduce, self.width, self.channels, categories)

    @classmethod
    def fits(cls, task: Task) -> str | None:
        misfit = super().fits(task)
        if misfit is None and isinstance(task, PartSegmentation):
            count = len(task.categories)
            if task.input_shape[0] not in (3, 3 + count):
                wanted = f"points have 3 channels, or {3 + count} where they say which of the {count} categories"
                misfit = cls.misfit(task, f"{wanted}, and the task's samples are {shown(task.input_shape)}")
        return misfit

    def decode(self, output: Any) -> Tensor:
        """Scores to parts, uint8 of shape (N, P)."""
        return output.argmax(dim=1).to(torch.uint8)


@NETWORKS.register("pointnet_parts_light")
class LightPartNetwork(PartNetwork):
    """A quarter of the cloud's features and half of the points', small enough to be trained on a CPU."""

    width = LightPointNetwork.width
    channels = LightPointNetwork.channels
    recipe = Recipe(
        epochs=60, batch_size=16, optimizer="adamw", learning_rate=1e-3, weight_decay=1e-4, augment="points", warmup=2
    )


@NETWORKS.register("pointnet_parts_mini")
class MiniPartNetwork(PartNetwork):
    """By the maximum, narrower still; its weights are shipped."""

    reduce = "max"
    width = MiniPointNetwork.width
    channels = MiniPointNetwork.channels
    recipe = MiniPointNetwork.recipe


for _network in (PointNetwork, LightPointNetwork, PartNetwork, LightPartNetwork):
    NETWORKS.variant(
        _network, f"{_network.name}_max", "Points are reduced by their maximum, as published.", reduce="max"
    )
