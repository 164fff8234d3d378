"""Small trees in the layouts of ImageNet: what each image shows says its class, so that labels can be checked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import scipy.io
from PIL import Image
from torch import Tensor

from tasks.images.imagenet import ImageNetClasses
from tasks.images.imagenet_labels import imagenet_classes

WNIDS = tuple(imagenet_classes())
# As a list of labels of a flat folder: in no order, with some classes twice.
LABELS = np.random.default_rng(1).integers(0, 1000, 60).tolist()


def encoded(label: int, number: int = 0) -> bytes:
    """An image of one colour, red and green of which say its class; lossless, as a few files of ImageNet are PNG."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (label // 256, label % 256, number)).save(file, "PNG")
    return file.getvalue()


def shown(image: Tensor) -> int:
    """The class that an image shows."""
    return 256 * int(image[0, 0, 0]) + int(image[1, 0, 0])


def agree(task: ImageNetClasses, limit: int | None = None) -> int:
    """All test images have the labels that they show; their number."""
    batches = list(task.test(16, limit))
    for batch in batches:
        assert [shown(image) for image in batch.inputs] == batch.targets.tolist()
    return sum(len(batch.targets) for batch in batches)


def folders(root: Path, part: str, count: int = 1, wnids: Sequence[str] = WNIDS, first: int = 0) -> None:
    """Writes `<part>/<wnid>/<wnid>_<number>.JPEG`, `count` for each class."""
    for wnid in wnids:
        folder = root / part / wnid
        folder.mkdir(parents=True)
        for number in range(first, first + count):
            (folder / f"{wnid}_{number}.JPEG").write_bytes(encoded(WNIDS.index(wnid), number))


def name(number: int) -> str:
    """The name of the image of ILSVRC's validation set with a number, counted from 1."""
    return f"ILSVRC2012_val_{number:08}"


def flat(root: Path, labels: Sequence[int], part: str = "val") -> None:
    """Writes a flat folder, images in the order of their labels."""
    (root / part).mkdir(parents=True)
    for number, label in enumerate(labels, 1):
        (root / part / f"{name(number)}.JPEG").write_bytes(encoded(label, number))


def devkit(root: Path, labels: Sequence[int]) -> None:
    """Writes the development kit: its ids are in an order of its own, and groups of classes come last."""
    ids = np.random.default_rng(3).permutation(1000) + 1
    folder = root / "ILSVRC2012_devkit_t12/data"
    folder.mkdir(parents=True)
    fields = (
        "ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height", "num_train_images"
    )  # fmt: skip
    synsets: Any = np.zeros((1003, 1), dtype=[(field, object) for field in fields])
    by_id = sorted(zip(ids.tolist(), WNIDS, strict=True))
    for row, (number, wnid) in enumerate([*by_id, *((1001 + i, f"n9999999{i}") for i in range(3))]):
        children = [1, 2] if number > 1000 else []
        synsets[row, 0] = (number, wnid, "words, of it", "what it is", len(children), np.array(children), 0, 1300)
    scipy.io.savemat(folder / "meta.mat", {"synsets": synsets})
    truth = "".join(f"{ids[label]}\n" for label in labels)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)


def parquet(root: Path, part: str, labels: Sequence[int], files: int = 2, first: int = 0) -> None:
    """Writes a part as on Hugging Face's hub, in files of groups of seven rows; images are numbered from `first`."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    share = -(-len(labels) // files)
    for number in range(files):
        own = list(labels[number * share : (number + 1) * share])
        images = [{"bytes": encoded(label, first + row), "path": None} for row, label in enumerate(own, number * share)]
        path = root / f"data/{part}-{number:05}-of-{files:05}.parquet"
        pyarrow.parquet.write_table(
            pa.table({"image": images, "label": pa.array(own, pa.int64())}), path, row_group_size=7
        )
