"""Classification of event recordings: listings, reading, encoding, cache and splits (docs/events.md)."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import ClassVar, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from conversion.errors import InvalidInput
from tasks.accuracy import Accuracy
from tasks.base import TASKS, Split, Task
from tasks.disk import SPLITS, DiskTask, Sample, file_hash
from tasks.events import aedat4 as event_packets
from tasks.events import encoding as event_encoding
from tasks.events import files as event_files
from tasks.events.cache import CellStore, stored_cells
from tasks.events.encoding import (
    Cells,
    Encoding,
    EventFrames,
    Events,
    Sensor,
    TonicFrames,
    TonicVoxels,
    VoxelGrid,
    dense,
)
from tasks.events.files import checked
from tasks.events.samples import EventSamples
from tasks.images.target import ClassTarget

ENCODINGS: Mapping[str, Encoding] = {
    "": VoxelGrid(9),
    "_temporal": EventFrames(16),
    "_toframe": TonicFrames(n_event_bins=16),
    "_tovoxelgrid": TonicVoxels(9),
}
"""Encodings by the suffix that they add to the name of the dataset's task."""


class EventTask(Task):
    """Recordings of event cameras, each of one class, encoded.

    Subclasses set the class attributes but for `encoding` and `input_shape`, which `with_encodings` sets.
    """

    kind = "event classification"
    primary_metric = "accuracy"
    perfect = 100.0
    target = ClassTarget()
    samples = EventSamples()
    sensor: ClassVar[Sensor]
    encoding: ClassVar[Encoding] = ENCODINGS[""]
    upright: ClassVar[bool] = False
    """Whether recordings must not be mirrored: digits, or gestures of the right and the left hand."""

    def metric(self) -> Accuracy:
        return Accuracy()


Kind = TypeVar("Kind", bound=type[EventTask])


def with_encodings(name: str) -> Callable[[Kind], Kind]:
    """Decorator that registers a dataset, encoded as the paper does, and a variant of it for every other encoding."""

    def register(dataset: Kind) -> Kind:
        dataset.input_shape = dataset.encoding.shape(dataset.sensor)
        TASKS.register(name)(dataset)
        for suffix, encoding in ENCODINGS.items():
            if suffix:
                TASKS.variant(
                    dataset, name + suffix, f"Encoded by {encoding!r}.", encoding=encoding,
                    input_shape=encoding.shape(dataset.sensor),
                )  # fmt: skip
        return dataset

    return register


@dataclass(frozen=True)
class Recording:
    """A recording on disk and its class.

    Attributes:
        begin, end: first and last time of its part of the file, in microseconds of the file's clock; None for all.
    """

    path: Path
    label: int
    begin: int | None = None
    end: int | None = None


class EncodedRecordings(Dataset[tuple[Tensor, Tensor]]):
    """Encoded recordings and their classes, read from the cache on access.

    Args:
        store: the inputs.
        labels: the classes, int64 of shape (N,).
    """

    def __init__(self, store: CellStore, labels: Tensor) -> None:
        self.store = store
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.store.read([index])[0], self.labels[index]

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, Tensor]]:
        """A batch at once; DataLoader and Subset look for this name before `__getitem__`."""
        labels = self.labels[torch.as_tensor(indices)]
        return list(zip(self.store.read(indices).unbind(), labels.unbind(), strict=True))


class EncodedEvents(EventTask, DiskTask[Sample]):
    """Recordings on disk, with listing entries of any type. Subclasses implement `listing`, `label`, `key` and `load`.

    On the first access to a split, all its recordings are read, checked and encoded into one file of the cache, which
    is used from then on. It is written anew when a recording or the code that reads and encodes it changes.
    """

    unit = "recording"

    @abstractmethod
    def load(self, sample: Sample) -> Events:
        """The events of a recording, unchecked."""

    @abstractmethod
    def place(self, sample: Sample) -> Path | str:
        """The file or name of a recording, for error messages."""

    def read(self, sample: Sample) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(dense(self._cells(sample), self.input_shape)), torch.tensor(self.label(sample))

    def split(self, name: Split) -> EncodedRecordings:
        if name not in self._made:
            recordings = self.listed(name)
            stored = f"{self.name}-{name}-{self._key(name)}"
            store = stored_cells(self._cache, stored, self.input_shape, lambda: self._encoded(recordings))
            labels = torch.tensor([self.label(recording) for recording in recordings], dtype=torch.int64)
            self._made[name] = EncodedRecordings(store, labels)
        return self._made[name]

    def digest(self) -> str:
        return hashlib.sha256("".join(self._digest_of(split) for split in SPLITS).encode()).hexdigest()

    def events(self, sample: Sample) -> Events:
        """The events of a recording.

        Raises:
            InvalidInput: it cannot be read, or is none of this camera; names the file and says how to leave it out.
        """
        with self.reading(sample):
            return checked(self.load(sample), self.sensor, self.place(sample))

    def _cells(self, sample: Sample) -> Cells:
        events = checked(self.load(sample), self.sensor, self.place(sample))
        try:
            return self.encoding.cells(events, self.sensor)
        except InvalidInput as error:
            raise InvalidInput(f"The recording {self.place(sample)} cannot be encoded: {error}") from error

    def _encoded(self, samples: Sequence[Sample]) -> Iterator[Cells]:
        for sample in samples:
            with self.reading(sample):
                cells = self._cells(sample)
            yield cells

    @cached_property
    def _made(self) -> dict[Split, EncodedRecordings]:
        return {}

    @cached_property
    def _digests(self) -> dict[Split, str]:
        return {}

    def _digest_of(self, split: Split) -> str:
        """SHA-256, hexadecimal, over the content of a split's recordings; the cache key depends on it."""
        if split not in self._digests:
            state = hashlib.sha256()
            for sample in self._splits[split]:
                with self.reading(sample):
                    state.update(self.content(sample))
            self._digests[split] = state.hexdigest()
        return self._digests[split]

    def _key(self, split: Split) -> str:
        """The cache key of an encoded split: a digest of recordings, encoding, camera and code."""
        state = hashlib.sha256(f"{self._digest_of(split)} {self.encoding!r} {self.sensor}".encode())
        for module in (event_encoding, event_files, event_packets):
            state.update(Path(str(module.__file__)).read_bytes())
        return state.hexdigest()[:16]

    @property
    def _cache(self) -> Path:
        """The folder of the cache: beside the data, or in the user's cache where the data root is not writable."""
        assert self.data_root is not None
        beside, users = cache_folders(self.data_root)
        return beside if os.access(self.data_root, os.W_OK) else users


def cache_folders(data_root: Path) -> tuple[Path, Path]:
    """The folders of encoded recordings: beside the data, and the user's, for data roots that are not writable."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return data_root / ".cache" / "events", home / "adaptive-calibration-bench" / "events"


class RecordedEvents(EncodedEvents[Recording]):
    """Recordings in files. Subclasses set the class attributes and implement `gap`, `listing` and `load`."""

    def label(self, sample: Recording) -> int:
        return sample.label

    def key(self, sample: Recording) -> str:
        return sample.path.relative_to(self.root).with_suffix("").as_posix()

    def place(self, sample: Recording) -> Path:
        return sample.path

    def content(self, sample: Recording) -> bytes:
        part = (self.key(sample), sample.label, sample.begin, sample.end)
        return repr(part).encode() + _hash_of_whole(sample.path)


@lru_cache(maxsize=1)
def _hash_of_whole(path: Path) -> bytes:
    """The hash of a file, kept for the next sample of the listing, which may be another part of it."""
    return file_hash(path)


def by_class(folder: Path, classes: Sequence[str], *suffixes: str) -> list[Recording]:
    """The recordings in a folder that has one folder for each class, class after class, by name."""
    return [
        Recording(path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in suffixes
    ]


def class_gap(folder: Path, classes: Sequence[str], *suffixes: str) -> str | None:
    """Names what is missing in a folder with one folder for each class, in a sentence; None when all is there."""
    for name in classes:
        if not (folder / name).is_dir():
            return f"There is no folder {folder / name}."
        if not any(path.suffix.lower() in suffixes for path in (folder / name).iterdir()):
            return f"The folder {folder / name} holds no {' or '.join(suffixes)} file."
    return None
