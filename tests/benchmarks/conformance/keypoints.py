"""A plug-in with a family of its own: keypoints, which are neither classes, maps, parts nor boxes.

Not imported as it lies here: the test installs it as the module of a package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from adapters import NETWORKS, Network
from adapters.base import Recipe
from conversion.errors import InvalidInput
from tasks import TASKS, Task
from tasks.base import MetricValue, Split
from tasks.target import DrawnTarget, Mistakes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = 12
NEAR = 0.15
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class PointTarget(DrawnTarget):
    """Keypoints as x and y in fractions of the image, float32 of shape (N, points, 2)."""

    def write(self, prediction: Tensor) -> bytes:
        return safetensors.torch.save({"points": prediction.contiguous()})

    def read(self, content: bytes) -> Tensor:
        return safetensors.torch.load(content)["points"]

    def draw(self, axis: Axes, sample: Tensor, answer: Tensor, classes: Sequence[str]) -> None:
        axis.imshow(sample[0].numpy(), cmap="gray", vmin=0, vmax=255)
        for name, (x, y) in zip(classes, (SIDE * answer - 0.5).tolist(), strict=True):
            axis.plot([x], [y], marker="x", label=name)

    def fault(self, targets: Tensor, inputs: Tensor, classes: int, split: str) -> str | None:
        if tuple(targets.shape) != (len(inputs), classes, 2):
            return f"Keypoints of {split} have shape {tuple(targets.shape)}; give (N, {classes}, 2)."
        inside = bool(((targets >= 0) & (targets <= 1)).all())
        return None if inside else f"A keypoint of {split} is outside of its image."

    def imitate(self, targets: Tensor, classes: int, mistakes: Mistakes) -> Tensor:
        """Mistaken keypoints are half an image away; some are those in the left half."""
        mistaken = {"none": torch.zeros(()), "some": (targets[..., :1] < 0.5).float(), "all": torch.ones(())}[mistakes]
        return (targets + 0.5 * mistaken) % 1

    def output_fault(
        self, output: Any, decode: Callable[[Any], Any], shape: tuple[int, ...], classes: int
    ) -> str | None:
        found, expected = tuple(decode(output).shape), (shape[0], classes, 2)
        return None if found == expected else f"`decode` gives keypoints of shape {found}; it needs {expected}."


class CorrectKeypoints:
    """PCK: the share of keypoints that are found within 0.15 of the image's side, in percent."""

    def __init__(self) -> None:
        self._found: list[Tensor] = []

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        self._found.append(((predictions - targets).norm(dim=-1) <= NEAR).float().mean(1))

    def compute(self) -> dict[str, MetricValue]:
        shares = self.outcomes().double().sort().values
        if not len(shares):
            raise InvalidInput("PCK of zero samples is undefined; update the metric before computing it.")
        value, half = 100 * float(shares.mean()), 196 * float(shares.std(correction=0)) / len(shares) ** 0.5
        return {"pck": MetricValue(value, max(value - half, 0.0), min(value + half, 100.0), len(shares))}

    def outcomes(self) -> Tensor:
        return torch.cat([*self._found, torch.empty(0)])


@TASKS.register("spots")
class Spots(Task):
    """A bright and a dark spot on noise, drawn by a fixed seed."""

    name = "spots"
    primary_metric = "pck"
    perfect = 100.0
    target = PointTarget()
    classes = ("bright", "dark")
    input_shape = (1, SIDE, SIDE)
    layout = "nothing: images are drawn."

    def missing(self) -> str | None:
        return None

    def split(self, name: Split) -> Any:
        seed, count = {"train": (0, 512), "validation": (1, 64), "test": (2, 64)}[name]
        generator = torch.Generator().manual_seed(seed)
        points = torch.rand(count, 2, 2, generator=generator)
        places = (torch.arange(SIDE) + 0.5) / SIDE
        squared = (points[..., :1, None] - places) ** 2 + (points[..., 1:, None] - places[:, None]) ** 2
        spots = (-squared / (2 * 0.1**2)).exp() * torch.tensor([1.0, -1.0])[:, None, None]
        noise = torch.randint(-9, 10, (count, 1, SIDE, SIDE), generator=generator)
        images = 128 + 110 * spots.sum(1, keepdim=True) + noise
        return TensorDataset(images.clamp(0, 255).to(torch.uint8), points)

    def metric(self) -> CorrectKeypoints:
        return CorrectKeypoints()

    def digest(self) -> str:
        state = hashlib.sha256()
        for part in (part for name in SPLITS for part in self.split(name).tensors):
            state.update(part.numpy().tobytes())
        return state.hexdigest()


@NETWORKS.register("spots_convnet")
class SpotsNetwork(Network):
    """Two convolutions and a linear layer that gives coordinates, not scores."""

    name = "spots_convnet"
    family, shape = Spots, (1, SIDE, SIDE)
    mean, std = (0.5,), (0.25,)
    recipe = Recipe(epochs=30, batch_size=64, optimizer="adamw", learning_rate=5e-3, augment="none")

    def build(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1152, 2 * len(self.task.classes)),
        )  # fmt: skip

    def decode(self, output: Any) -> Tensor:
        return output.unflatten(1, (-1, 2))

    def loss(self, output: Any, targets: Any) -> Tensor:
        return F.mse_loss(self.decode(output.float()), targets)
