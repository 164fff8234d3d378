"""Folders with boxes as tasks: COCO's JSON, VOC's XML, YOLO's text labels (docs/bridges.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated as Typed
from typing import ClassVar

from pydantic import Field

from conversion.errors import DataMissing, InvalidInput
from tasks.base import Split
from tasks.detection.base import Annotated, AnnotatedDetection, inside
from tasks.detection.boxes import Boxes
from tasks.detection.coco import read_coco
from tasks.detection.voc import Lists, VocLayout
from tasks.disk import SKIPPED, text_of
from tasks.images.files import opened
from tasks.typed import Record, Written, WrittenNumber

SUFFIXES = (".jpg", ".jpeg", ".png")


class VocFolder(VocLayout):
    """A folder with JPEGImages/, Annotations/ and ImageSets/Main/.

    Subclasses set `folders`, `classes`, `input_shape` and, if the lists have other names, `lists`.
    """

    lists: ClassVar[Lists] = {"train": ((".", "train"),), "validation": ((".", "val"),), "test": ((".", "test"),)}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "layout" not in vars(cls):
            cls.layout = f"{cls.folders[0]}/{{JPEGImages,Annotations,ImageSets/Main}}."


class CocoFolder(AnnotatedDetection):
    """A folder with annotation files of COCO.

    Subclasses set `folders`, `classes`, `input_shape` and, if images and annotations are called otherwise, `parts`.
    """

    parts: ClassVar[Mapping[Split, tuple[str, str]]] = {
        "train": ("train2017", "annotations/instances_train2017.json"),
        "test": ("val2017", "annotations/instances_val2017.json"),
    }
    """By split, the folder of its images and its annotation file."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "layout" not in vars(cls):
            cls.layout = f"{cls.folders[0]}/ with {', '.join(path for part in cls.parts.values() for path in part)}."

    def gap(self) -> str | None:
        paths = (self.root / path for part in self.parts.values() for path in part)
        return next((f"{path} is not there." for path in paths if not path.exists()), None)

    def listing(self) -> dict[Split, list[Annotated]]:
        return {
            split: read_coco(self.root / annotations, self.root / images, self.classes)
            for split, (images, annotations) in self.parts.items()
        }

    def skip_list(self, sample: Annotated) -> Path:
        return self.root / SKIPPED


class YoloFolder(AnnotatedDetection):
    """Images and text labels of YOLO, whose path is that of the image with labels/ for images/, as ultralytics has it.

    Subclasses set `folders`, `classes`, `input_shape` and, if the folders of images are called otherwise, `parts`.
    """

    parts: ClassVar[Mapping[Split, str]] = {"train": "images/train", "test": "images/val"}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "layout" not in vars(cls):
            cls.layout = f"{cls.folders[0]}/ with {', '.join(cls.parts.values())} and labels/ beside images/."

    def listing(self) -> dict[Split, list[Annotated]]:
        return {split: self._images(part) for split, part in self.parts.items()}

    def skip_list(self, sample: Annotated) -> Path:
        return self.root / SKIPPED

    def _images(self, part: str) -> list[Annotated]:
        folder, labels = self.root / part, self.root / "labels".join(part.rsplit("images", 1))
        for place in (folder, labels):
            if not place.is_dir():
                raise DataMissing(f"There is no folder {place}.")
        images = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
        if not images:
            raise DataMissing(f"The folder {folder} holds no JPEG or PNG image.")
        return [Annotated(path, partial(read_yolo, labels / f"{path.stem}.txt", path, self.classes)) for path in images]


class Label(Record):
    """A line of YOLO's text labels: a class counted from 0, and a box by its centre, in fractions of the image."""

    expected = "a label"
    number: Typed[int, Written(r"[0-9]{1,15}(\.0*)?")] = Field(alias="class", description="a whole number")
    x: WrittenNumber = Field(description="a number")
    y: WrittenNumber = Field(description="a number")
    width: WrittenNumber = Field(description="a number")
    height: WrittenNumber = Field(description="a number")


def read_yolo(path: Path, image: Path, classes: Sequence[str]) -> Boxes:
    """The boxes of an image from its text labels: lines `class x y width height` in fractions, (x, y) the centre.

    An image without a file of labels has no object.

    Raises:
        InvalidInput: a line is malformed or names no class, or a box is outside of the image; names file and line.
    """
    with opened(image, f"image {image}") as header:
        width, height = header.size
    boxes: list[list[float]] = []
    labels: list[int] = []
    dropped = 0
    # A folder or a link that leads nowhere is no missing file.
    for number, line in enumerate(text_of(path).splitlines() if os.path.lexists(path) else [], 1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        label = Label.of_row(line.split(), where)
        if label.number >= len(classes):
            raise InvalidInput(f"{where}: there is no class {label.number}; there are {len(classes)}, counted from 0.")
        x, y, w, h = label.x, label.y, label.width, label.height
        corners = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
        box = inside(corners, (height, width), where)
        if box[0] < box[2] and box[1] < box[3]:
            boxes.append(box)
            labels.append(label.number)
        else:
            dropped += 1
    return Boxes.of(boxes, labels, [False] * len(boxes), (height, width), image.stem, dropped)
