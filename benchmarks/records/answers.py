"""What a network answered, kept in the table of samples: classes of all, boxes and maps of the first few to draw."""

from __future__ import annotations

from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from tasks.detection.boxes import Detections

KEPT = 4
"""Samples whose boxes or maps are kept."""
LEAST_SCORE = 0.05
"""Boxes that are less sure are not kept: no picture shows them."""

Answer = Detections | Tensor


class Answers:
    """The answers after the last step, gathered batch by batch."""

    def __init__(self) -> None:
        self._classes: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._drawn: list[bytes] = []
        self._samples = 0

    def add(self, predictions: Any, targets: Any) -> None:
        """Predictions and targets of a batch, as the task's metric takes them."""
        if isinstance(predictions, Tensor) and predictions.dim() == 1:
            self._classes.append(predictions)
            self._targets.append(targets)
        else:
            self._drawn += [_written(answer) for answer in predictions[: KEPT - len(self._drawn)]]
        self._samples += len(predictions)

    def columns(self) -> dict[str, Any]:
        """`prediction` and `target`, of classes; `answer`, bytes that `read` understands, or None behind the first."""
        if self._classes:
            return {
                "prediction": torch.cat(self._classes).int().numpy(),
                "target": torch.cat(self._targets).int().numpy(),
            }
        return {"answer": [*self._drawn, *[None] * (self._samples - len(self._drawn))]}


def read(content: bytes) -> Answer:
    """An answer from the column `answer`."""
    parts = safetensors.torch.load(content)
    return parts["map"] if "map" in parts else Detections(**parts)


def _written(answer: Answer) -> bytes:
    if isinstance(answer, Tensor):
        return safetensors.torch.save({"map": answer.contiguous()})
    likely = answer.scores >= LEAST_SCORE
    parts = {"boxes": answer.boxes, "labels": answer.labels, "scores": answer.scores}
    return safetensors.torch.save({name: part[likely].contiguous() for name, part in parts.items()})
