"""The checks of tasks: of the class, of the splits and the draws from them, and of the metric."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.conformance.kit import Check, DoesNotApply, Failed, demand, demand_none, demand_refusal
from conversion.errors import BenchmarkError, DataMissing
from tasks import TASKS, Task
from tasks.base import Batch, Metric, Split
from tasks.target import Mistakes

# Published datasets hold a few images twice; splits that overlap by mistake share far more.
SHARED = 0.01
DRAWN, LIMIT = 24, 40
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class TaskBench:
    """A task whose data are on disk, and the digests of its samples.

    Args:
        kind: the class, as registered.
        data_root: folder of the datasets.
    """

    def __init__(self, kind: type[Task], data_root: Path | None) -> None:
        self.kind, self.data_root = kind, data_root
        self.digests = cache(self._digests)
        self.tested = cache(self._tested)

    def task(self) -> Task:
        """A new instance. Raises DataMissing unless its data are on disk, so that no check passes without data."""
        task = self.kind(self.data_root)
        task.require()
        return task

    def _digests(self, split: Split) -> list[str]:
        return fingerprints(self.batches(split))

    def _tested(self) -> list[Batch]:
        """Some test samples in batches of unequal size, which the checks of the metric share."""
        return list(self.task().test(7, LIMIT))

    def batches(self, split: Split) -> DataLoader[Any]:
        """A split of a fresh instance, batch by batch."""
        task = self.task()
        return DataLoader(task.split(split), batch_size=min(512, 8 * task.batch), collate_fn=task.collate)


def fingerprints(batches: Iterable[Any]) -> list[str]:
    """A digest of every sample's input, in order; batches are tensors, or pairs that begin with one."""
    found = []
    for batch in batches:
        for sample in batch if isinstance(batch, Tensor) else batch[0]:
            found.append(hashlib.sha256(sample.contiguous().numpy().tobytes()).hexdigest())
    return found


def says_what_it_is(bench: TaskBench) -> None:
    """The class has a docstring that says what the data are and where they come from."""
    demand(bool(vars(bench.kind).get("__doc__")), f"{bench.kind.__qualname__} has no docstring.")


def is_called_as_registered(bench: TaskBench) -> None:
    """The attribute `name` is the name that the class is registered under."""
    name = bench.kind.name
    demand(
        name in TASKS and TASKS[name] is bench.kind,
        f'{bench.kind.__qualname__}.name is "{name}", but that name does not lead to it; register it as name says.',
    )


def describes_itself(bench: TaskBench) -> None:
    """It says what its targets are; layout is a sentence, classes are different names, the input shape positive."""
    kind = bench.kind
    demand(hasattr(kind, "target"), "It has no `target`; for classes set it to tasks.images.target.ClassTarget().")
    demand(kind.layout.strip().endswith("."), f'The layout is no sentence: "{kind.layout}"; say what DATA must hold.')
    demand(bool(kind.classes) and len(set(kind.classes)) == len(kind.classes), "Two classes have one name, or none is.")
    demand(
        bool(kind.input_shape) and min(kind.input_shape) > 0,
        f"input_shape is {kind.input_shape}; give that of one sample.",
    )


def says_what_is_missing(bench: TaskBench) -> None:
    """Without data, `missing` is a sentence and `require` raises DataMissing with the layout."""
    with TemporaryDirectory() as empty:
        task = bench.kind(Path(empty))
        gap = task.missing()
        if gap is None:
            fingerprints([next(task.test(1)).inputs])
            raise DoesNotApply("The task needs no data on disk.")
        for root in (Path(empty), None):
            task = bench.kind(root)
            demand(
                str(task.missing()).strip().endswith("."),
                f'With data root {root}, `missing` is no sentence: "{task.missing()}".',
            )
            try:
                task.require()
            except DataMissing as error:
                demand(task.layout in str(error), "DataMissing does not name the layout; leave `require` as it is.")
            else:
                raise Failed("`require` does not raise DataMissing; leave it as it is.")


def has_samples_as_it_says(bench: TaskBench) -> None:
    """Samples have `input_shape` and the type and values of their kind, targets those of theirs: known classes, say."""
    for split in SPLITS:
        task = bench.task()
        inputs, targets = next(iter(bench.batches(split)))
        demand(
            tuple(inputs.shape[1:]) == tuple(task.input_shape),
            f"Samples of {split} have shape {tuple(inputs.shape[1:])}, input_shape is {task.input_shape}.",
        )
        demand_none(task.samples.fault(inputs, split))
        demand_none(task.target.fault(targets, inputs, len(task.classes), split))


def has_splits_in_a_fixed_order(bench: TaskBench) -> None:
    """Every split holds the same samples in the same order each time it is made."""
    for split in ("train", "validation", "test"):
        again = fingerprints(bench.batches(split))
        demand(again == bench.digests(split), f"The split {split} differs between two instances; draw it by a seed.")


def has_disjoint_splits(bench: TaskBench) -> None:
    """Training, validation and test split share at most 1 % of their samples, which published data hold twice."""
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        first, second = set(bench.digests(one)), bench.digests(other)
        shared = sum(digest in first for digest in second)
        demand(
            shared <= SHARED * len(second),
            f"{shared} of the {len(second)} samples of {other} are also in {one}; take them out of {one}.",
        )


def tests_the_same_samples_in_any_batches(bench: TaskBench) -> None:
    """`test` yields the same samples for every batch size, and as many as `test_size` says."""
    whole = list(bench.task().test(LIMIT, LIMIT))
    for size in (1, 7, LIMIT + 1):
        batches = list(bench.task().test(size, LIMIT))
        demand(
            fingerprints(batch.inputs for batch in batches) == fingerprints(batch.inputs for batch in whole)
            and _targets(batches) == _targets(whole),
            f"Batches of {size} hold other samples than batches of {LIMIT}.",
        )
    everything = sum(len(batch.inputs) for batch in bench.task().test(8 * bench.kind.batch))
    demand(everything == bench.task().test_size(), f"`test` yields {everything} samples; test_size() says otherwise.")


def limits_to_the_beginning_of_one_shuffle(bench: TaskBench) -> None:
    """A smaller `limit` gives the first of the samples that a larger one gives."""
    size = bench.task().test_size()
    many, few = min(LIMIT, size), min(LIMIT, size) // 2
    found = {n: fingerprints(batch.inputs for batch in bench.task().test(16, n)) for n in (few, many, size)}
    for n in (few, many):
        demand(len(found[n]) == n == bench.task().test_size(n), f"limit={n} gives {len(found[n])} samples.")
        demand(found[size][:n] == found[n], f"limit={n} does not give the first {n} of limit={size}.")
    demand(Counter(found[size]) == Counter(bench.digests("test")), "The shuffle is no shuffle of the test split.")


def calibrates_on_the_training_split(bench: TaskBench) -> None:
    """`calibration` draws as many training samples as asked for, none twice; the seed decides which."""
    _drawn(bench, "train", lambda task, count, seed: task.calibration(count, seed))


def holds_out_from_the_validation_split(bench: TaskBench) -> None:
    """`held_out` draws in the same way from the validation split, which training data never hold."""
    _drawn(bench, "validation", lambda task, count, seed: task.held_out(count, seed).inputs)


def gives_perfect_predictions_the_best_value(bench: TaskBench) -> None:
    """Predictions equal to the targets score best: what the task calls perfect, and more than wrong ones."""
    task, batches = bench.task(), bench.tested()
    best = _value(task, _imitated(task, batches, "none"))
    if task.perfect is not None:
        unit = "; it is a percentage" if task.perfect == 100 else f", not {task.perfect:g}"
        demand(abs(best - task.perfect) < 1e-9, f"Perfect predictions have {task.primary_metric} {best}{unit}.")
    wrong = _value(task, _imitated(task, batches, "all"))
    demand(best > wrong, f"Perfect predictions score {best}, wrong ones {wrong}; more has to be better.")


def measures_in_any_order(bench: TaskBench) -> None:
    """The order and the size of updates change no value; the size no interval either."""
    task, batches = bench.task(), bench.tested()
    pairs, whole = _imitated(task, batches, "some"), _imitated(task, task.test(LIMIT, LIMIT), "some")
    forward, backward, at_once = (_filled(task, part).compute() for part in (pairs, pairs[::-1], whole))
    demand(forward == at_once, "Updates all at once give another value.")
    # The draws of an interval, and the order of sums, may depend on the order of samples.
    same = all(abs(measure.value - backward[name].value) < 1e-6 for name, measure in forward.items())
    demand(same, "Updates in another order give another value.")


def refuses_to_measure_nothing(bench: TaskBench) -> None:
    """A metric that has seen no sample is refused."""
    demand_refusal(bench.task().metric().compute, "raise InvalidInput.")


def measures_with_an_interval(bench: TaskBench) -> None:
    """The primary metric is among those computed and counts its samples; every one lies in its interval."""
    task, batches = bench.task(), bench.tested()
    measured = _filled(task, _imitated(task, batches, "some")).compute()
    demand(task.primary_metric in measured, f"It computes {', '.join(measured)}, not {task.primary_metric}.")
    samples = sum(len(batch.targets) for batch in batches)
    for name, measure in measured.items():
        # Other metrics may count some of the samples only.
        seen = measure.n == samples or (name != task.primary_metric and 0 < measure.n < samples)
        demand(seen, f"{name} says it saw {measure.n} samples; it was {samples}.")
        demand(
            measure.ci_low <= measure.value <= measure.ci_high,
            f"{name} is {measure.value}, outside of its interval {measure.ci_low} to {measure.ci_high}.",
        )


def tells_the_outcome_of_every_sample(bench: TaskBench) -> None:
    """`outcomes` has one number for each sample, in order; of an accuracy their mean is the value."""
    task, batches = bench.task(), bench.tested()
    pairs = _imitated(task, batches, "some")
    metric = _filled(task, pairs)
    outcomes = metric.outcomes()
    samples = sum(len(batch.targets) for batch in batches)
    demand(tuple(outcomes.shape) == (samples,), f"It has shape {tuple(outcomes.shape)} for {samples} samples.")
    first = _filled(task, pairs[:1]).outcomes()
    demand(torch.equal(outcomes[: len(first)], first), "They are not in the order in which samples came.")
    if task.primary_metric == "accuracy":
        value = metric.compute()["accuracy"].value
        mean = 100 * float(outcomes.double().mean())
        demand(abs(value - mean) < 1e-3, f"Their mean is {mean:.3f} %, the accuracy {value:.3f} %.")


def has_a_digest_of_its_data(bench: TaskBench) -> None:
    """The digest is 64 hexadecimal digits, the same each time."""
    digest = bench.task().digest()
    demand(re.fullmatch("[0-9a-f]{64}", digest) is not None, f"It is '{digest}'; give a SHA-256 of all samples.")
    demand(bench.task().digest() == digest, "It differs between two instances; the data revision may not.")


def _drawn(bench: TaskBench, split: Split, draw: Callable[[Task, int, int], Tensor]) -> None:
    pool = Counter(bench.digests(split))
    count = min(DRAWN, pool.total() - 1)
    first, again, other = (fingerprints([draw(bench.task(), count, seed)]) for seed in (0, 0, 1))
    demand(len(first) == count, f"Asked for {count}, it draws {len(first)}.")
    # In a draw of the whole split, a sample that is drawn twice replaces another.
    for drawn in (first, fingerprints([draw(bench.task(), pool.total(), 0)])):
        foreign = Counter(drawn) - pool
        demand(not foreign, f"{foreign.total()} of {len(drawn)} samples are drawn twice, or are not from {split}.")
    demand(first == again, "The same seed draws other samples; use a torch.Generator with that seed.")
    demand(first != other, "Another seed draws the same samples; use a torch.Generator with that seed.")
    try:
        draw(bench.task(), 0, 0)
    except BenchmarkError:
        return
    raise Failed("A draw of 0 samples is not refused; raise InvalidInput.")


def _imitated(task: Task, batches: Iterable[Batch], mistakes: Mistakes) -> list[tuple[Any, Any]]:
    """Predictions with mistakes, and the targets of the same batch."""
    classes = len(task.classes)
    return [(task.target.imitate(batch.targets, classes, mistakes), batch.targets) for batch in batches]


def _filled(task: Task, pairs: Iterable[tuple[Any, Any]]) -> Metric:
    metric = task.metric()
    for predictions, targets in pairs:
        metric.update(predictions, targets)
    return metric


def _value(task: Task, pairs: Iterable[tuple[Any, Any]]) -> float:
    return _filled(task, pairs).compute()[task.primary_metric].value


def _targets(batches: Iterable[Batch]) -> str:
    return repr([target for batch in batches for target in batch.targets])


CHECKS: tuple[Check[TaskBench], ...] = (
    says_what_it_is, is_called_as_registered, describes_itself, says_what_is_missing, has_samples_as_it_says,
    has_splits_in_a_fixed_order, has_disjoint_splits, tests_the_same_samples_in_any_batches,
    limits_to_the_beginning_of_one_shuffle, calibrates_on_the_training_split, holds_out_from_the_validation_split,
    gives_perfect_predictions_the_best_value, measures_in_any_order, refuses_to_measure_nothing,
    measures_with_an_interval, tells_the_outcome_of_every_sample, has_a_digest_of_its_data,
)  # fmt: skip
