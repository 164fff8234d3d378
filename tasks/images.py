"""Labelled images in memory: how they are batched, split and fingerprinted."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tasks.base import Split, Task
from tasks.classification import Accuracy


class LabelledImages(Dataset[tuple[Tensor, Tensor]]):
    """Images and their classes, all in memory.

    Args:
        images: uint8 of shape (N, C, H, W).
        labels: class indices, int64 of shape (N,).
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, Tensor]]:
        """A batch by one indexing operation; DataLoader and Subset look for this name before `__getitem__`."""
        chosen = torch.as_tensor(indices)
        return list(zip(self.images[chosen].unbind(), self.labels[chosen].unbind(), strict=True))

    def take(self, indices: Tensor) -> LabelledImages:
        """A copy of the samples at `indices`, in that order."""
        return LabelledImages(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class ImageSplits:
    """The three disjoint splits of one image classification task."""

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages

    @cached_property
    def digest(self) -> str:
        """SHA-256, hexadecimal, over shape, pixels and labels of every split."""
        state = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            state.update(repr(tuple(split.images.shape)).encode())
            state.update(split.images.numpy().data)
            state.update(split.labels.numpy().data)
        return state.hexdigest()


class ImageClassification(Task):
    """A task whose samples are images of one size and whose targets are classes.

    Subclasses set the class attributes and implement `missing` and `load`.
    """

    primary_metric = "accuracy"

    @abstractmethod
    def load(self) -> ImageSplits:
        """The splits, read from disk at most once per process. Called only when nothing is missing."""

    def split(self, name: Split) -> LabelledImages:
        return {"train": self._splits.train, "validation": self._splits.validation, "test": self._splits.test}[name]

    def metric(self) -> Accuracy:
        return Accuracy()

    def digest(self) -> str:
        return self._splits.digest

    @cached_property
    def _splits(self) -> ImageSplits:
        self.require()
        return self.load()


def stratified(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Draws the same fraction of every class.

    Args:
        labels: class indices, int64 of shape (N,).
        fraction: of each class to draw, in 0..1; the count is rounded to the nearest integer.
        seed: of the draw; the same labels and seed give the same draw on every machine.

    Returns:
        Indices left and indices drawn, each ascending; together they are 0..N-1.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(len(labels.bincount())):
        members = torch.nonzero(labels == label).flatten()
        shuffled = members[torch.randperm(len(members), generator=generator)]
        drawn[shuffled[: round(fraction * len(members))]] = True
    return torch.nonzero(~drawn).flatten(), torch.nonzero(drawn).flatten()


def cut(count: int, fraction: float, most: int, seed: int) -> tuple[list[int], list[int]]:
    """Indices left and indices drawn of 0..count-1, each ascending: the training and the validation split."""
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[: min(round(fraction * count), most)]
    taken = set(drawn.tolist())
    return [index for index in range(count) if index not in taken], sorted(taken)
