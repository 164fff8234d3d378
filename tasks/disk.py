"""Data on disk, one contract: where a dataset lies, what is missing, its samples, its splits, its digest."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from conversion.errors import DataMissing, InvalidInput
from tasks.base import Split, Task
from tasks.splits import cut, stratified

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SKIPPED = "skip.txt"
"""Beside a dataset's folders of samples: what is left out of every split, one on a line, by stem."""
CACHE_BYTES = 2**30
"""Samples of a split are kept in memory when all of them need no more."""
VALIDATION_FRACTION, TEST_FRACTION, SEED = 0.1, 0.2, 0
Sample = TypeVar("Sample")
"""What a listing says of one sample: the path of its file, its class where it has one."""


class StoredSamples(Dataset[tuple[Tensor, Any]], Generic[Sample]):
    """Samples that are read when asked for, and kept in memory if all of them fit in there.

    Args:
        samples: the listing.
        read: makes (input, target) of one of them.
    """

    def __init__(self, samples: Sequence[Sample], read: Callable[[Sample], tuple[Tensor, Any]]) -> None:
        self.samples = samples
        self._read = read
        self._kept: dict[int, tuple[Tensor, Any]] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        if index in self._kept:
            return self._kept[index]
        sample = self._read(self.samples[index])
        if len(self) * sum(part.nbytes for part in sample if isinstance(part, Tensor)) <= CACHE_BYTES:
            self._kept[index] = sample
        return sample


class FolderTask(Task):
    """A task that needs a folder under the data root. Subclasses set the class attributes and implement `gap`."""

    folders: ClassVar[tuple[str, ...]] = (".",)
    """Where the dataset may be under the data root; the first that is there is taken."""

    @cached_property
    def root(self) -> Path:
        """The dataset's own folder."""
        return next((path for path in self._places if path.is_dir()), self._places[0])

    def missing(self) -> str | None:
        if self.data_root is None:
            return "No data root was given (--data-root)."
        if not self.root.is_dir():
            return f"There is no folder {' or '.join(map(str, self._places))}."
        return self.gap()

    @abstractmethod
    def gap(self) -> str | None:
        """What is not in the dataset's own folder, as a sentence; None when all is there. Reads no sample."""

    @property
    def _places(self) -> list[Path]:
        assert self.data_root is not None  # `missing` says so before.
        return [self.data_root / folder for folder in self.folders]


class DiskTask(FolderTask, Generic[Sample]):
    """A task whose samples are listed on disk. What a sample of the listing is, a family decides.

    Families implement `read`, `key` and `content`, and `label` where samples have classes; datasets implement `listing`
    and, where a listing does not show what is missing, `gap`.
    """

    unit: ClassVar[str] = "image"
    """What a sample is called."""
    validation_most: ClassVar[int | None] = None
    """The most samples that are cut off for validation."""

    @abstractmethod
    def listing(self) -> dict[Split, list[Sample]]:
        """Every sample on disk, by split.

        One without "test" has a seeded fifth of "train" cut off, one without "validation" a seeded tenth; of every
        class where samples have classes. Raises DataMissing where the listing shows that something is not there.
        """

    @abstractmethod
    def read(self, sample: Sample) -> tuple[Tensor, Any]:
        """Input and target of one sample. Raises InvalidInput, which names the file, if something is wrong with it."""

    @abstractmethod
    def key(self, sample: Sample) -> str:
        """What a sample is called in `skip.txt`."""

    @abstractmethod
    def content(self, sample: Sample) -> bytes:
        """The name and all that is in the files of a sample, or hashes of it, for the digest."""

    def label(self, sample: Sample) -> int | None:
        """The class that a sample is stratified by; None where it has none."""
        return None

    def skip_list(self, sample: Sample) -> Path:
        """The list on which the user leaves a sample out."""
        return self.root / SKIPPED

    def gap(self) -> str | None:
        try:
            self.divided()
        except DataMissing as error:
            return str(error)
        return None

    def divided(self) -> dict[Split, list[Sample]]:
        """The three splits of the listing, without what the user leaves out. Raises DataMissing as `listing` does."""
        listed = self.listing()
        if "test" not in listed:
            listed["train"], listed["test"] = self._cut(listed["train"], TEST_FRACTION)
        splits = {name: self._without_skipped(samples, name) for name, samples in listed.items()}
        self._count = sum(map(len, listed.values()))
        if "validation" not in splits:
            most, count = self.validation_most, len(splits["train"])
            fraction = VALIDATION_FRACTION if most is None else min(VALIDATION_FRACTION, most / max(count, 1))
            splits["train"], splits["validation"] = self._cut(splits["train"], fraction)
        return splits

    def listed(self, split: Split) -> list[Sample]:
        """The samples of a split in its order, without those that the user leaves out.

        Raises:
            DataMissing: something is not on disk.
            InvalidInput: there is no sample in the split.
        """
        if not self._splits[split]:
            raise InvalidInput(f"The {split} split of {self.name} holds no {self.unit}; see {self.root}.")
        return self._splits[split]

    def split(self, name: Split) -> Dataset[tuple[Tensor, Any]]:
        self.listed(name)  # An empty one is refused.
        return self._stored[name]

    def digest(self) -> str:
        return self._digest

    def departures(self) -> dict[str, int]:
        kept = sum(map(len, self._splits.values()))
        return {f"{self.unit}s on {SKIPPED}": self._count - kept}

    @contextmanager
    def reading(self, sample: Sample) -> Iterator[None]:
        """Adds to what is wrong with a sample how the user leaves it out."""
        try:
            yield
        except InvalidInput as error:
            raise InvalidInput(f"{error} {self.advice(sample)}") from error

    def advice(self, sample: Sample) -> str:
        """How the user leaves out a sample that cannot be repaired."""
        return f"To leave it out, write {self.key(sample)} on a line of {self.skip_list(sample)}."

    def _read(self, sample: Sample) -> tuple[Tensor, Any]:
        with self.reading(sample):
            return self.read(sample)

    @cached_property
    def _stored(self) -> dict[Split, StoredSamples[Sample]]:
        return {name: StoredSamples(samples, self._read) for name, samples in self._splits.items()}

    @cached_property
    def _splits(self) -> dict[Split, list[Sample]]:
        self.require()
        return self.divided()

    def _without_skipped(self, samples: Sequence[Sample], split: Split) -> list[Sample]:
        """Those that the user does not leave out; of every class there has to be one."""
        lists = {path: skipped(path) for path in set(map(self.skip_list, samples))}
        kept = [sample for sample in samples if self.key(sample) not in lists[self.skip_list(sample)]]
        # Classes are looked at only when something is left out: a library may have to read a sample for its class.
        if len(kept) < len(samples) and set(map(self.label, samples)) - set(map(self.label, kept)):
            names = " and ".join(str(path) for path in lists)
            raise DataMissing(f"{names} leaves no {self.unit} in the {split} split, or none of one of its classes.")
        return kept

    def _cut(self, samples: Sequence[Sample], fraction: float) -> tuple[list[Sample], list[Sample]]:
        """Samples left and samples drawn by a fixed seed, a fraction of every class where there are classes."""
        labels = [self.label(sample) for sample in samples]
        classes = [label for label in labels if label is not None]
        if len(classes) == len(samples):
            left, drawn = (part.tolist() for part in stratified(torch.tensor(classes).long(), fraction, SEED))
        else:
            left, drawn = cut(len(samples), fraction, SEED)
        return [samples[index] for index in left], [samples[index] for index in drawn]

    @cached_property
    def _digest(self) -> str:
        """SHA-256, hexadecimal, over the input shape and the content of every split's samples."""
        state = hashlib.sha256(repr(self.input_shape).encode())
        for name in SPLITS:
            state.update(name.encode())
            for sample in self._splits[name]:
                with self.reading(sample):
                    state.update(self.content(sample))
        return state.hexdigest()


def skipped(path: Path) -> frozenset[str]:
    """The samples that a list of the user leaves out; what follows a # is a remark."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return frozenset(name for line in lines if (name := line.partition("#")[0].strip()))


def file_hash(path: Path) -> bytes:
    """SHA-256 of a file's bytes: hashed by itself, no byte of it can pass to the next file of a digest."""
    return hashlib.sha256(path.read_bytes()).digest()


def absent(paths: Iterable[Path]) -> Path | None:
    """The first of the files that is not there. Every folder is listed once, which is quicker than asking for each."""
    listed: dict[Path, set[str]] = {}
    for path in paths:
        folder = path.parent
        if folder not in listed:
            listed[folder] = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
        if path.name not in listed[folder]:
            return path
    return None


def folder_gap(folder: Path, classes: Sequence[str]) -> str | None:
    """Why `folder` is not exactly one sub-folder per class, as a sentence; None when it is. Opens no file."""
    if not folder.is_dir():
        return f"There is no folder {folder}."
    present = {entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    for name in sorted(present - set(classes)):
        near = get_close_matches(name, classes, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"the classes are {', '.join(classes)}."
        return f"The folder {folder / name} is not named after a class; {hint}"
    for name in classes:
        if name not in present:
            return f"The class folder {folder / name} is not there."
    return None
