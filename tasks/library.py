"""Datasets of other libraries as tasks: their class opens the files, and nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from conversion.errors import DataMissing, InvalidInput
from tasks.base import Split
from tasks.disk import DiskTask

TARGETS = ("targets", "labels", "_labels")
"""Where datasets keep the classes of all their samples, if they do."""


@dataclass(frozen=True, eq=False)
class Item:
    """A sample of a library's dataset: the dataset of its split, and its place in there."""

    dataset: Any
    split: Split
    index: int


class LibraryTask(DiskTask[Item]):
    """Classification of what a library's map-style datasets hold, one for each split. Families implement `read`.

    What a sample is called in `skip.txt` is its split and its place in there: train/17.
    """

    dataset: ClassVar[Callable[..., Any] | str]
    """The library's class, or what it is imported as when the data are first looked at: "tonic.datasets.NMNIST"."""
    options: ClassVar[Mapping[str, Any]] = {}
    """What it is given beside its folder and its split."""
    splits: ClassVar[Mapping[Split, Mapping[str, Any]] | None] = None
    """What it is given for each split.

    If None: `train=` True and False, or `split=` "train", "val" and "test", whichever the dataset takes. Of one that
    takes neither a seeded fifth is the test split.
    """
    extra: ClassVar[str | None] = None
    """The extra of this package that brings the library, where one does."""
    root_argument: ClassVar[str] = "root"
    """What the library calls the folder."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "dataset" in vars(cls) and "layout" not in vars(cls):
            place = "the data root" if cls.folders[0] == "." else f"{cls.folders[0]}/"
            cls.layout = f"{place} holds what {_called(cls.dataset)} reads, unpacked."

    def gap(self) -> str | None:
        try:
            self.listing()  # Opens the datasets; their samples may have to be read to be divided by class.
        except DataMissing as error:
            return str(error)
        return None

    def listing(self) -> dict[Split, list[Item]]:
        return {split: [Item(data, split, i) for i in range(len(data))] for split, data in self._opened.items()}

    def item(self, sample: Item) -> Any:
        """What the dataset gives for a sample.

        Raises:
            InvalidInput: it gives an error.
        """
        try:
            return sample.dataset[sample.index]
        except Exception as error:  # Whatever a library raises, the user has to know of which sample.
            raise InvalidInput(
                f"Sample {self.key(sample)} of task {self.name} cannot be read: {_clause(error)}."
            ) from error

    def pair(self, sample: Item) -> tuple[Any, int]:
        """What the dataset gives where that is a value and a class.

        Raises:
            InvalidInput: it gives something else.
        """
        item = self.item(sample)
        if not isinstance(item, tuple) or len(item) != 2:
            raise InvalidInput(
                f"{_called(type(self).dataset)} gives {type(item).__name__} where (sample, class) belongs."
            )
        return item[0], class_index(item[1], self.classes, self.name)

    def label(self, sample: Item) -> int | None:
        for name in TARGETS:
            targets: Any = getattr(sample.dataset, name, ())
            if hasattr(targets, "__len__") and len(targets) == len(sample.dataset):
                return class_index(targets[sample.index], self.classes, self.name)
        return None

    def key(self, sample: Item) -> str:
        return f"{sample.split}/{sample.index}"

    def content(self, sample: Item) -> bytes:
        """What networks get to see: the library alone knows which files a sample is of."""
        value, target = self.read(sample)
        state = hashlib.sha256(repr((value.dtype, tuple(value.shape))).encode())
        state.update(value.contiguous().numpy().data)
        return f"{self.key(sample)} {int(target)} ".encode() + state.digest()

    @cached_property
    def _opened(self) -> dict[Split, Any]:
        """The library's dataset of each split.

        Raises:
            DataMissing: its files are not there.
            InvalidInput: the library is not installed, or there is no such split.
        """
        opens = without_download(imported(type(self).dataset, self.extra))
        taken = inspect.signature(opens).parameters
        root = {self.root_argument: str(self.root)} if self.root_argument in taken else {}
        return {split: self._open(opens, root, given) for split, given in (self.splits or _usual(taken)).items()}

    def _open(self, opens: Callable[..., Any], root: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
        try:
            return opens(**root, **self.options, **given)
        except (RuntimeError, OSError) as error:
            raise DataMissing(f"{_called(opens)} is not in {self.root}, nor downloaded: {_clause(error)}.") from error
        except (TypeError, ValueError, KeyError, AssertionError) as error:
            told = ", ".join(f"{name}={value!r}" for name, value in {**self.options, **given}.items())
            raise InvalidInput(
                f"{_called(opens)} cannot be opened with ({told}): {_clause(error)}. What it is given for each split "
                f"stands in the attribute `splits` of task {self.name}."
            ) from error


def _usual(taken: Container[str]) -> Mapping[Split, Mapping[str, Any]]:
    """What datasets are commonly given for each split, by the names of what one takes."""
    if "train" in taken:
        return {"train": {"train": True}, "test": {"train": False}}
    if "split" in taken:
        return {"train": {"split": "train"}, "validation": {"split": "val"}, "test": {"split": "test"}}
    return {"train": {}}


def imported(dataset: Callable[..., Any] | str, extra: str | None) -> Callable[..., Any]:
    """A dataset's class, by the name that it is imported as.

    Raises:
        InvalidInput: its library is not installed, or has no such class.
    """
    if not isinstance(dataset, str):
        return dataset
    module, _, name = dataset.rpartition(".")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        advice = f": pip install -e '.[{extra}]'" if extra else ""
        raise InvalidInput(f"{dataset} needs {module.partition('.')[0]}, which is not installed{advice}.") from error
    except AttributeError as error:
        raise InvalidInput(f"{module} has no dataset {name}.") from error
    return found


def class_index(target: Any, classes: Sequence[str], task: str) -> int:
    """The index of a class that a dataset gives as a number or by name.

    Raises:
        InvalidInput: it is none of the task's classes.
    """
    if isinstance(target, str) and target in classes:
        return classes.index(target)
    try:
        label = int(target)
    except (TypeError, ValueError, RuntimeError):
        label = -1
    if not 0 <= label < len(classes):
        raise InvalidInput(
            f"A target of task {task} is {target!r:.60}; it has to be one of its {len(classes)} classes, by name or "
            "counted from 0."
        )
    return label


def without_download(dataset: Callable[..., Any]) -> Callable[..., Any]:
    """A dataset's class, whose `download` says that the files are missing; anything else as it is."""
    inherited = getattr(dataset, "download", None)
    # torch-geometric takes a class that overrides this one for one that has files to download.
    if inherited is None or inherited.__module__ == "torch_geometric.data.dataset":
        return dataset

    def download(*_: object, **__: object) -> None:
        raise FileNotFoundError("its files are not there, or not as the library leaves them")

    # The same name and module, because libraries look for their files by them.
    about = {"download": download, "__module__": dataset.__module__, "__qualname__": dataset.__qualname__}
    return type(dataset.__name__, (dataset,), about)  # type: ignore[arg-type]


def _clause(error: Exception) -> str:
    """What an error says, to be the end of a sentence."""
    return str(error).strip().rstrip(".") or type(error).__name__


def _called(dataset: Callable[..., Any] | str) -> str:
    return dataset if isinstance(dataset, str) else getattr(dataset, "__name__", repr(dataset))
