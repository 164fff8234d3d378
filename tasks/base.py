"""The base of all tasks: data, splits and a metric. A task knows nothing about spikes or networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, default_collate

from conversion.errors import DataMissing, InvalidInput
from conversion.registry import Registry
from tasks.samples import Samples
from tasks.target import Target

Split = Literal["train", "validation", "test"]
TASKS: Registry[type[Task]] = Registry("task")


@dataclass(frozen=True)
class Batch:
    """Samples in a fixed order.

    Attributes:
        inputs: the samples as they are stored; images are uint8 of shape (N, C, H, W).
        targets: ground truth; class indices, int64 of shape (N,), for classification.
    """

    inputs: Tensor
    targets: Any


@dataclass(frozen=True)
class MetricValue:
    """A metric's value with its 95 % interval, in the metric's own unit (accuracy: percent), over n samples."""

    value: float
    ci_low: float
    ci_high: float
    n: int


class Metric(Protocol):
    """Accumulates predictions; one instance measures one row at one readout time."""

    def update(self, predictions: Any, targets: Any) -> None: ...

    def compute(self) -> dict[str, MetricValue]: ...

    def outcomes(self) -> Tensor:
        """The score of every sample so far, float of shape (n,), for paired comparison of methods."""
        ...


@dataclass(frozen=True)
class TaskInfo:
    """The source of a dataset, for tables and `doctor`; a field that is not known is None.

    Attributes:
        title: its name in a few words.
        citation: the paper to cite: authors, title, venue and year.
        homepage: the address that it is published at.
        licence: the licence of the data, as their publisher states it.
        expected: a known score of a network on it, with its source.
        note: sentences that readers of its figures have to know; they stand above its tables.
    """

    title: str | None = None
    citation: str | None = None
    homepage: str | None = None
    licence: str | None = None
    expected: str | None = None
    note: str | None = None


class Task(ABC):
    """Data, splits and metric of one benchmark task.

    Subclasses set the class attributes and implement `missing`, `split`, `metric` and `digest`.

    Args:
        data_root: the folder that holds every dataset; unused by tasks that need none on disk.
    """

    name: ClassVar[str]
    """The registered name; `TASKS.register` sets it."""
    kind: ClassVar[str] = "a kind of its own"
    """The family in a few words, for tables and error messages: "image classification"."""
    info: ClassVar[TaskInfo] = TaskInfo()
    label_set: ClassVar[str | None] = None
    """The dataset whose classes these are, all of them and in its order, where networks are published for it."""
    primary_metric: ClassVar[str]
    perfect: ClassVar[float | None] = None
    """The primary metric of perfect predictions, 100 for percentages; None where it depends on the data."""
    target: ClassVar[Target]
    """The type of target, which stores predictions, imitates them for `check` and draws them."""
    samples: ClassVar[Samples] = Samples()
    """The kind of the inputs; images by default."""
    classes: ClassVar[tuple[str, ...]]
    input_shape: ClassVar[tuple[int, ...]]
    layout: ClassVar[str]
    """The files that `data_root` must hold, in one sentence; shown by `doctor` and in error messages."""
    batch: ClassVar[int] = 64
    """Number of samples that are read and simulated at once; fewer where one is large."""
    dense: ClassVar[bool] = False
    """Whether a prediction is as large as a sample, so that scoring one takes time."""

    def __init__(self, data_root: Path | None = None) -> None:
        self.data_root = data_root

    @abstractmethod
    def missing(self) -> str | None:
        """Names what is not on disk, in a sentence; None when all is there. Reads no sample."""

    @abstractmethod
    def split(self, name: Split) -> Dataset[tuple[Tensor, Any]]:
        """One split, un-augmented, in a fixed order. Train and validation never overlap, nor touch test."""

    @abstractmethod
    def metric(self) -> Metric:
        """A new accumulator."""

    def collate(self, samples: Sequence[tuple[Tensor, Any]]) -> tuple[Tensor, Any]:
        """A batch from samples; tasks whose targets differ in size from sample to sample make lists of them."""
        return default_collate(list(samples))  # type: ignore[no-any-return]

    def require(self) -> None:
        """Raises DataMissing, with the expected layout, unless the data are on disk."""
        gap = self.missing()
        if gap is not None:
            raise DataMissing(f"Task {self.name}: {gap} Expected layout: {self.layout}")

    def calibration(self, count: int, seed: int) -> Tensor:
        """Inputs drawn without replacement from the training split, un-augmented: shape (count, ...).

        Raises:
            InvalidInput: when count is below 1. A split smaller than count gives all it has.
        """
        return self._draw("train", count, seed).inputs

    def held_out(self, count: int, seed: int) -> Batch:
        """Samples drawn as `calibration` does, from the validation split: training data that it never holds."""
        return self._draw("validation", count, seed)

    def _draw(self, split: Split, count: int, seed: int) -> Batch:
        if count < 1:
            raise InvalidInput(f"The calibration set is empty: count is {count}, ask for at least 1 sample.")
        data = self.split(split)
        chosen = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:count]  # type: ignore[arg-type]
        inputs, targets = self.collate([data[index] for index in chosen.tolist()])
        return Batch(inputs, targets)

    def test(self, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """The test split in batches; `limit` takes the first samples of one fixed shuffle (seed 0)."""
        for inputs, targets in DataLoader(self._tested(limit), batch_size=batch_size, collate_fn=self.collate):
            yield Batch(inputs, targets)

    def _tested(self, limit: int | None) -> Dataset[tuple[Tensor, Any]]:
        """The samples of `test`, in its order."""
        data = self.split("test")
        if limit is None:
            return data
        shuffle = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
        return Subset(data, shuffle[:limit].tolist())

    def test_size(self, limit: int | None = None) -> int:
        """The number of samples that `test(limit=limit)` yields."""
        size = len(self.split("test"))  # type: ignore[arg-type]
        return size if limit is None else min(size, limit)

    def departures(self) -> dict[str, int]:
        """Differences from the dataset as published, counted by kind: samples skipped, boxes dropped."""
        return {}

    def provenance(self) -> dict[str, str]:
        """How samples were read, for the record: the resizing of images."""
        return {}

    def doubt(self, metrics: Mapping[str, MetricValue]) -> str | None:
        """Says in a sentence why these values of a trained network, not yet converted, cannot be right; else None."""
        return None

    @abstractmethod
    def digest(self) -> str:
        """Hex digest that changes when any training or test sample does: the data revision of a record."""
