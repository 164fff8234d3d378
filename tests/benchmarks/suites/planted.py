"""Small networks whose score on a table's data is known: they answer the same to everything.

A planted network takes the place of the one that a suite names. Its adapter stays, and with it the encoding of samples,
the decoding of outputs and the metric; only the layers between them are few. It spikes and converts as any other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapters import NETWORKS
from adapters.base import Network
from adapters.images.qcfs import Qcfs
from adapters.weights import save_weights
from tasks import TASKS

CLASS = 2
"""What a planted classifier answers; a dataset of fewer classes has its last one."""


class SameAnswer(nn.Module):
    """A convolution, neurons, a pooling, and a linear layer that gives every class the same but for its bias.

    Args:
        inputs: channels of the input.
        classes: size of the output.
        stride: of the convolution.
        over: 2 for images; 1 for clouds.
        answer: the class that is answered.
        dense: whether each position has an answer.
        activation: the activation; a ReLU when left out.
    """

    def __init__(
        self, inputs: int, classes: int, stride: int, over: int, answer: int, *, dense: bool = False,
        activation: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.activation = activation or nn.ReLU()
        convolution = nn.Conv2d if over == 2 else nn.Conv1d
        torch.manual_seed(1)
        self.first = convolution(inputs, 2, 1, stride)
        self.last = convolution(2, classes, 1)
        self.positions = tuple(range(2, 2 + over))
        self.dense = dense
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor([0.5, 0.25]).view(1, 2, *[1] * over).expand_as(self.last.weight))
            self.last.bias.copy_(4 * F.one_hot(torch.tensor(answer), classes).float())  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        x = self.activation(self.first(x))
        if not self.dense:
            return self.last(x.mean(self.positions, keepdim=True)).flatten(1)
        x = self.last(x)
        return x if x.shape[2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class SameBox(nn.Module):
    """A detector that finds one box of class 0 in every image, at one place, and no other.

    Args:
        box: its corners in fractions of the image, x1, y1, x2, y2.
        anchors: of the task, in cells, shape (anchors, 2).
        classes: number of classes.
        side: number of cells of a row.
    """

    def __init__(self, box: Tensor, anchors: Tensor, classes: int, side: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 1, 32)
        self.last = nn.Conv2d(2, len(anchors) * (5 + classes), 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        prediction = torch.zeros(len(anchors), 5 + classes, side, side)
        prediction[:, 4] = -20
        centre, extent = (box[:2] + box[2:]) / 2 * side, (box[2:] - box[:2]) * side
        column, row = centre.long().tolist()
        prediction[0, :2, row, column] = (centre - centre.floor()).logit(eps=1e-4)  # At a border it is infinite.
        prediction[0, 2:4, row, column] = (extent / anchors[0]).log()
        prediction[0, 4:6, row, column] = 20
        self.prediction = nn.Parameter(prediction.flatten(0, 1)[None])

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).relu()) + self.prediction


Build = Callable[[Any], nn.Module]


def answering(answer: int) -> Build:
    """A classifier of images, events or clouds, for the encoded samples of its task."""

    def build(adapter: Network) -> nn.Module:
        shape = adapter.encode(torch.zeros(1, *adapter.task.input_shape)).shape
        over, classes = len(shape) - 2, len(adapter.task.classes)
        activation = Qcfs(8) if adapter.name.startswith("qcfs") else None
        stride = max(8, shape[-1] // 7) if over == 2 else 50
        return SameAnswer(shape[1], classes, stride, over, min(answer, classes - 1), activation=activation)

    return build


classifier = answering(CLASS)


def segmenter(adapter: Network) -> nn.Module:
    """A network that answers 0, the background, at each pixel."""
    return SameAnswer(3, len(adapter.task.classes), 32, 2, 0, dense=True)


def parts(adapter: Network) -> nn.Module:
    """A network that answers part 0 at each point."""
    return SameAnswer(3, len(adapter.task.classes), 1, 1, 0, dense=True)


def detector(boxes: dict[str, tuple[float, float, float, float]]) -> Build:
    """A detector that finds the box of its task."""

    def build(adapter: Any) -> nn.Module:
        side = adapter.task.input_shape[-1] // adapter.stride
        return SameBox(torch.tensor(boxes[adapter.task.name]), adapter.anchors, len(adapter.task.classes), side)

    return build


def plant(patch: pytest.MonkeyPatch, network: str, build: Build, tasks: list[str], root: Path, weights: Path) -> None:
    """Replaces the layers of a network, and writes its weights for some tasks into a folder."""
    patch.setattr(NETWORKS[network], "build", build)
    for task in tasks:
        model = NETWORKS[network](TASKS[task](root)).build()
        path = weights / f"{network}_{task}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_weights(path, model.state_dict(), {})
