"""Every check of tasks fails on a task that is wrong in just that way."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from benchmarks.conformance import tasks
from benchmarks.conformance.kit import judge
from benchmarks.conformance.tasks import TaskBench
from tasks import TASKS, Task
from tasks.accuracy import Accuracy
from tasks.base import Batch, MetricValue, Split
from tasks.images.base import ImageSplits, LabelledImages, LoadedImages

pytestmark = pytest.mark.slow

counter = itertools.count()


def noise(count: int, seed: int) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)
    return LabelledImages(images, torch.arange(count) % 4)


class Sound(LoadedImages):
    """Noise in four classes; needs a folder."""

    name = "sound"
    classes = ("a", "b", "c", "d")
    input_shape = (1, 4, 4)
    layout = "a folder called noise."

    def missing(self) -> str | None:
        there = self.data_root is not None and (self.data_root / "noise").is_dir()
        return None if there else "There is no folder called noise."

    def load(self) -> ImageSplits:
        return ImageSplits(noise(80, 1), noise(60, 2), noise(70, 3))


class Mute(Sound):
    name = "sound"


class OtherName(Sound):
    """Registered under another name than its own."""

    name = "digits"


class Wordless(Sound):
    """Its layout is no sentence."""

    layout = "noise"


class Aimless(Task):
    """Does not say what its targets are."""

    missing: Any
    split: Any
    metric: Any
    digest: Any
    missing, split, metric, digest = (lambda *_: None,) * 4


class Surprised(Sound):
    """Finds out that data are missing when it reads them."""

    def missing(self) -> str | None:
        return "?" if self.data_root is None else super().missing()


class Miscounted(Sound):
    """Has more classes than it names."""

    classes: ClassVar[Any] = ("a", "b", "c")


class Shuffled(Sound):
    """Another order each time."""

    def load(self) -> ImageSplits:
        splits = super().load()
        return replace(splits, test=splits.test.take(torch.randperm(70)))


class Overlapping(Sound):
    """Validation samples stay in the training split."""

    def load(self) -> ImageSplits:
        splits = super().load()
        return replace(splits, validation=splits.train.take(torch.arange(60)))


class Dropping(Sound):
    """Leaves an incomplete last batch away."""

    def test(self, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        return (batch for batch in super().test(batch_size, limit) if len(batch.inputs) == batch_size)


class Unshuffled(Sound):
    """The limit takes the last samples."""

    def test(self, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        images = self.split("test").images
        chosen = images[len(images) - (limit or len(images)) :]
        return (Batch(part, torch.zeros(len(part), dtype=torch.int64)) for part in chosen.split(batch_size))


class WithReplacement(Sound):
    """Draws a sample twice."""

    def _draw(self, split: Split, count: int, seed: int) -> Batch:
        batch = super()._draw(split, count, seed)
        chosen = torch.randint(len(batch.inputs), (len(batch.inputs),), generator=torch.Generator().manual_seed(seed))
        return Batch(batch.inputs[chosen], batch.targets[chosen])


class HeldOutOfTest(Sound):
    """Holds out test samples."""

    def held_out(self, count: int, seed: int) -> Batch:
        return self._draw("test", count, seed)


class AnySeed(Sound):
    """Draws the same whatever the seed."""

    def calibration(self, count: int, seed: int) -> Tensor:
        return super().calibration(count, 0)


class NoSeed(Sound):
    """Draws something else every time."""

    def calibration(self, count: int, seed: int) -> Tensor:
        return super().calibration(count, next(counter))


def measuring(metric: Callable[[], Any]) -> type[Task]:
    """A task with this metric."""
    return type("Wrong", (Sound,), {"__doc__": "Wrong.", "__module__": __name__, "metric": lambda self: metric()})


class Fraction(Accuracy):
    """Not in percent."""

    def compute(self) -> dict[str, MetricValue]:
        found = super().compute()["accuracy"]
        return {"accuracy": MetricValue(found.value / 100, found.ci_low / 100, found.ci_high / 100, found.n)}


class MeanOfBatches(Accuracy):
    """Batches weigh the same, whatever their size."""

    def compute(self) -> dict[str, MetricValue]:
        found = super().compute()["accuracy"]
        value = 100 * float(torch.stack([part.double().mean() for part in self._correct]).mean())
        return {"accuracy": replace(found, value=value)}


class Zero(Accuracy):
    """Nothing is zero percent."""

    def compute(self) -> dict[str, MetricValue]:
        return super().compute() if self._correct else {"accuracy": MetricValue(0, 0, 0, 0)}


class Shifted(Accuracy):
    """An interval beside the value."""

    def compute(self) -> dict[str, MetricValue]:
        found = super().compute()["accuracy"]
        return {"accuracy": replace(found, ci_low=found.ci_low + 50, ci_high=found.ci_high + 50)}


class Mistakes(Accuracy):
    """Outcomes say what was wrong."""

    def compute(self) -> dict[str, MetricValue]:
        found = super().compute()["accuracy"]
        return {"accuracy": replace(found, value=100 - found.value)}


class Numbered(Sound):
    """A digest that is not one."""

    def digest(self) -> str:
        return f"{next(counter):064x}"


WRONG: list[tuple[Callable[[TaskBench], None], type[Task], str]] = [
    (tasks.says_what_it_is, Mute, "Mute has no docstring"),
    (tasks.is_called_as_registered, OtherName, 'name is "digits", but that name does not lead to it'),
    (tasks.describes_itself, Aimless, "It has no `target`"),
    (tasks.describes_itself, Wordless, 'The layout is no sentence: "noise"'),
    (tasks.says_what_is_missing, Surprised, 'With data root None, `missing` is no sentence: "\\?"'),
    (tasks.has_samples_as_it_says, Miscounted, "train holds classes 0 to 3; there are 3"),
    (tasks.has_splits_in_a_fixed_order, Shuffled, "The split test differs between two instances"),
    (tasks.has_disjoint_splits, Overlapping, "60 of the 60 samples of validation are also in train"),
    (tasks.tests_the_same_samples_in_any_batches, Dropping, "Batches of 7 hold other samples"),
    (tasks.limits_to_the_beginning_of_one_shuffle, Unshuffled, "limit=20 does not give the first 20 of limit=70"),
    (tasks.calibrates_on_the_training_split, WithReplacement, "are drawn twice, or are not from train"),
    (tasks.calibrates_on_the_training_split, AnySeed, "Another seed draws the same samples"),
    (tasks.calibrates_on_the_training_split, NoSeed, "The same seed draws other samples"),
    (tasks.holds_out_from_the_validation_split, HeldOutOfTest, "are drawn twice, or are not from validation"),
    (tasks.gives_perfect_predictions_the_best_value, measuring(Fraction), "it is a percentage"),
    (tasks.measures_in_any_order, measuring(MeanOfBatches), "give another value"),
    (tasks.refuses_to_measure_nothing, measuring(Zero), "raise InvalidInput"),
    (tasks.measures_with_an_interval, measuring(Shifted), "outside of its interval"),
    (tasks.tells_the_outcome_of_every_sample, measuring(Mistakes), "Their mean is"),
    (tasks.has_a_digest_of_its_data, Numbered, "It differs between two instances"),
]


def test_every_check_has_its_wrong_task() -> None:
    assert {check for check, _, _ in WRONG} == set(tasks.CHECKS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "noise").mkdir()
    return tmp_path


@pytest.mark.parametrize(("check", "wrong", "reason"), WRONG, ids=lambda case: getattr(case, "__name__", ""))
def test_the_check_finds_what_is_wrong(
    check: Callable[[TaskBench], None], wrong: type[Task], reason: str, root: Path
) -> None:
    TASKS.register("sound")(wrong)
    result = judge(check, TaskBench(wrong, root))
    assert result.verdict == "failed", result
    assert re.search(reason, result.reason), result.reason


def test_a_sound_task_passes_all(root: Path) -> None:
    TASKS.register("sound")(Sound)
    results = [judge(check, TaskBench(Sound, root)) for check in tasks.CHECKS]
    assert [result for result in results if result.verdict != "passed"] == []


def test_nothing_passes_unseen_where_data_are_missing(tmp_path: Path) -> None:
    for check in (tasks.has_disjoint_splits, tasks.measures_in_any_order, tasks.has_a_digest_of_its_data):
        result = judge(check, TaskBench(Sound, tmp_path))
        assert result.verdict == "failed"
        assert "There is no folder called noise. Expected layout: a folder called noise." in result.reason
