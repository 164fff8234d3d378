"""Point clouds: how many points a sample has, where they lie, and what the tasks that have them share."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from conversion.errors import InvalidInput
from tasks.accuracy import Accuracy
from tasks.base import Split, Task
from tasks.images.target import ClassTarget
from tasks.points.samples import CloudSamples
from tasks.splits import stratified

CACHE_BYTES = 2**30
"""Clouds of a split are kept in memory when all of them need no more."""
VALIDATION_FRACTION, VALIDATION_SEED = 0.1, 0
Points = NDArray[np.float64]


@dataclass(frozen=True)
class CloudFile:
    """A file with a shape in it.

    Attributes:
        path: where it is.
        name: what it is called among the files of its dataset, on every machine: its seed is drawn from it.
        category: index of the shape's class.
    """

    path: Path
    name: str
    category: int

    def generator(self) -> np.random.Generator:
        """Draws the points of this file's sample; what is drawn for others, or in which order, makes no difference."""
        return np.random.default_rng(int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8]))


Read = Callable[[CloudFile], tuple[Tensor, Tensor]]
"""Of a file: a cloud, float32 of shape (3, points), and its target."""


class Clouds(Dataset[tuple[Tensor, Tensor]]):
    """Samples (cloud, target), each read when it is first asked for.

    Args:
        files: in the order of the samples.
        read: of one sample.
        points: how many a sample has.
    """

    def __init__(self, files: Sequence[CloudFile], read: Read, points: int) -> None:
        self.files = files
        self.read = read
        # Three coordinates of four bytes and a label.
        self._keep = len(files) * points * 13 <= CACHE_BYTES
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample = self._kept.get(index)
        if sample is None:
            sample = self.read(self.files[index])
            if self._keep:
                self._kept[index] = sample
        return sample


def chosen(available: int, wanted: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Which of the points of a cloud a sample takes, in a random order, shape (wanted,).

    Each at most once where there are enough; else all of them, and as many again, drawn with replacement, as it takes.
    """
    everything = generator.permutation(available)
    if available >= wanted:
        return everything[:wanted]
    return np.concatenate([everything, generator.integers(0, available, wanted - available)])


def normalised(points: Points, where: Path) -> Tensor:
    """Points with their mean at the origin and the farthest of them at distance 1, as the released code has them.

    Args:
        points: shape (P, 3).
        where: the file that they come from, for the error message.

    Returns:
        float32 of shape (3, P).

    Raises:
        InvalidInput: all points are one.
    """
    centred = points - points.mean(0)
    radius = np.sqrt((centred**2).sum(1).max())
    # Of equal points rounding leaves a little.
    if not radius > 1e-9 * np.abs(points).max(initial=0.0):
        raise InvalidInput(f"All points of {where} lie in one place, so that the shape has no size; correct the file.")
    return torch.from_numpy((centred / radius).T.astype(np.float32))


class CloudTask(Task):
    """A task whose samples are clouds, float32 of shape (3, points), their mean at 0 and the farthest point at 1.

    Where networks are told a shape's category, further channels say it. Networks take clouds of any number of points.
    """

    batch = 16
    samples = CloudSamples(any_size=True)

    @property
    def points(self) -> int:
        """How many points a sample has."""
        return self.input_shape[1]


class CloudClassification(CloudTask):
    """A task of clouds whose targets are classes."""

    kind = "point cloud classification"
    primary_metric = "accuracy"
    perfect = 100.0
    target = ClassTarget()

    def metric(self) -> Accuracy:
        return Accuracy()


class CloudFiles(CloudTask):
    """A task of clouds in files. Subclasses set the class attributes and implement `missing`, `files` and `read`."""

    @abstractmethod
    def files(self) -> dict[Split, list[CloudFile]]:
        """The splits; one without "validation" has a seeded tenth of every class of its training split cut off."""

    @abstractmethod
    def read(self, file: CloudFile) -> tuple[Tensor, Tensor]:
        """One sample. Raises InvalidInput, naming file and line, where something is wrong with it."""

    def split(self, name: Split) -> Dataset[tuple[Tensor, Any]]:
        return self._splits[name]

    def digest(self) -> str:
        return self._digest

    @cached_property
    def _splits(self) -> dict[Split, Clouds]:
        self.require()
        files = self.files()
        if "validation" not in files:
            files["train"], files["validation"] = _cut(files["train"])
        return {name: Clouds(part, self.read, self.points) for name, part in files.items()}

    @cached_property
    def _digest(self) -> str:
        """SHA-256, hexadecimal, over names, classes and bytes of the files of every split."""
        state = hashlib.sha256(repr(self.input_shape).encode())
        splits: tuple[Split, ...] = ("train", "validation", "test")
        for name in splits:
            state.update(name.encode())
            for file in self._splits[name].files:
                state.update(f"{file.name} {file.category} ".encode())
                # Hashed by itself, so that no byte can pass from one file to the next.
                state.update(hashlib.sha256(file.path.read_bytes()).digest())
        return state.hexdigest()


def _cut(files: Sequence[CloudFile]) -> tuple[list[CloudFile], list[CloudFile]]:
    """Training files and, drawn from every class of them by a fixed seed, validation files."""
    classes = torch.tensor([file.category for file in files], dtype=torch.int64)
    kept, drawn = stratified(classes, VALIDATION_FRACTION, VALIDATION_SEED)
    return [files[index] for index in kept.tolist()], [files[index] for index in drawn.tolist()]
