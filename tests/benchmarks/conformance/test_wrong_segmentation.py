"""Checks that look at maps fail on a task or a network whose maps are wrong in just that way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from adapters import NETWORKS
from adapters.segmentation.networks import SegmentationNetwork
from benchmarks.conformance import networks, tasks
from benchmarks.conformance.kit import judge
from benchmarks.conformance.networks import NetworkBench
from benchmarks.conformance.tasks import TaskBench
from tasks import TASKS
from tasks.base import Split
from tasks.segmentation.base import MeanIoU, Segmentation

pytestmark = pytest.mark.slow


class Sound(Segmentation):
    """Noise in three classes."""

    name = "sound"
    classes = ("a", "b", "c")
    input_shape = (3, 8, 8)
    layout = "nothing."

    def missing(self) -> str | None:
        return None

    def split(self, name: Split) -> Any:
        generator = torch.Generator().manual_seed(("train", "validation", "test").index(name))
        images = torch.randint(0, 256, (12, 3, 8, 8), generator=generator, dtype=torch.uint8)
        targets = torch.randint(0, 3, (12, 8, 8), generator=generator, dtype=torch.uint8)
        targets[:, 0] = 255
        return TensorDataset(images, self.change(targets))

    def change(self, targets: Tensor) -> Tensor:
        return targets

    def digest(self) -> str:
        return 64 * "0"


class Fractions(MeanIoU):
    """mIoU in 0..1."""

    def compute(self) -> Any:
        return {
            name: type(measure)(measure.value / 100, measure.ci_low / 100, measure.ci_high / 100, measure.n)
            for name, measure in super().compute().items()
        }


class OfTheLastImage(MeanIoU):
    """Forgets what came before."""

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        self._images = []
        super().update(predictions, targets)


def task_with(**changes: Any) -> type[Segmentation]:
    wrong: type[Sound] = type("Wrong", (Sound,), {"__doc__": "Wrong.", **changes})
    TASKS.register("sound")(wrong)
    return wrong


def test_a_sound_task_passes_everything() -> None:
    bench = TaskBench(task_with(), None)
    results = [judge(check, bench) for check in tasks.CHECKS]
    assert [result for result in results if result.verdict == "failed"] == []
    assert [result.name for result in results if result.verdict != "passed"] == ["says what is missing"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda targets: targets.long(), "are torch.int64; give uint8"),
        (lambda targets: targets[:, :4], r"have shape (4, 8), their samples (8, 8)"),
        (lambda targets: targets.masked_fill(targets == 2, 3), "Maps of train hold [3], which are no classes"),
        (lambda targets: torch.full_like(targets, 255), "Not one pixel of train is labelled"),
    ],
)
def test_wrong_maps(change: Callable[[Tensor], Tensor], reason: str) -> None:
    bench = TaskBench(task_with(change=lambda self, targets: change(targets)), None)
    result = judge(tasks.has_samples_as_it_says, bench)
    assert result.verdict == "failed" and reason in result.reason


@pytest.mark.parametrize(
    ("metric", "check"),
    [
        (Fractions, tasks.gives_perfect_predictions_the_best_value),
        (OfTheLastImage, tasks.measures_in_any_order),
        (OfTheLastImage, tasks.measures_with_an_interval),
        (OfTheLastImage, tasks.tells_the_outcome_of_every_sample),
    ],
)
def test_wrong_metrics(metric: type[MeanIoU], check: Callable[[TaskBench], None]) -> None:
    assert judge(check, TaskBench(task_with(metric=lambda self: metric(3)), None)).verdict == "failed"


class SoundNetwork(SegmentationNetwork):
    """Two convolutions."""

    name = "sound"
    shape: ClassVar[Any] = (3, 8, 8)

    def build(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1))


def network_with(**changes: Any) -> NetworkBench:
    task_with()
    return NetworkBench(NETWORKS.register("sound")(type("Wrong", (SoundNetwork,), {"__doc__": "Wrong.", **changes})))


def test_a_sound_network_passes_everything() -> None:
    bench = network_with()
    assert [check for check in networks.CHECKS if judge(check, bench).verdict != "passed"] == []


def test_a_network_with_one_score_for_an_image() -> None:
    pooled = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    result = judge(networks.builds_for_every_task_it_fits, network_with(build=lambda self: pooled))
    assert result.verdict == "failed" and "it needs (2, 3, 8, 8)" in result.reason


def test_a_network_that_decodes_along_another_axis() -> None:
    bench = network_with(decode=lambda self, output: output.argmax(-1))
    assert judge(networks.decodes_to_classes, bench).verdict == "failed"
