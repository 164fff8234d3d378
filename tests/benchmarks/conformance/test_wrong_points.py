"""Checks that look at clouds and parts fail on a task or a network where these are wrong in just that way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from adapters import NETWORKS
from adapters.points.pointnet import PartNetwork
from benchmarks.conformance import networks, tasks
from benchmarks.conformance.kit import judge
from benchmarks.conformance.networks import NetworkBench
from benchmarks.conformance.tasks import TaskBench
from tasks import TASKS
from tasks.base import Split
from tasks.points.parts import PartIoU, PartSegmentation

pytestmark = pytest.mark.slow


class Sound(PartSegmentation):
    """Noise in two categories of two parts."""

    name = "sound"
    classes = ("a", "b", "c", "d")
    categories = {"First": (0, 1), "Second": (2, 3)}  # noqa: RUF012
    input_shape = (3, 20)
    layout = "nothing."

    def missing(self) -> str | None:
        return None

    def split(self, name: Split) -> Any:
        generator = torch.Generator().manual_seed(("train", "validation", "test").index(name))
        clouds = torch.randn(12, 3, 20, generator=generator)
        clouds -= clouds.mean(2, keepdim=True)
        clouds /= clouds.norm(dim=1, keepdim=True).amax(2, keepdim=True)
        parts = torch.randint(0, 2, (12, 20), generator=generator) + 2 * (torch.arange(12) % 2)[:, None]
        return TensorDataset(*self.change(clouds, parts.to(torch.uint8)))

    def change(self, clouds: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
        return clouds, parts

    def digest(self) -> str:
        return 64 * "0"


class OfSomeShapes(PartIoU):
    """Says of the primary metric that it saw one shape less."""

    def compute(self) -> Any:
        found = super().compute()
        measure = found["category_miou"]
        found["category_miou"] = type(measure)(measure.value, measure.ci_low, measure.ci_high, measure.n - 1)
        return found


class OfTheLastBatch(PartIoU):
    """Forgets what came before."""

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        self._shapes = []
        super().update(predictions, targets)


def task_with(**changes: Any) -> type[PartSegmentation]:
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
        (lambda clouds, parts: (clouds.double(), parts), "Clouds of train are torch.float64; give float32"),
        (lambda clouds, parts: (clouds / 0, parts), "hold values that are not finite"),
        (lambda clouds, parts: (clouds + 1, parts), "away from the origin"),
        (lambda clouds, parts: (2 * clouds, parts), "its farthest point is not at distance 1"),
        (lambda clouds, parts: (clouds, parts.long()), "Parts of train are torch.int64; give uint8"),
        (lambda clouds, parts: (clouds, parts[:, :9]), "have shape (9,), their samples (20,)"),
        (lambda clouds, parts: (clouds, parts + 1), "Parts of train hold [4], which are no classes"),
    ],
)
def test_wrong_clouds(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], reason: str) -> None:
    bench = TaskBench(task_with(change=lambda self, clouds, parts: change(clouds, parts)), None)
    result = judge(tasks.has_samples_as_it_says, bench)
    assert result.verdict == "failed" and reason in result.reason


@pytest.mark.parametrize(
    ("metric", "check"),
    [
        (OfSomeShapes, tasks.measures_with_an_interval),
        (OfTheLastBatch, tasks.measures_with_an_interval),
        (OfTheLastBatch, tasks.measures_in_any_order),
        (OfTheLastBatch, tasks.tells_the_outcome_of_every_sample),
    ],
)
def test_wrong_metrics(metric: type[PartIoU], check: Callable[[TaskBench], None]) -> None:
    bench = TaskBench(task_with(metric=lambda self: metric(self.categories)), None)
    assert judge(check, bench).verdict == "failed"


class SoundNetwork(PartNetwork):
    """Two layers for every point by itself."""

    name = "sound"
    shape: ClassVar[Any] = (3, 20)

    def build(self) -> nn.Module:
        return nn.Sequential(nn.Conv1d(3, 8, 1), nn.ReLU(), nn.Conv1d(8, 4, 1))


def network_with(**changes: Any) -> NetworkBench:
    task_with()
    return NetworkBench(NETWORKS.register("sound")(type("Wrong", (SoundNetwork,), {"__doc__": "Wrong.", **changes})))


def test_a_sound_network_passes_everything() -> None:
    bench = network_with()
    assert [check for check in networks.CHECKS if judge(check, bench).verdict != "passed"] == []


def test_a_network_with_one_score_for_a_cloud() -> None:
    pooled = nn.Sequential(nn.Conv1d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    result = judge(networks.builds_for_every_task_it_fits, network_with(build=lambda self: pooled))
    assert result.verdict == "failed" and "it needs (2, 4, 20)" in result.reason


def test_a_network_that_decodes_along_another_axis() -> None:
    bench = network_with(decode=lambda self, output: output.argmax(-1).flip(1))
    assert judge(networks.decodes_to_classes, bench).verdict == "failed"
