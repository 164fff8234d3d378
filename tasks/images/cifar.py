"""CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import torch
from torchvision import datasets

from conversion.errors import InvalidInput
from tasks.base import TASKS, TaskInfo
from tasks.disk import SEED, VALIDATION_FRACTION, FolderTask, folder_gap
from tasks.images.base import ImageSplits, LabelledImages, LoadedImages
from tasks.images.folders import read_image_folder
from tasks.splits import stratified

CITATION = 'Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", University of Toronto, 2009'
HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
VALIDATION_MAX = 5000


class Cifar(LoadedImages, FolderTask):
    """32x32 colour photographs in one of two layouts: torchvision's own (tried first), or folders of PNG images.

    A seeded, class-stratified tenth of the official training set, at most 5,000 images, is the validation split; the
    official test set is the test split.
    """

    input_shape = (3, 32, 32)
    native: ClassVar[type[datasets.CIFAR10]]
    """torchvision's reader of the original distribution; CIFAR100 is a subclass of CIFAR10."""

    def gap(self) -> str | None:
        absent = self._absent_native_files(self.root)
        if not absent:
            return None
        if (self.root / self.name).is_dir():
            gaps = (folder_gap(self.root / self.name / part, self.classes) for part in ("train", "test"))
            return next((gap for gap in gaps if gap is not None), None)
        if (self.root / self.native.base_folder).is_dir():
            return f"The file {absent[0]} is not there."
        return f"{self.root} holds neither {self.native.base_folder}/ nor {self.name}/."

    def load(self) -> ImageSplits:
        return _load(type(self), self.root.resolve())

    @classmethod
    def read(cls, root: Path) -> tuple[LabelledImages, LabelledImages]:
        """The official training and test set under `root`.

        Raises:
            DataMissing, InvalidInput: when a file does not hold what its layout says; the message names the file.
        """
        if not cls._absent_native_files(root):
            return cls._read_native(root, train=True), cls._read_native(root, train=False)
        train, test = (read_image_folder(root / cls.name / part, cls.classes, (32, 32)) for part in ("train", "test"))
        return train, test

    @classmethod
    def _read_native(cls, root: Path, train: bool) -> LabelledImages:
        try:
            # The files are pickles; torchvision compares their MD5 with the published ones before it unpickles any.
            data = cls.native(root, train=train, download=False)
        except RuntimeError as error:
            folder = root / cls.native.base_folder
            raise InvalidInput(
                f"A file in {folder} is not the published one (its MD5 differs): unpack the archive again."
            ) from error
        return LabelledImages(torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(data.targets))

    @classmethod
    def _absent_native_files(cls, root: Path) -> list[Path]:
        names = [name for name, _ in cls.native.train_list + cls.native.test_list] + [cls.native.meta["filename"]]
        return [path for path in (root / cls.native.base_folder / name for name in names) if not path.is_file()]


@lru_cache(maxsize=2)
def _load(task: type[Cifar], root: Path) -> ImageSplits:
    official, test = task.read(root)
    fraction = min(VALIDATION_FRACTION, VALIDATION_MAX / len(official))
    train, validation = stratified(official.labels, fraction, SEED)
    return ImageSplits(official.take(train), official.take(validation), test)


@TASKS.register("cifar10")
class Cifar10(Cifar):
    """CIFAR-10: 50,000 training and 10,000 test images of 10 classes."""

    info = TaskInfo(
        "CIFAR-10: photographs of 10 classes", CITATION, HOMEPAGE,
        expected="accuracy 91.73 by resnet20 with the published weights, measured here",
    )  # fmt: skip
    label_set = "cifar10"
    native = datasets.CIFAR10
    # Mean and standard deviation as in SNN Calibration's training script, here and below.
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    layout = (
        "cifar-10-batches-py/ (cifar-10-python.tar.gz unpacked), or cifar10/{train,test}/<class>/*.png "
        "with the official class names."
    )
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@TASKS.register("cifar100")
class Cifar100(Cifar):
    """CIFAR-100 with its fine labels: 50,000 training and 10,000 test images of 100 classes."""

    info = TaskInfo("CIFAR-100: photographs of 100 classes", CITATION, HOMEPAGE)
    label_set = "cifar100"
    native = datasets.CIFAR100
    mean, std = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)
    layout = (
        "cifar-100-python/ (cifar-100-python.tar.gz unpacked), or cifar100/{train,test}/<class>/*.png "
        "with the official fine class names."
    )
    # fmt: off
    classes = (
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
        "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
        "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
        "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
        "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
        "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
        "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
        "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
        "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
        "willow_tree", "wolf", "woman", "worm",
    )
    # fmt: on
