"""The state of a training run between two epochs, and the file that survives an interruption."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from conversion.errors import CheckpointError
from conversion.files import write_atomically


@dataclass
class TrainingState:
    """The state that an epoch changes.

    It has no random state: order, augmentation and dropout of an epoch all follow from (seed, epoch).

    Attributes:
        average: the moving average of the weights, where the recipe asks for one.
        epoch: number of complete epochs.
        best_epoch: the epoch, counted from 1, whose weights are the best so far; 0 before the first.
        best_accuracy: primary metric of those weights on the validation split, in its unit.
        best_weights: a copy of them, on the CPU.
    """

    model: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler
    average: AveragedModel | None = None
    epoch: int = 0
    best_epoch: int = 0
    best_accuracy: float = float("-inf")
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def result(self) -> nn.Module:
        """The network that is scored and kept."""
        return self.model if self.average is None else self.average.module

    def complete_epoch(self, accuracy: float | None) -> None:
        """Counts an epoch and keeps its weights if no earlier ones were better; None for one that was not scored.

        A tie goes to the later epoch: small validation splits tie often, and the learning rate was lower.
        """
        self.epoch += 1
        if accuracy is not None and accuracy >= self.best_accuracy:
            self.best_epoch, self.best_accuracy = self.epoch, accuracy
            self.best_weights = {name: value.cpu().clone() for name, value in self.result.state_dict().items()}

    def save(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Writes everything, with the settings of the run, whole or not at all."""
        buffer = io.BytesIO()
        torch.save(
            {
                "settings": dict(settings),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
                "epoch": self.epoch,
                "best": (self.best_epoch, self.best_accuracy, self.best_weights),
            },
            buffer,
        )
        write_atomically(path, buffer.getvalue())

    def restore(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Continues the run in `path`.

        Raises:
            CheckpointError: when the file is damaged or belongs to a run with other settings; names the first.
        """
        advice = f"Delete {path} or train without resuming to start over."
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            earlier = saved["settings"]
        except Exception as error:  # Damaged bytes surface as whatever the parser tripped over.
            raise CheckpointError(f"The interrupted run {path} is damaged. {advice}") from error
        for name, value in settings.items():
            if earlier.get(name) != value:
                raise CheckpointError(
                    f"The interrupted run {path} had {name} {earlier.get(name)}, this one has {value}. {advice}"
                )
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scheduler.load_state_dict(saved["scheduler"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        self.epoch = saved["epoch"]
        self.best_epoch, self.best_accuracy, self.best_weights = saved["best"]
