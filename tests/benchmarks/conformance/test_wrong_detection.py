"""The kit's checks of detection fail on boxes, metrics and networks that are wrong in just that way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from adapters import Network
from adapters.detection.yolov2 import YoloMini
from benchmarks.conformance import networks, tasks
from benchmarks.conformance.kit import judge
from benchmarks.conformance.networks import NetworkBench
from benchmarks.conformance.tasks import TaskBench
from tasks import Task
from tasks.base import MetricValue, Split
from tasks.detection.average_precision import AveragePrecision
from tasks.detection.base import Detection
from tasks.detection.boxes import Boxes, Detections
from tasks.detection.mini import MiniDetection, Scenes

pytestmark = pytest.mark.slow


class Sound(MiniDetection):
    """The first of the drawn scenes."""

    name = "sound"

    def split(self, name: Split) -> Scenes:
        whole = super().split(name)
        return Scenes(whole.images[:24], [self.changed(boxes) for boxes in whole.boxes[:24]])

    def changed(self, boxes: Boxes) -> Boxes:
        return boxes


class Outside(Sound):
    def changed(self, boxes: Boxes) -> Boxes:
        return Boxes(boxes.boxes + 40, boxes.labels, boxes.ignored, boxes.size, boxes.image)


class Flat(Sound):
    def changed(self, boxes: Boxes) -> Boxes:
        corners = boxes.boxes.clone()
        corners[:, 3] = corners[:, 1]
        return Boxes(corners, boxes.labels, boxes.ignored, boxes.size, boxes.image)


class Uncounted(Sound):
    def changed(self, boxes: Boxes) -> Boxes:
        return Boxes(boxes.boxes, boxes.labels + 1, boxes.ignored, boxes.size, boxes.image)


def with_metric(change: Callable[[dict[str, MetricValue]], dict[str, MetricValue]]) -> type[Task]:
    class Changed(AveragePrecision):
        def compute(self) -> dict[str, MetricValue]:
            return change(super().compute())

    class Odd(Sound):
        def metric(self) -> AveragePrecision:
            return Changed(self.classes)

    return Odd


def scaled(factor: float) -> Callable[[dict[str, MetricValue]], dict[str, MetricValue]]:
    def change(found: dict[str, MetricValue]) -> dict[str, MetricValue]:
        return {
            name: MetricValue(factor * old.value, factor * old.ci_low, factor * old.ci_high, old.n)
            for name, old in found.items()
        }

    return change


class BatchByBatch(AveragePrecision):
    """The mean of the batches' average precisions, which depends on what a batch is."""

    def __init__(self, classes: Any) -> None:
        super().__init__(classes)
        self._batches: list[float] = []

    def update(self, predictions: Any, targets: Any) -> None:
        super().update(predictions, targets)
        alone = AveragePrecision(self.classes)
        alone.update(predictions, targets)
        self._batches.append(alone.compute()["ap50"].value)

    def compute(self) -> dict[str, MetricValue]:
        value = sum(self._batches) / len(self._batches)
        return {"ap50": MetricValue(value, value, value, len(self._images))}


class MeasuredByBatch(Sound):
    def metric(self) -> AveragePrecision:
        return BatchByBatch(self.classes)


@pytest.mark.parametrize(
    ("kind", "check", "reason"),
    [
        (Outside, tasks.has_samples_as_it_says, "reaches over the border"),
        (Flat, tasks.has_samples_as_it_says, "has no area"),
        (Uncounted, tasks.has_samples_as_it_says, "there are 3, counted from 0"),
        (with_metric(scaled(0.01)), tasks.gives_perfect_predictions_the_best_value, "it is a percentage"),
        (with_metric(lambda found: found | {"ap50": MetricValue(100, 100, 100, found["ap50"].n)}),
         tasks.gives_perfect_predictions_the_best_value, "more has to be better"),
        (MeasuredByBatch, tasks.measures_in_any_order, "all at once give another value"),
        (with_metric(lambda found: {k: MetricValue(m.value, m.value + 1, 100, m.n) for k, m in found.items()}),
         tasks.measures_with_an_interval, "outside of its interval"),
    ],
)  # fmt: skip
def test_wrong_tasks_fail(kind: type[Task], check: Callable[[TaskBench], None], reason: str) -> None:
    assert judge(check, TaskBench(Sound, None)).verdict == "passed"
    result = judge(check, TaskBench(kind, None))
    assert result.verdict == "failed"
    assert reason in result.reason


def decoding(change: Callable[[list[Detections]], Any]) -> type[Network]:
    class Odd(YoloMini):
        def decode(self, output: Any) -> Any:
            return change(super().decode(output))

    return Odd


def each(change: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]) -> type[Network]:
    return decoding(lambda found: [Detections(*change(one.boxes, one.labels, one.scores)) for one in found])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (decoding(lambda found: torch.zeros(2, 3)), "give a list of Detections"),
        (decoding(lambda found: found[:1]), "detections of 1 images for 2"),
        (each(lambda boxes, labels, scores: (boxes * 64, labels, scores)), "not within 0 to 1"),
        (each(lambda boxes, labels, scores: (boxes[:, [2, 3, 0, 1]], labels, scores)), "not within 0 to 1"),
        (each(lambda boxes, labels, scores: (boxes, labels + 3, scores)), "not among the 3"),
        (each(lambda boxes, labels, scores: (boxes, labels, scores.flip(0))), "Scores do not fall"),
        (each(lambda boxes, labels, scores: (boxes, labels[:-1], scores)), "have shapes"),
    ],
)
def test_wrong_networks_fail(kind: type[Network], reason: str) -> None:
    result = judge(networks.builds_for_every_task_it_fits, NetworkBench(kind))
    assert result.verdict == "failed"
    assert reason in result.reason


def test_the_right_one_passes_and_scores_of_classes_are_not_asked_of_it() -> None:
    bench = NetworkBench(YoloMini)
    assert isinstance(bench.adapter.task, Detection)
    assert judge(networks.builds_for_every_task_it_fits, bench).verdict == "passed"
    assert judge(networks.decodes_to_classes, bench).verdict == "does not apply"
