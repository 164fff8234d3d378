"""Tasks with data on disk: the folder of a dataset, its missing files, samples, splits and digest."""

from __future__ import annotations

import codecs
import hashlib
import re
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
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
from tasks.splits import random_split, stratified

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SKIPPED = "skip.txt"
"""The file beside a dataset's folders that lists samples to leave out of every split, one key on a line."""
CACHE_BYTES = 2**30
"""Bytes up to which the samples of a split are kept in memory."""
VALIDATION_FRACTION, TEST_FRACTION, SEED = 0.1, 0.2, 0
Sample = TypeVar("Sample")
"""An entry of a listing: the path of the sample's file, and its class where it has one."""


class StoredSamples(Dataset[tuple[Tensor, Any]], Generic[Sample]):
    """Samples that are read on access, and kept in memory if all of them fit.

    Args:
        samples: the listing.
        read: makes (input, target) of an entry of the listing.
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
    """Folders under the data root that may hold the dataset; the first that exists is used."""

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
        """Names what is not in the dataset's own folder, in a sentence; None when all is there. Reads no sample."""

    @property
    def _places(self) -> list[Path]:
        assert self.data_root is not None  # `missing` says so before.
        return [self.data_root / folder for folder in self.folders]


class DiskTask(FolderTask, Generic[Sample]):
    """A task whose samples are listed on disk. Each family has its own type of listing entry.

    Families implement `read`, `key` and `content`, and `label` where samples have classes; datasets implement `listing`
    and, where a listing does not show what is missing, `gap`.
    """

    unit: ClassVar[str] = "image"
    """The word for a sample in messages."""
    validation_most: ClassVar[int | None] = None
    """The largest number of samples that are split off for validation; None for no limit."""

    @abstractmethod
    def listing(self) -> dict[Split, list[Sample]]:
        """Every sample on disk, by split.

        Without "test", a seeded fifth of "train" becomes the test split; without "validation", a seeded tenth the
        validation split; of every class where samples have classes. Raises DataMissing where the listing shows that
        something is not there.
        """

    @abstractmethod
    def read(self, sample: Sample) -> tuple[Tensor, Any]:
        """Input and target of one sample. Raises InvalidInput, which names the file, if something is wrong with it."""

    @abstractmethod
    def key(self, sample: Sample) -> str:
        """The name of a sample in `skip.txt`."""

    @abstractmethod
    def content(self, sample: Sample) -> bytes:
        """The name of a sample and the content of its files, or a hash of it, for the digest."""

    def label(self, sample: Sample) -> int | None:
        """The class that a sample is stratified by; None where it has none."""
        return None

    def source(self, sample: Sample) -> Hashable:
        """What a sample is read from; it is listed once, in one split."""
        return sample

    def skip_list(self, sample: Sample) -> Path:
        """The list on which the user leaves a sample out."""
        return self.root / SKIPPED

    def gap(self) -> str | None:
        try:
            splits = self.split_listing()
        except DataMissing as error:
            return str(error)
        for sample in (sample for samples in splits.values() for sample in samples):
            path = self.source(sample)
            if isinstance(path, Path) and path.is_symlink() and not path.exists():
                return f"{path} is a link that leads nowhere; link it again. {self.advice(sample)}"
        return None

    def split_listing(self) -> dict[Split, list[Sample]]:
        """Splits the listing in three and leaves out what the user skips.

        Raises:
            DataMissing: as `listing` does, or the user leaves out too much.
            InvalidInput: a split has an unknown name, there is none to train on, or a sample is listed twice.
        """
        listed = self.listing()
        self._require_splits(listed)
        left_out = self._skipped_keys([sample for samples in listed.values() for sample in samples])
        if "test" not in listed:
            listed["train"], listed["test"] = self._split_off(listed["train"], TEST_FRACTION)
        splits = {name: self._without_skipped(samples, name, left_out) for name, samples in listed.items()}
        self._count = sum(map(len, listed.values()))
        if "validation" not in splits:
            most, count = self.validation_most, len(splits["train"])
            fraction = VALIDATION_FRACTION if most is None else min(VALIDATION_FRACTION, most / max(count, 1))
            splits["train"], splits["validation"] = self._split_off(splits["train"], fraction)
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
        unmatched = {f"lines of {SKIPPED} that name no {self.unit} of this task": self._unmatched}
        return {f"{self.unit}s on {SKIPPED}": self._count - kept} | (unmatched if self._unmatched else {})

    @contextmanager
    def reading(self, sample: Sample) -> Iterator[None]:
        """Adds to errors about a sample the advice how to leave it out."""
        try:
            yield
        except InvalidInput as error:
            raise InvalidInput(f"{error} {self.advice(sample)}") from error

    def advice(self, sample: Sample) -> str:
        """A sentence that says how to leave out a sample that cannot be repaired."""
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
        return self.split_listing()

    def _require_splits(self, listed: Mapping[Split, Sequence[Sample]]) -> None:
        """Raises InvalidInput unless splits have names that tasks know, one is to train on, and no sample is twice."""
        unknown = [name for name in listed if name not in SPLITS]
        if unknown:
            raise InvalidInput(
                f"Task {self.name} has a split called '{unknown[0]}'; the splits of a task are {', '.join(SPLITS)}."
            )
        if "train" not in listed:
            names = " and ".join(listed) or "none"
            raise InvalidInput(
                f"Task {self.name} has no train split, but {names}; say where its training samples are, which "
                "calibration draws from."
            )
        seen: dict[Hashable, Split] = {}
        for split, samples in listed.items():
            for sample in samples:
                source = self.source(sample)
                if source in seen:
                    where = f"{split} split" if seen[source] == split else f"{seen[source]} and the {split} split"
                    raise InvalidInput(
                        f"Task {self.name} lists {self.unit} {self.key(sample)} twice, in the {where}; list it once."
                    )
                seen[source] = split

    def _skipped_keys(self, samples: Sequence[Sample]) -> Mapping[Path, frozenset[str]]:
        """The keys of the samples that each skip list leaves out; a line may name a sample with its file's suffix."""
        lists = {path: skipped(path) for path in set(map(self.skip_list, samples))}
        self._unmatched = 0
        if not any(lists.values()):
            return lists
        keys: dict[Path, set[str]] = {path: set() for path in lists}
        for sample in samples:
            keys[self.skip_list(sample)].add(self.key(sample))
        left_out = {}
        for path, names in lists.items():
            meant = {name if name in keys[path] else re.sub(r"\.[A-Za-z]\w*$", "", name) for name in names}
            left_out[path] = frozenset(meant & keys[path])
            self._unmatched += len(meant - keys[path])
        return left_out

    def _without_skipped(
        self, samples: Sequence[Sample], split: Split, left_out: Mapping[Path, frozenset[str]]
    ) -> list[Sample]:
        """The samples that are not on a skip list. Raises DataMissing unless one is left of every class."""
        kept = [sample for sample in samples if self.key(sample) not in left_out[self.skip_list(sample)]]
        # Classes are looked at only when something is left out: a library may have to read a sample for its class.
        if len(kept) < len(samples) and set(map(self.label, samples)) - set(map(self.label, kept)):
            names = " and ".join(sorted({str(self.skip_list(sample)) for sample in samples}))
            raise DataMissing(f"{names} leaves no {self.unit} in the {split} split, or none of one of its classes.")
        return kept

    def _split_off(self, samples: Sequence[Sample], fraction: float) -> tuple[list[Sample], list[Sample]]:
        """The samples left and those drawn by a fixed seed, a fraction of every class where there are classes."""
        labels = [self.label(sample) for sample in samples]
        classes = [label for label in labels if label is not None]
        if len(classes) == len(samples):
            left, drawn = (part.tolist() for part in stratified(torch.tensor(classes).long(), fraction, SEED))
        else:
            left, drawn = random_split(len(samples), fraction, SEED)
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
    """The samples that a list of the user leaves out; what follows a # is a remark. Errors as of `text_of`."""
    lines = text_of(path).splitlines() if path.exists() else []
    return frozenset(name for line in lines if (name := line.partition("#")[0].strip()))


def text_of(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 where its first bytes say so; lines end in a newline alone.

    Raises:
        InvalidInput: it cannot be read, or its bytes are no such text; names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(
            f"{path} is no text in UTF-8: {error.reason} at byte {error.start}, in line {line}; save it anew."
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def file_hash(path: Path) -> bytes:
    """SHA-256 of a file's bytes. A digest of hashes depends on where one file ends and the next begins."""
    return hashlib.sha256(path.read_bytes()).digest()


def first_missing(paths: Iterable[Path]) -> Path | None:
    """The first of the files that does not exist. Each folder is listed once, which is faster than asking per file."""
    listed: dict[Path, set[str]] = {}
    for path in paths:
        folder = path.parent
        if folder not in listed:
            listed[folder] = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
        if path.name not in listed[folder]:
            return path
    return None


def folder_gap(folder: Path, classes: Sequence[str]) -> str | None:
    """Names the first deviation of `folder` from one sub-folder per class, in a sentence; None if there is none."""
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
