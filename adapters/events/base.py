"""The base of networks for event cameras: it makes inputs of counts of events.

Counts are scaled and never shifted: where no event comes, the input is zero, and a spiking network is driven by events.
"""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor

from adapters.base import Network, Recipe
from conversion.simulation.frames import Frames, NetworkInput
from tasks.base import Task
from tasks.events.base import EventTask


class EventNetwork(Network):
    """A network for encoded recordings of events.

    A voxel grid is one input, whose channels are bins and polarities. Frames in time, of two channels, are the inputs
    of successive steps, and the ANN's input is their mean. Each is multiplied by their number, so that the mean counts
    all events.
    """

    family = EventTask
    task: EventTask

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if self.recipe.augment in ("events", "events_released") and self.task.upright:
            self.recipe = replace(self.recipe, augment=f"{self.recipe.augment}_upright")

    @property
    def channels(self) -> int:
        """The number of channels of the network's input."""
        return self.task.input_shape[-3]

    def pixels(self, counts: Tensor) -> Tensor:
        """Resizes counts, shape (..., H, W), to the network's input; here it leaves them as they are."""
        return counts

    def encode(self, inputs: Tensor) -> Tensor:
        """Encoded recordings to inputs of the ANN: counts, float32; the sum over all frames where there are frames."""
        counts = inputs.float()
        return self.pixels(counts.sum(1) if self.task.encoding.temporal else counts)

    def spiking_input(self, inputs: Tensor) -> NetworkInput:
        if not self.task.encoding.temporal:
            return self.encode(inputs)
        frames = inputs.shape[1]
        return Frames(self.pixels(inputs.float().flatten(0, 1)).unflatten(0, (-1, frames)) * frames, event=frames)


# The recipe of the paper's released code for event cameras.
RECIPE = Recipe(
    epochs=300, batch_size=16, optimizer="adamw", learning_rate=1e-3, final_rate=1e-5, weight_decay=0.06,
    label_smoothing=0.1, augment="events_released", mixup=0.5,
)  # fmt: skip


def sum_pooled(counts: Tensor, side: int) -> Tensor:
    """Sums over squares of `side` x `side` pixels, so that no event is lost; zeros are added at the right and below.

    Args:
        counts: shape (N, C, H, W).
    """
    height, width = counts.shape[-2:]
    padded = F.pad(counts, (0, -width % side, 0, -height % side))
    return F.avg_pool2d(padded, side) * side**2


class ResizedEventNetwork(EventNetwork):
    """A network for inputs of 224x224 pixels: recordings are padded to squares and resized to the nearest pixel.

    A pixel of a small camera becomes several of the network's, and so does each of its events.
    """

    side: int = 224

    def pixels(self, counts: Tensor) -> Tensor:
        height, width = counts.shape[-2:]
        longest = max(height, width)
        left, top = (longest - width) // 2, (longest - height) // 2
        square = F.pad(counts, (left, longest - width - left, top, longest - height - top))
        return F.interpolate(square, (self.side, self.side), mode="nearest")
