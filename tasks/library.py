"""Datasets of other libraries as tasks: their class opens the files, and nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar

from conversion.errors import DataMissing, InvalidInput
from tasks.base import Split
from tasks.disk import DiskTask

TARGETS = ("targets", "labels", "_labels")
"""Attributes in which datasets may hold the classes of all their samples."""
EXTRAS: Mapping[str, str] = {"tonic": "events", "torch_geometric": "points"}
"""The extra of this package that installs a library."""


@dataclass(frozen=True, eq=False)
class Item:
    """A sample of a library's dataset: the dataset of its split, and its index in it."""

    dataset: Any
    split: Split
    index: int


class LibraryTask(DiskTask[Item]):
    """Classification of the samples of a library's map-style datasets, one for each split. Families implement `read`.

    In `skip.txt` a sample is named by its split and its index: train/17.
    """

    dataset: ClassVar[Callable[..., Any] | str]
    """The library's class, or its dotted name, imported on first access: "tonic.datasets.NMNIST"."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Arguments of the class besides folder and split."""
    splits: ClassVar[Mapping[Split, Mapping[str, Any]] | None] = None
    """Arguments of the class for each split.

    If None: `train=` True and False, or `split=` "train", "val" and "test", whichever the class takes. If it takes
    neither, a seeded fifth is the test split.
    """
    root_argument: ClassVar[str] = "root"
    """The class's name of the argument for the folder."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "dataset" in vars(cls) and "layout" not in vars(cls):
            place = "the data root" if cls.folders[0] == "." else f"{cls.folders[0]}/"
            cls.layout = f"{place} holds what {_name_of(cls.dataset)} reads, unpacked."

    def gap(self) -> str | None:
        try:
            self.listing()  # Opens the datasets; their samples may have to be read to be divided by class.
        except DataMissing as error:
            return str(error)
        return None

    def listing(self) -> dict[Split, list[Item]]:
        return {split: [Item(data, split, i) for i in range(len(data))] for split, data in self._opened.items()}

    def item(self, sample: Item) -> Any:
        """The item that the dataset returns for a sample.

        Raises:
            InvalidInput: the dataset raises an error.
        """
        try:
            return sample.dataset[sample.index]
        except Exception as error:  # Whatever a library raises, the user has to know of which sample.
            raise InvalidInput(
                f"Sample {self.key(sample)} of task {self.name} cannot be read: {_clause(error)}."
            ) from error

    def pair(self, sample: Item) -> tuple[Any, int]:
        """The value and the class index of a sample whose item is (value, class).

        Raises:
            InvalidInput: the item is something else, or of another class than the dataset's list of classes says.
        """
        item = self.item(sample)
        if not isinstance(item, tuple) or len(item) != 2:
            raise InvalidInput(
                f"{_name_of(type(self).dataset)} gives {type(item).__name__} where (sample, class) belongs."
            )
        own, listed = class_index(item[1], self.classes, self.name), self._listed_class(sample)
        if listed not in (None, own):
            raise InvalidInput(
                f"Sample {self.key(sample)} of task {self.name} is of class {self.classes[own]}, but "
                f"{self.classes[listed]} in the dataset's list of classes; correct the dataset."
            )
        return item[0], own

    def label(self, sample: Item) -> int | None:
        return self._listed_class(sample)

    def _listed_class(self, sample: Item) -> int | None:
        """The class of a sample in the attribute that lists all of them; None where there is no such attribute."""
        change = getattr(sample.dataset, "target_transform", None) or (lambda target: target)
        for name in TARGETS:
            targets: Any = getattr(sample.dataset, name, ())
            if hasattr(targets, "__len__") and len(targets) == len(sample.dataset):
                return class_index(change(targets[sample.index]), self.classes, self.name)
        return None

    def key(self, sample: Item) -> str:
        return f"{sample.split}/{sample.index}"

    def content(self, sample: Item) -> bytes:
        """The input and target themselves, since only the library knows the files of a sample."""
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
        dataset = without_download(imported(type(self).dataset))
        parameters = inspect.signature(dataset).parameters
        root = {self.root_argument: str(self.root)} if self.root_argument in parameters else {}
        splits = _default_splits(parameters) if self.splits is None else self.splits
        for (first, arguments), (second, others) in combinations(splits.items(), 2):
            if arguments == others:
                raise InvalidInput(
                    f"Task {self.name} gives its {first} and its {second} split the same arguments "
                    f"({_shown(arguments)}), so that they hold the same samples; leave one out or tell them apart."
                )
        return {split: self._open(dataset, root, arguments) for split, arguments in splits.items()}

    def _open(self, dataset: Callable[..., Any], root: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
        try:
            opened = dataset(**root, **self.options, **arguments)
            len(opened)  # Only map-style datasets have a length.
            return opened
        except (RuntimeError, OSError) as error:
            raise DataMissing(
                f"{_name_of(dataset)} is not in {self.root}, nor downloaded: {_clause(error)}."
            ) from error
        except Exception as error:  # Whatever a library raises, the user has to know what it was given.
            raise InvalidInput(
                f"{_name_of(dataset)} cannot be opened with ({_shown({**self.options, **arguments})}): "
                f"{_clause(error)}. The arguments for each split are the attribute `splits` of task {self.name}."
            ) from error


def _default_splits(parameters: Container[str]) -> Mapping[Split, Mapping[str, Any]]:
    """The arguments by which datasets commonly choose a split, from the names of their parameters."""
    if "train" in parameters:
        return {"train": {"train": True}, "test": {"train": False}}
    if "split" in parameters:
        return {"train": {"split": "train"}, "validation": {"split": "val"}, "test": {"split": "test"}}
    return {"train": {}}


def imported(dataset: Callable[..., Any] | str) -> Callable[..., Any]:
    """A dataset's class, imported if it is given by its dotted name.

    Raises:
        InvalidInput: its library is not installed, or has no such class; or it is no class.
    """
    if not isinstance(dataset, str):
        if not callable(dataset):
            raise InvalidInput(f"A dataset is {dataset!r:.60}; give the library's class or its dotted name.")
        return dataset
    module, _, name = dataset.rpartition(".")
    if not all(dataset.split(".")) or not module:
        raise InvalidInput(f"'{dataset}' is no dotted name of a dataset; give module and class: tonic.datasets.NMNIST.")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        library = (error.name or module).partition(".")[0]
        if sys.modules.get(library) is not None:
            raise InvalidInput(f"{dataset} cannot be imported: {_clause(error)}.") from error
        advice = f": pip install -e '.[{EXTRAS[library]}]'" if library in EXTRAS else ""
        raise InvalidInput(f"{dataset} needs {library}, which is not installed{advice}.") from error
    except AttributeError as error:
        raise InvalidInput(f"{module} has no dataset {name}.") from error
    return found


def class_index(target: Any, classes: Sequence[str], task: str) -> int:
    """The index of a class that is given as a number or by name.

    Raises:
        InvalidInput: it is none of the task's classes.
    """
    if isinstance(target, str) and target in classes:
        return classes.index(target)
    try:
        label = int(target)
        whole = isinstance(target, str) or bool(label == target)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        label, whole = -1, False
    if not (whole and 0 <= label < len(classes)):
        raise InvalidInput(
            f"A target of task {task} is {target!r:.60}; it has to be one of its {len(classes)} classes, by name or "
            "as a whole number counted from 0."
        )
    return label


def without_download(dataset: Callable[..., Any]) -> Callable[..., Any]:
    """A subclass of a dataset's class whose `download` raises an error; anything else is returned as it is."""
    inherited = getattr(dataset, "download", None)
    # torch-geometric takes a class that overrides its `download` for one with files to download.
    if inherited is None or inherited.__module__ == "torch_geometric.data.dataset":
        return dataset

    def download(*_: object, **__: object) -> None:
        raise FileNotFoundError("its files are not there, or not as the library leaves them")

    # The same name and module, because libraries look for their files by them.
    about = {"download": download, "__module__": dataset.__module__, "__qualname__": dataset.__qualname__}
    return type(dataset.__name__, (dataset,), about)  # type: ignore[arg-type]


def _clause(error: Exception) -> str:
    """The message of an error, without its full stop."""
    return str(error).strip().rstrip(".") or type(error).__name__


def _shown(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _name_of(dataset: Callable[..., Any] | str) -> str:
    return dataset if isinstance(dataset, str) else getattr(dataset, "__name__", repr(dataset))
