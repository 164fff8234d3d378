"""The base of network adapters. An adapter builds a network for a task, encodes its inputs and decodes its outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion.errors import InvalidInput
from conversion.registry import Registry
from conversion.simulation.frames import NetworkInput
from tasks.base import TASKS, Task

NETWORKS: Registry[type[Network]] = Registry("network")


@dataclass(frozen=True)
class Recipe:
    """The training settings of a network; the defaults are those of SNN Calibration's CIFAR scripts.

    Attributes:
        augment: name of the augmentation, from `adapters.training.augmentations.AUGMENTATIONS`.
        optimizer: SGD with momentum 0.9, or AdamW.
        learning_rate: at the start of the schedule.
        final_rate: the learning rate at the end of a cosine schedule; other schedules ignore it.
        schedule: the fall of the learning rate, a half cosine or (1 - epoch / epochs)^0.9 (DeepLab's "poly").
        warmup: epochs before the schedule, in which the rate rises; they count among `epochs`.
        warmup_shape: linear, a step an epoch from `warmup_from` times the learning rate; or quartic, a step a batch
            from zero, by the fourth power of the part that has passed (the released YOLOv2).
        milestones: epochs after which the rate falls to `fall` times what it was, in place of the schedule.
        sides: sides in pixels, one of which is drawn for every ten batches of images, which are resized to it; none for
            images as the task has them. Boxes do not mind, since they are in fractions.
        mixup: alpha of mixup (Zhang et al., ICLR 2018), applied to half of the batches in the first three quarters of
            the epochs; 0 for none. Targets have to be classes.
        ema: decay per step of an exponential moving average of the weights, which is then scored and kept in their
            place; 0 for none.
        validate_every: epochs between scores of the validation split; the last epoch is always scored.
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
    warmup_shape: Literal["linear", "quartic"] = "linear"
    warmup_from: float = 0.1
    milestones: tuple[int, ...] = ()
    fall: float = 0.1
    sides: tuple[int, ...] = ()
    mixup: float = 0.0
    ema: float = 0.0
    validate_every: int = 1


@dataclass(frozen=True)
class NetworkInfo:
    """The source of an architecture and its published weights, for tables; a field that is not known is None.

    Attributes:
        title: the architecture in a few words.
        citation: the paper that describes it.
        homepage: the address of the published weights, or of the code that the architecture follows.
        licence: the licence of the published weights, as their publisher states it.
        files: names of published weights, as globs with {name} for the network's own, by the `label_set` of the tasks
            that they are for; several where they are published under several names.
        expected: the score of the network with these weights, as their publisher states it.
    """

    title: str | None = None
    citation: str | None = None
    homepage: str | None = None
    licence: str | None = None
    files: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    expected: str | None = None

    def published(self, label_set: str | None, name: str) -> tuple[str, ...]:
        """The globs of the published weights of a network, called `name`, for tasks with these classes."""
        globs = self.files.get(label_set or "", ())
        return tuple(each.format(name=name) for each in ((globs,) if isinstance(globs, str) else globs))


@dataclass(frozen=True)
class Backbone:
    """The weights of another network that a network can start from: which of them it takes, and under what names.

    Attributes:
        source: whose weights they are, for messages.
        names: beginnings of names in the file, and what stands for them in the network; the longest that fits counts.
        heads: beginnings of names in the file that are left out: its classifier, and what has another shape here.
    """

    source: str
    names: Mapping[str, str]
    heads: tuple[str, ...]


class Network(ABC):
    """One network family member, bound to a task that it fits.

    Subclasses set the class attributes and implement `build`; classifiers inherit the rest.
    """

    name: ClassVar[str]
    """The registered name; `NETWORKS.register` sets it."""
    family: ClassVar[type[Task]] = Task  # type: ignore[type-abstract]
    """The base class of the tasks that it is for. Subclasses set it."""
    shape: ClassVar[tuple[int | None, ...] | None] = None
    """The shape of a sample, with None for a side of any size; None for any shape."""
    stride: ClassVar[int] = 1
    """Height and width of samples have to be multiples of it."""
    info: ClassVar[NetworkInfo] = NetworkInfo()
    own_weights: ClassVar[Path | None] = None
    """The file of its weights, where it was made from a folder that holds them; None where they are searched."""
    backbone: ClassVar[Backbone | None] = None
    """The pretrained weights that training can start from; None where it takes none."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Mean and deviation of inputs / 255, per channel. Class attributes, or set in `__init__` by the task's."""
    side: int | None = None
    """Height and width that samples are resized to; None where they are not resized."""
    recipe: Recipe = Recipe()
    """The training settings. A class attribute, or set in `__init__` where they depend on the task."""

    def __init__(self, task: Task) -> None:
        misfit = self.fits(task)
        if misfit is not None:
            raise InvalidInput(misfit)
        self.task = task

    @classmethod
    def fits(cls, task: Task) -> str | None:
        """Says in a sentence why the network does not fit a task; None where it does.

        It depends on the kind of task, the shape of its samples and its classes, never on its name. Subclasses with
        further conditions call `super().fits(task)` first.
        """
        if not isinstance(task, cls.family):
            if task.kind == cls.family.kind:
                return cls.misfit(task, f"it is for tasks of the class {cls.family.__name__}, which this one is not")
            return cls.misfit(task, f"it is for {cls.family.kind}, and the task is {task.kind}")
        if cls.shape is not None and not _alike(task.input_shape, cls.shape):
            return cls.misfit(
                task, f"it takes samples of {shown(cls.shape)}, and the task's are {shown(task.input_shape)}"
            )
        if any(side % cls.stride for side in task.input_shape[-2:]):
            sides = f"height and width have to be multiples of {cls.stride}"
            return cls.misfit(task, f"{sides}, and the task's samples are {shown(task.input_shape)}")
        if not task.classes:
            return cls.misfit(task, "the task has no classes")
        return None

    @classmethod
    def misfit(cls, task: Task, reason: str) -> str:
        """The sentence for a reason why the network does not fit a task."""
        return f"Network {cls.name} does not fit task {task.name}: {reason}."

    @abstractmethod
    def build(self) -> nn.Module:
        """The untrained network for this task's input shape and classes."""

    def encode(self, inputs: Tensor) -> Tensor:
        """Raw samples to inputs of the ANN: (inputs / 255 - mean) / std, float32."""
        mean = torch.tensor(self.mean, device=inputs.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=inputs.device).view(-1, 1, 1)
        # In place: a batch of photographs is large.
        return (inputs.float() / 255).sub_(mean).div_(std)

    def spiking_input(self, inputs: Tensor) -> NetworkInput:
        """Raw samples to inputs of the spiking network: those of the ANN at every step, or frames with that mean."""
        return self.encode(inputs)

    def decode(self, output: Any) -> Any:
        """The network's (mean) output to predictions: class indices of shape (N,) of class scores (N, classes)."""
        return output.argmax(dim=1)

    def loss(self, output: Any, targets: Any) -> Tensor:
        """The loss in training, a mean over the batch: cross-entropy of class scores (N, classes)."""
        return F.cross_entropy(output.float(), targets, label_smoothing=self.recipe.label_smoothing)


def fitting(network: type[Network]) -> list[str]:
    """The names of the registered tasks that a network fits."""
    return [name for name in TASKS if network.fits(TASKS[name]()) is None]


def shown(shape: Sequence[int | None]) -> str:
    """A shape for tables and messages: 3x32x32, or with sides of any size 3 x any x any."""
    sides = ["any" if side is None else str(side) for side in shape]
    return (" x " if None in shape else "x").join(sides)


def _alike(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(w in (None, side) for side, w in zip(shape, wanted, strict=True))
