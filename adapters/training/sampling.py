"""Training samples in a seeded order, with reproducible random augmentation.

Every sample is augmented with a generator seeded by (seed, epoch, index), so that it does not depend on the batch size,
on the number of loader processes, or on an interruption of the run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from adapters.training.augmentations.images import Transform

Key = tuple[int, int]
"""Epoch and index of a sample."""


class Augmented(Dataset[tuple[Tensor, Any]]):
    """A dataset seen through a random transform, indexed by `Key`.

    Args:
        data: samples (image, target).
        transform: a transform that draws from torch's global CPU generator, whose state is restored.
        seed: seed of the training run.
    """

    def __init__(self, data: Dataset[tuple[Tensor, Any]], transform: Transform, seed: int) -> None:
        self.data = data
        self.transform = transform
        self.seed = seed

    def __getitem__(self, key: Key) -> tuple[Tensor, Any]:
        epoch, index = key
        image, target = self.data[index]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(mix(self.seed, epoch, index))
            return self.transform(image, target)


class EpochShuffle(Sampler[Key]):
    """All samples in an order drawn from (seed, epoch); set `epoch` before each pass.

    Args:
        size: number of samples.
        seed: seed of the training run.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Key]:
        generator = torch.Generator().manual_seed(mix(self.seed, self.epoch))
        for index in torch.randperm(self.size, generator=generator).tolist():
            yield self.epoch, index


def mix(*parts: int) -> int:
    """One 63-bit seed from several numbers; neighbouring numbers give unrelated seeds."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()) >> 1
