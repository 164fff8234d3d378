"""Labelled images in memory: batches, splits and digest."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tasks.accuracy import Accuracy
from tasks.base import Split, Task
from tasks.images.target import ClassTarget


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
    """A task whose samples are images of one size, uint8 of shape (C, H, W), and whose targets are classes."""

    kind = "image classification"
    primary_metric = "accuracy"
    perfect = 100.0
    target = ClassTarget()
    mean: ClassVar[tuple[float, ...]] = (0.5,)
    std: ClassVar[tuple[float, ...]] = (0.5,)
    """Mean and deviation of pixels / 255 in the training split, per channel or for all; defaults map them to -1..1."""

    def metric(self) -> Accuracy:
        return Accuracy()


class LoadedImages(ImageClassification):
    """Image classification in memory. Subclasses set the class attributes and implement `missing` and `load`."""

    @abstractmethod
    def load(self) -> ImageSplits:
        """The splits, read from disk at most once per process. Called only when nothing is missing."""

    def split(self, name: Split) -> LabelledImages:
        return {"train": self._splits.train, "validation": self._splits.validation, "test": self._splits.test}[name]

    def digest(self) -> str:
        return self._splits.digest

    @cached_property
    def _splits(self) -> ImageSplits:
        self.require()
        return self.load()
