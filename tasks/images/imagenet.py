"""ImageNet-1k (ILSVRC 2012) and Imagenette, streamed from disk through the preprocessing of the network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from conversion.errors import DataMissing, InvalidInput
from tasks.base import TASKS, Batch, MetricValue, Split, TaskInfo
from tasks.disk import SEED, SKIPPED, SPLITS, VALIDATION_FRACTION, FolderTask, skipped
from tasks.images.imagenet_labels import NUMBERED, TEST_SIZE, imagenet_classes
from tasks.images.imagenet_layouts import find_part
from tasks.images.photographs import Indices, Photographs, Streamed, overlap
from tasks.images.preprocessing import Preprocessing
from tasks.images.sized import SizedImages
from tasks.samples import Samples
from tasks.splits import random_split

CITATION = 'Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015'
VALIDATION_MAX = 5000
CUT, VALIDATES = 0.12, 6
"""Share of val/ that stands in for training images where there are none; every sixth of them validates."""
HASHED = 1000
"""Photographs of train and of validation whose bytes the digest holds; of all others it holds name and class."""
SHARED = 0.01
"""Share of these that may have the bytes of a test photograph. The dataset as published may hold a few twice."""
LEAST, DOUBTED = 1.0, 200
"""Accuracy in percent below which the classes of a trained network are in another order, and samples to say so."""
MOST_PROCESSES = 16


@dataclass(frozen=True, eq=False)
class Listing:
    """What lies on disk of a dataset, the same for every preprocessing.

    Attributes:
        parts: the photographs of train/, where it is there, and of val/.
        absent: images of val/ as published that are not on disk.
        left_out: images that are on the user's skip list.
        unmatched: lines of that list that name no image.
        hashes: hashes of the photographs that the digest holds, by split, as far as they were read.
    """

    parts: Mapping[str, Photographs]
    absent: int
    left_out: int
    unmatched: int
    hashes: dict[Split, Sequence[bytes]] = field(default_factory=dict)


class ImageNetClasses(SizedImages, FolderTask):
    """Photographs of some or all classes of ImageNet, with the 1,000 classes of its networks.

    The part val/ is the test split. A seeded tenth of train/, at most 5,000 images, is the validation split. Where
    there is no train/, a seeded 12 % of val/ stand in for it: they are left out of the test, and the departures count
    them.

    Images are decoded and resized in full, as torchvision and timm do: a JPEG decoded at a fraction of its size has
    other pixels. CMYK and grey ones become RGB as Pillow converts them, which is what both libraries see.
    """

    preprocessing = Preprocessing(256, 224)
    label_set = "imagenet"
    samples = Samples(any_size=True)
    batch = 16
    classes = tuple(imagenet_classes().values())
    wnids: ClassVar[Sequence[str]]
    """The classes that there are photographs of."""
    val_size: ClassVar[int | None] = None
    """Images that val/ has in the dataset as published; None where that depends on its version."""

    def gap(self) -> str | None:
        try:
            _ = self.listing
        except (DataMissing, InvalidInput) as error:
            return str(error)
        return None

    @cached_property
    def listing(self) -> Listing:
        """What lies on disk.

        Raises:
            DataMissing: there is no val/, a part is in no layout that is known, or the parts share files.
            InvalidInput: a list beside them cannot be read.
        """
        skip = skipped(self.root / SKIPPED)
        listed = {part: find_part(self.root, part, self.wnids) for part in ("train", "val")}
        whole = {part: photographs for part, photographs in listed.items() if photographs is not None}
        found = {part: photographs.without(skip) for part, photographs in whole.items()}
        for photographs in found.values():
            if (broken := photographs.broken) is not None:
                raise DataMissing(
                    f"{broken[0]} is a link that leads nowhere; link it again, or unpack the image there. "
                    f"{self._advice(broken[1])}"
                )
        empty = next((part for part, photographs in found.items() if not len(photographs)), None)
        if empty is not None:
            raise DataMissing(f"{self.root / SKIPPED} leaves no image of {empty}.")
        if "val" not in found:
            raise DataMissing(f"{self.root} holds neither a folder val nor Parquet files of it.")
        if "train" in found and (same := overlap(found["val"], found["train"])) is not None:
            raise DataMissing(
                f"The files {same[0]} and {same[1]} are the same, and what is trained on is no test; unpack the "
                "training images again, or remove them: train is optional."
            )
        left_out = sum(map(len, whole.values())) - sum(map(len, found.values()))
        absent = 0 if self.val_size is None else max(0, self.val_size - len(whole["val"]))
        return Listing(found, absent, left_out, unmatched=max(0, len(skip) - left_out))

    @cached_property
    def _chosen(self) -> dict[Split, tuple[Photographs, Indices]]:
        """The part that each split is of, and its photographs in it."""
        self.require()
        parts = self.listing.parts
        val = parts["val"]
        if "train" in parts:
            train = parts["train"]
            left, drawn = random_split(len(train), min(VALIDATION_FRACTION, VALIDATION_MAX / len(train)), SEED)
            chosen = {"train": (train, left), "validation": (train, drawn), "test": (val, range(len(val)))}
        else:
            left, drawn = random_split(len(val), CUT, SEED)
            validation = drawn[::VALIDATES]
            rest = sorted(set(drawn) - set(validation))
            chosen = {"train": (val, rest), "validation": (val, validation), "test": (val, left)}
        return {name: (part, np.array(indices, np.int64)) for name, (part, indices) in chosen.items()}  # type: ignore[misc]

    def seen_through(self, preprocessing: Preprocessing) -> Self:
        view = super().seen_through(preprocessing)
        if self.data_root is not None and self.missing() is None:  # Listing a million files again takes seconds.
            vars(view).update(root=self.root, listing=self.listing)
        return view

    def split(self, name: Split) -> Dataset[tuple[Tensor, Any]]:
        part, indices = self._chosen[name]
        if not len(indices):
            raise InvalidInput(f"The {name} split of {self.name} holds no image; see {self.root}.")
        return Streamed(part, indices, self.sized, self._advice)

    def test(self, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """As of every task; processes decode, as many as this one has threads, if that is more than one."""
        batches = -(-self.test_size(limit) // batch_size)
        threads = torch.get_num_threads()
        processes = min(threads, batches, MOST_PROCESSES) if threads > 1 else 0
        collate = partial(_collated, self.collate)
        for found in DataLoader(_Held(self._tested(limit)), batch_size, collate_fn=collate, num_workers=processes):
            if isinstance(found, InvalidInput):
                raise found
            yield Batch(*found)

    def departures(self) -> dict[str, int]:
        found = self.listing
        taken = sum(len(self._chosen[name][1]) for name in SPLITS[:2]) if "train" not in found.parts else 0
        counted = {
            "images of the dataset's val/ that are not on disk": found.absent,
            f"images on {SKIPPED}": found.left_out,
            f"lines of {SKIPPED} that name no image of this task": found.unmatched,
            "images of val/ left out of the test, since calibration draws from them for lack of train/": taken,
            "training images, of those that the digest reads, that are test images too": len(self._shared),
        }
        return {reason: count for reason, count in counted.items() if count}

    def doubt(self, metrics: Mapping[str, MetricValue]) -> str | None:
        measured = metrics[self.primary_metric]
        if measured.n < DOUBTED or measured.value >= LEAST:
            return None
        return (
            f"The network itself has {measured.value:.2f} % on {measured.n} images of {self.name}, about as much as by "
            f"chance: its labels are in another order than those of {self.root}, or the weights are not trained. "
            "Classes are counted in the order of WordNet ids (docs/imagenet.md)."
        )

    def digest(self) -> str:
        return self._digest

    @cached_property
    def _digest(self) -> str:
        """SHA-256, hexadecimal.

        It holds the preprocessing, the names and classes of all photographs, the bytes of all test photographs, and of
        train and validation those of 1,000 drawn by a seed (or of all, if fewer): reading 1.3 million takes hours.
        """
        state = hashlib.sha256(f"{self.preprocessing} {self.input_shape}".encode())
        for split in SPLITS:
            part, indices = self._chosen[split]
            state.update(f"{split} {len(indices)} ".encode())
            for name in part.names(indices):
                state.update(f"{name}\n".encode())
            state.update(part.labels[indices].tobytes())
            state.update(b"".join(self._contents(split)))
        self._require_apart()
        return state.hexdigest()

    def _read(self, split: Split) -> tuple[Photographs, Indices]:
        """The photographs that the digest holds of a split: all of test, drawn ones of the others."""
        part, indices = self._chosen[split]
        if split != "test":
            shuffled = torch.randperm(len(indices), generator=torch.Generator().manual_seed(SEED))[:HASHED]
            indices = indices[shuffled.sort().values.numpy()]
        return part, indices

    def _contents(self, split: Split) -> Sequence[bytes]:
        """Hashes of the photographs that the digest holds of a split; read once for all preprocessings."""
        hashes = self.listing.hashes
        if split not in hashes:
            part, indices = self._read(split)
            hashes[split] = [self._content(part, index) for index in indices.tolist()]
        return hashes[split]

    @cached_property
    def _shared(self) -> list[tuple[str, str]]:
        """Names of photographs of train and validation, of those that the digest holds, and of test with equal bytes.

        All of test are compared with a sample of the others: a copy of val/ in train/ is found under any names, and of
        single photographs about as many as the sample is of the whole.
        """
        tested, places = self._read("test")
        by_content = {content: int(place) for content, place in zip(self._contents("test"), places, strict=True)}
        found = []
        for split in SPLITS[:2]:
            part, indices = self._read(split)
            for index, content in zip(indices.tolist(), self._contents(split), strict=True):
                if content in by_content:
                    found.append((part.name(index), tested.name(by_content[content])))
        return found

    def _require_apart(self) -> None:
        """Raises InvalidInput if more training images are test images too than the dataset as published may hold."""
        compared = sum(len(self._contents(split)) for split in SPLITS[:2])
        if len(self._shared) > SHARED * compared:
            first, other = self._shared[0]
            raise InvalidInput(
                f"{len(self._shared)} of {compared} training images of {self.root} are test images under another name "
                f"({first} is {other}), and what is trained on is no test; unpack the training images again, or remove "
                "them: train is optional."
            )

    def _content(self, part: Photographs, index: int) -> bytes:
        """The hash of a photograph's bytes; errors of reading it say how to leave it out."""
        try:
            return part.content(index)
        except InvalidInput as error:
            raise InvalidInput(f"{error} {self._advice(part.name(index))}") from error

    def _advice(self, name: str) -> str:
        return f"To leave it out, write {name} on a line of {self.root / SKIPPED}."


class _Held(Dataset[Any]):
    """Samples, or the errors of reading them: one that is raised in another process loses its sentence."""

    def __init__(self, data: Dataset[tuple[Tensor, Any]]) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Any:
        try:
            return self.data[index]
        except InvalidInput as error:
            return error


def _collated(collate: Any, samples: Sequence[Any]) -> Any:
    """A batch of samples, or the first error among them."""
    errors = (sample for sample in samples if isinstance(sample, InvalidInput))
    return next(errors, None) or collate(samples)


@TASKS.register("imagenet")
class ImageNet(ImageNetClasses):
    """ImageNet-1k (ILSVRC 2012): 50,000 test images of 1,000 classes, those of its validation set."""

    info = TaskInfo(
        "ImageNet-1k: photographs of 1,000 classes", CITATION, "https://image-net.org/challenges/LSVRC/2012",
        "non-commercial research and education", "accuracy 73.31 by torchvision/resnet34 (torchvision)",
    )  # fmt: skip
    wnids = tuple(imagenet_classes())
    val_size = TEST_SIZE
    folders = ("imagenet", "ImageNet", "imagenet-1k", "ILSVRC2012", "ILSVRC/Data/CLS-LOC")
    layout = (
        "imagenet/{train,val}/<wnid>/*.JPEG; or a flat val/ beside ILSVRC2012_devkit_t12/, val.txt or "
        "LOC_val_solution.csv; or Parquet files train-* and validation-*; train is optional (docs/imagenet.md)."
    )


@TASKS.register("imagenette")
class Imagenette(ImageNetClasses):
    """Ten classes of ImageNet that are easy to tell apart, scored among the 1,000 classes of its networks."""

    info = TaskInfo(
        "Imagenette: ten classes of ImageNet-1k, answered among its 1,000", CITATION,
        "https://github.com/fastai/imagenette", "Apache-2.0 (list), images as of ImageNet",
        "accuracy 56.3 by torchvision/squeezenet1_0 with its published weights, on 300 images",
        "Most of Imagenette's validation images are training images of ImageNet, so a network trained on ImageNet has "
        "seen them: its accuracy here is higher than on new images, and not to be compared with those on ImageNet.",
    )  # fmt: skip
    wnids = (
        "n01440764", "n02102040", "n02979186", "n03000684", "n03028079", "n03394916", "n03417042", "n03425413",
        "n03445777", "n03888257",
    )  # fmt: skip
    folders = ("imagenette2-160", "imagenette2-320", "imagenette2")
    layout = "imagenette2-160/, imagenette2-320/ or imagenette2/ with {train,val}/<wnid>/*.JPEG."

    def departures(self) -> dict[str, int]:
        """With the test images that are not of ImageNet's validation set, which their names say."""
        part, indices = self._chosen["test"]
        own = sum(NUMBERED.match(name.rpartition("/")[2].rpartition(".")[0]) is None for name in part.names(indices))
        return super().departures() | ({"test images that are training images of ImageNet": own} if own else {})
