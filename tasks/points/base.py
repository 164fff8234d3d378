"""Point clouds: the points of a sample, their normalisation, and the bases of their tasks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversion.errors import InvalidInput
from tasks.accuracy import Accuracy
from tasks.base import Task
from tasks.disk import DiskTask, file_hash
from tasks.images.target import ClassTarget
from tasks.points.samples import CloudSamples

Points = NDArray[np.float64]


@dataclass(frozen=True)
class CloudFile:
    """A file with a shape in it.

    Attributes:
        path: its path.
        name: its name within the dataset, the same on every machine; it seeds the draw of its points.
        category: index of the shape's class.
    """

    path: Path
    name: str
    category: int

    def generator(self) -> np.random.Generator:
        """The generator for this file's points, independent of other files and of their order."""
        return np.random.default_rng(int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8]))


def sample_indices(available: int, wanted: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draws indices of the points of a cloud for a sample, in a random order, shape (wanted,).

    Each occurs at most once where there are enough; else all occur, and the others are drawn with replacement.
    """
    everything = generator.permutation(available)
    if available >= wanted:
        return everything[:wanted]
    return np.concatenate([everything, generator.integers(0, available, wanted - available)])


def normalised(points: Points, where: Path | str) -> Tensor:
    """Centres points at their mean and scales the farthest to distance 1, as in the released code.

    Args:
        points: shape (P, 3).
        where: their file, for the error message.

    Returns:
        float32 of shape (3, P).

    Raises:
        InvalidInput: all points are the same.
    """
    centred = points - points.mean(0)
    radius = np.sqrt((centred**2).sum(1).max())
    # Rounding leaves a small radius where all points are equal.
    if not radius > 1e-9 * np.abs(points).max(initial=0.0):
        raise InvalidInput(f"All points of {where} lie in one place, so that the shape has no size; correct the file.")
    return torch.from_numpy((centred / radius).T.astype(np.float32))


class CloudTask(Task):
    """A task whose samples are clouds, float32 of shape (3, points), their mean at 0 and the farthest point at 1.

    Further channels hold a shape's category where it is part of the input. Networks take any number of points.
    """

    batch = 16
    samples = CloudSamples(any_size=True)

    @property
    def points(self) -> int:
        """The number of points of a sample."""
        return self.input_shape[1]


class CloudClassification(CloudTask):
    """A task of clouds whose targets are classes."""

    kind = "point cloud classification"
    primary_metric = "accuracy"
    perfect = 100.0
    target = ClassTarget()

    def metric(self) -> Accuracy:
        return Accuracy()


class CloudFiles(CloudTask, DiskTask[CloudFile]):
    """A task of clouds in files. Subclasses set the class attributes and implement `listing` and `read`."""

    unit = "shape"

    def label(self, sample: CloudFile) -> int:
        return sample.category

    def key(self, sample: CloudFile) -> str:
        return sample.path.stem

    def content(self, sample: CloudFile) -> bytes:
        return f"{sample.name} {sample.category} ".encode() + file_hash(sample.path)
