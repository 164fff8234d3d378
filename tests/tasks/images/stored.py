"""CIFAR-10 and CIFAR-100 of a few noise images, in both layouts that the tasks read."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision import datasets

from tasks.images.cifar import Cifar

TRAIN, TEST = 20, 2  # images per class


def samples(task: type[Cifar], per_class: int, start: int) -> tuple[np.ndarray, list[int]]:
    """Distinct noise images, uint8 of shape (N, 32, 32, 3), class after class, with their labels."""
    labels = [label for label in range(len(task.classes)) for _ in range(per_class)]
    images = np.random.default_rng(start).integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)
    return images, labels


def write_folders(root: Path, task: type[Cifar], train: int = TRAIN, test: int = TEST) -> None:
    """The layout of folders, with so many images of each class."""
    for part, per_class, seed in (("train", train, 1), ("test", test, 2)):
        images, labels = samples(task, per_class, seed)
        # Written last to first, so that creation order is not name order.
        for index in reversed(range(len(labels))):
            path = root / task.name / part / task.classes[labels[index]] / f"{index:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[index]).save(path, compress_level=1)


def write_native(root: Path, task: type[Cifar], train: int = TRAIN, test: int = TEST) -> None:
    """The layout of the published archives, pickles, with so many images of each class."""
    reader = task.native
    folder = root / reader.base_folder
    folder.mkdir()
    key = "fine_labels" if task.name == "cifar100" else "labels"
    for files, per_class, seed in ((reader.train_list, train, 1), (reader.test_list, test, 2)):
        images, labels = samples(task, per_class, seed)
        planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        for part, (file, _) in enumerate(files):
            share = slice(part, None, len(files))
            content = {"data": planes[share], key: labels[share]}
            (folder / file).write_bytes(pickle.dumps(content, protocol=2))
    meta = {reader.meta["key"]: list(task.classes)}
    (folder / reader.meta["filename"]).write_bytes(pickle.dumps(meta, protocol=2))


def unchecked(reader: type[datasets.CIFAR10]) -> type[datasets.CIFAR10]:
    """The reader without the published MD5 sums, which no small test file can have; all else stays torchvision's."""
    return type(
        reader.__name__,
        (reader,),
        {
            "train_list": [(file, None) for file, _ in reader.train_list],
            "test_list": [(file, None) for file, _ in reader.test_list],
            "meta": {**reader.meta, "md5": None},
        },
    )
