"""ShapeNetPart: things of 16 categories, and their parts (Yi et al., SIGGRAPH Asia 2016); vases in its layout."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor
from torch.utils.data import Dataset

from conversion.errors import DataMissing, InvalidInput
from tasks.base import TASKS, Split, TaskInfo
from tasks.disk import StoredSamples, first_missing
from tasks.points.base import CloudClassification, CloudFile, CloudFiles, normalised, sample_indices
from tasks.points.parts import PartSegmentation
from tasks.points.shapenet_files import count_points, list_of, listed, read_parts

POINTS = 2500
FOLDERS = ("shapenetcore_partanno_segmentation_benchmark_v0_normal", "ShapeNet/raw")
LAYOUT = (
    f"{FOLDERS[0]}/ as the archive unpacks, or {FOLDERS[1]}/ as torch-geometric keeps it: "
    "synsetoffset2category.txt, <category>/*.txt, train_test_split/shuffled_{train,val,test}_file_list.json."
)
PARTS: Mapping[str, range] = {
    "Airplane": range(0, 4), "Bag": range(4, 6), "Cap": range(6, 8), "Car": range(8, 12), "Chair": range(12, 16),
    "Earphone": range(16, 19), "Guitar": range(19, 22), "Knife": range(22, 24), "Lamp": range(24, 28),
    "Laptop": range(28, 30), "Motorbike": range(30, 36), "Mug": range(36, 38), "Pistol": range(38, 41),
    "Rocket": range(41, 44), "Skateboard": range(44, 47), "Table": range(47, 50),
}  # fmt: skip
"""The labels of each category's parts, in the files and in the published order."""


def part_names(category: str, count: int) -> tuple[str, ...]:
    """Names for parts without a published name: airplane 0, airplane 1 ..."""
    return tuple(f"{category.lower()} {number}" for number in range(count))


class _InLayout(CloudFiles):
    """A task in the layout of ShapeNetPart.

    Attributes:
        labels: the labels of each of its categories in the files.
    """

    info = TaskInfo(
        "ShapeNetPart: things of 16 categories and their 50 parts",
        'Yi et al., "A Scalable Active Framework for Region Annotation in 3D Shape Collections", SIGGRAPH Asia 2016',
        "https://shapenet.org",
    )
    labels: Mapping[str, range]

    def gap(self) -> str | None:
        try:
            splits = self.split_listing()
        except (DataMissing, InvalidInput) as error:
            return str(error)
        for split, files in splits.items():
            path = first_missing(file.path for file in files)
            if path is not None:
                file = next(file for file in files if file.path == path)
                return f"The shape {path} is listed in {list_of(self.root, split)} but not there. {self.advice(file)}"
        return None

    def listing(self) -> dict[Split, list[CloudFile]]:
        return listed(self.root, tuple(self.labels))

    def departures(self) -> dict[str, int]:
        filled = f"test shapes of fewer than {self.points} points, filled up"
        return super().departures() | {filled: self._filled_up}

    @cached_property
    def _filled_up(self) -> int:
        return sum(count_points(file.path) < self.points for file in self._splits["test"])

    def cloud(self, file: CloudFile, renamed: Mapping[int, int]) -> tuple[Tensor, Tensor]:
        """A cloud, float32 of shape (3, points), and its parts, uint8 of shape (points,)."""
        points, parts = read_parts(file.path, renamed)
        indices = sample_indices(len(points), self.points, file.generator())
        return normalised(points[indices], file.path), parts[torch.from_numpy(indices)]


@TASKS.register("shapenet_classification")
class ShapeNetClassification(_InLayout, CloudClassification):
    """The 16 categories of ShapeNetPart in its official split, 2,500 points of each shape."""

    input_shape = (3, POINTS)
    classes = tuple(PARTS)
    labels = PARTS
    folders = FOLDERS
    layout = LAYOUT

    def read(self, sample: CloudFile) -> tuple[Tensor, Tensor]:
        own = list(PARTS.values())[sample.category]
        return self.cloud(sample, {label: label for label in own})[0], torch.tensor(sample.category)


class WithCategory(Dataset[tuple[Tensor, Tensor]]):
    """Clouds with their category in further channels, added on access since they would take too much memory.

    Args:
        clouds: samples (cloud, parts).
        categories: number of categories.
    """

    def __init__(self, clouds: StoredSamples[CloudFile], categories: int) -> None:
        self.clouds = clouds
        self.categories = categories

    def __len__(self) -> int:
        return len(self.clouds)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        cloud, parts = self.clouds[index]
        channels = torch.zeros(self.categories, cloud.shape[1])
        channels[self.clouds.samples[index].category] = 1
        return torch.cat([cloud, channels]), parts


@TASKS.register("shapenet_parts")
class ShapeNetParts(_InLayout, PartSegmentation):
    """The 50 parts of all categories, for one network that has the category as input: common practice.

    A sample has 3 + 16 channels: coordinates, and a one for its category, the same at every point. Predictions are
    among the parts of that category.
    """

    input_shape = (3 + len(PARTS), POINTS)
    classes = tuple(name for category, own in PARTS.items() for name in part_names(category, len(own)))
    categories = PARTS
    labels = PARTS
    folders = FOLDERS
    layout = LAYOUT

    def read(self, sample: CloudFile) -> tuple[Tensor, Tensor]:
        own = list(PARTS.values())[sample.category]
        return self.cloud(sample, {label: label for label in own})

    def split(self, name: Split) -> WithCategory:
        clouds = super().split(name)
        assert isinstance(clouds, StoredSamples)
        return WithCategory(clouds, len(self.categories))


class OneCategory(_InLayout, PartSegmentation):
    """Parts of one of ShapeNetPart's categories, in the official split, 2,500 points of each shape.

    The paper has one network for each.
    """

    input_shape = (3, POINTS)
    folders = FOLDERS
    layout = LAYOUT

    def read(self, sample: CloudFile) -> tuple[Tensor, Tensor]:
        (labels,) = self.labels.values()
        return self.cloud(sample, {label: part for part, label in enumerate(labels)})


for _category, _labels in PARTS.items():
    TASKS.variant(
        OneCategory, f"shapenet_parts_{_category.lower()}", f"The category is {_category}.",
        classes=part_names(_category, len(_labels)), categories={_category: range(len(_labels))},
        labels={_category: _labels},
    )  # fmt: skip


@TASKS.register("coseg_vases")
class CosegVases(_InLayout, PartSegmentation):
    """Parts of 297 vases (Wang et al., "Active Co-Analysis of a Set of Shapes", 2012), 512 points of each.

    The labels are those of MeshCNN's edges (Hanocka et al., 2019), brought to the faces and points drawn on them.
    """

    info = TaskInfo(
        "COSEG vases: vases with four parts",
        'Wang et al., "Active Co-Analysis of a Set of Shapes", SIGGRAPH Asia 2012; these meshes and labels are those '
        'of Hanocka et al., "MeshCNN", SIGGRAPH 2019',
        "https://github.com/ranahanocka/MeshCNN",
    )
    input_shape = (3, 512)
    classes = ("neck", "handle", "body", "base")
    categories = {"Vase": range(4)}  # noqa: RUF012
    labels = {"Vase": range(4)}  # noqa: RUF012
    folders = ("shapenet_like",)
    layout = "shapenet_like/ in the layout of ShapeNetPart, with one category, Vase, of labels 0 to 3."

    def read(self, sample: CloudFile) -> tuple[Tensor, Tensor]:
        return self.cloud(sample, {part: part for part in range(4)})
