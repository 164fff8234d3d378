"""What a network adapter is: how a network is built, fed and read out. It binds a model family to the tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion.errors import InvalidInput
from conversion.registry import Registry
from conversion.simulation.frames import NetworkInput
from tasks.base import Task

NETWORKS: Registry[type[Network]] = Registry("network")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the defaults are those of SNN Calibration's CIFAR scripts.

    Attributes:
        augment: which of the augmentations in `adapters.training.augmentations.images` the training images get.
        optimizer: SGD with momentum 0.9, or AdamW.
        learning_rate: at the start of the schedule.
        final_rate: at the end of a cosine; the other schedules end where they end.
        schedule: how it falls from epoch to epoch, as a half cosine or as (1 - epoch / epochs)^0.9 (DeepLab's "poly").
        warmup: epochs before, in which it rises from a tenth; they count among `epochs`.
        milestones: epochs after which it falls to a tenth, in place of the schedule.
        mixup: alpha of mixup (Zhang et al., ICLR 2018), which half of the batches of the first three quarters of all
            epochs get; 0 is none. Targets have to be classes.
        ema: decay per step of an exponential moving average of the weights, which is then what is scored and kept; 0
            keeps the weights themselves.
        validate_every: how many epochs apart the validation split is scored; the last epoch always is.
    """

    epochs: int = 300
    batch_size: int = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.1
    final_rate: float = 0.0
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    augment: str = "cifar"
    schedule: Literal["cosine", "poly"] = "cosine"
    warmup: int = 0
    milestones: tuple[int, ...] = ()
    mixup: float = 0.0
    ema: float = 0.0
    validate_every: int = 1


class Network(ABC):
    """One network family member, bound to the tasks it fits.

    Subclasses set the class attributes and implement `build`; image classifiers inherit the rest.
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Per channel of inputs / 255. Class attributes, or set in `__init__` where they depend on the task."""
    side: int | None = None
    """Height and width that samples are resized to; None where they are taken as they are."""
    recipe: Recipe = Recipe()
    """How it is trained. A class attribute, or set in `__init__` where it depends on the task."""

    def __init__(self, task: Task) -> None:
        if task.name not in self.tasks:
            raise InvalidInput(f"Network {self.name} does not fit task {task.name}; it fits {', '.join(self.tasks)}.")
        self.task = task

    @abstractmethod
    def build(self) -> nn.Module:
        """The untrained network for this task's input shape and classes."""

    def encode(self, inputs: Tensor) -> Tensor:
        """Raw samples to what the ANN is fed: (inputs / 255 - mean) / std, float32."""
        mean = torch.tensor(self.mean, device=inputs.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=inputs.device).view(-1, 1, 1)
        return (inputs.float() / 255 - mean) / std

    def spiking_input(self, inputs: Tensor) -> NetworkInput:
        """What the spiking network is fed: the same at every step, unless samples are frames in time, whose mean is
        what `encode` gives."""
        return self.encode(inputs)

    def decode(self, output: Any) -> Any:
        """The network's (mean) output to predictions: class indices of shape (N,) of class scores (N, classes)."""
        return output.argmax(dim=1)

    def loss(self, output: Any, targets: Any) -> Tensor:
        """What training minimises, a mean over the batch: cross-entropy of class scores (N, classes)."""
        return F.cross_entropy(output.float(), targets, label_smoothing=self.recipe.label_smoothing)
