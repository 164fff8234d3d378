"""Pascal VOC's layout: XML annotations, lists of images, JPEG files (Everingham et al., IJCV 88, 2010)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from conversion.errors import DataMissing, InvalidInput
from tasks.base import TASKS, Split, TaskInfo
from tasks.detection.base import Annotated, AnnotatedDetection, inside, size_in_pixels
from tasks.detection.boxes import Boxes
from tasks.disk import text_of
from tasks.markup import Element, parsed
from tasks.typed import Record, WrittenNumber, name_fault

Lists = Mapping[Split, tuple[tuple[str, str], ...]]
FLAGS = ("-1", "0", "1")
"""What VOC's lists of one class have behind an image: whether the class is not there, there but difficult, or there."""


class _Record(Record):
    separator = "/"


class Size(_Record):
    """An image's size in its annotation."""

    height: WrittenNumber = Field(description="a number of pixels")
    width: WrittenNumber = Field(description="a number of pixels")


class Corners(_Record):
    """The box of an object in pixels that count from 1."""

    xmin: WrittenNumber = Field(description="a number")
    ymin: WrittenNumber = Field(description="a number")
    xmax: WrittenNumber = Field(description="a number")
    ymax: WrittenNumber = Field(description="a number")


class Object(_Record):
    """An object in an annotation."""

    name: str = Field(description="the name of a class")
    bndbox: Corners = Field(description="an element with xmin, ymin, xmax and ymax")
    difficult: Literal["0", "1", ""] = Field(default="", description="0 or 1")


class Annotation(_Record):
    """An annotation of an image."""

    size: Size = Field(description="an element with height and width")
    objects: list[Object] = Field(alias="object", description="elements with name and bndbox")


def read_annotation(path: Path, classes: Sequence[str], *, drop_empty: bool = False) -> Boxes:
    """One annotation file.

    Pixels count from 1 in the file; 1 is taken off all four numbers of a box, as the paper's released code does.

    Args:
        path: the XML file.
        classes: names; a class's position here is its label.
        drop_empty: count and drop boxes without area, which nothing can overlap.

    Raises:
        InvalidInput: the file is missing, empty or no annotation, a class is not listed, or a box is outside of the
            image or without area; the message names file and line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"The annotation {path} cannot be read: {error.strerror}.") from error
    if not content.strip():
        raise InvalidInput(f"The annotation {path} is empty; replace it.")
    root = parsed(content, path)
    _require_boxes_in_objects(root, path)
    whole = Annotation.of(root.fields("object"), lambda place: f"{path}, line {root.line_of(place)}")
    size = size_in_pixels(whole.size.height, whole.size.width, f"{path}, line {root.line_of(('size',))}")

    boxes: list[list[float]] = []
    labels: list[int] = []
    difficult: list[bool] = []
    dropped = 0
    for element, found in zip(root.all("object"), whole.objects, strict=True):
        where = f"{path}, line {element.line}"
        name, corners = found.name, found.bndbox
        if name not in classes:
            raise InvalidInput(f"{where}: '{name}' is no class of the task; they are {', '.join(classes)}.")
        box = inside([corners.xmin - 1, corners.ymin - 1, corners.xmax - 1, corners.ymax - 1], size, where)
        if box[0] == box[2] or box[1] == box[3]:
            if drop_empty:
                dropped += 1
                continue
            raise InvalidInput(f"{where}: the box of '{name}' has no area; correct it.")
        boxes.append(box)
        labels.append(classes.index(name))
        difficult.append(found.difficult == "1")
    return Boxes.of(boxes, labels, difficult, size, path.stem, dropped)


def _require_boxes_in_objects(root: Element, path: Path) -> None:
    """Refuses objects in other elements, and boxes that are in no object, since they would be passed over."""
    for outer in root.inside:
        inner = "object" if outer.name == "object" else "bndbox"  # Parts of an object have boxes, too.
        stray = outer if outer.name == "bndbox" else next(outer.within(inner), None)
        if stray is not None:
            raise InvalidInput(
                f"{path}, line {stray.line}: <{stray.name}> is not where it is read; boxes are in elements <object>, "
                "and these directly in the annotation."
            )


def read_list(path: Path, images: Path) -> dict[str, int]:
    """The images on a list of VOC, one a line, and the line that each is on.

    Args:
        path: the list.
        images: the folder of its images, which may have names with spaces.

    Raises:
        InvalidInput: a line is no name of an image, or one that is on the list already; names list and line.
    """
    found: dict[str, int] = {}
    for number, line in enumerate(text_of(path).splitlines(), 1):
        name = line.strip()
        if not name:
            continue
        fault = name_fault(name)
        if fault is None and len(name.split()) > 1 and not (images / f"{name}.jpg").exists():
            flagged = len(name.split()) == 2 and name.split()[1] in FLAGS
            fault = (
                "is an image and a flag, as in lists of one class; give the list of all images of the split"
                if flagged else f"is no image in {images}; a line is one name, without .jpg"
            )  # fmt: skip
        if fault is None and name in found:
            fault = f"is on line {found[name]}, too; list it once"
        if fault is not None:
            raise InvalidInput(f"{path}, line {number}: '{name:.60}' {fault}.")
        found[name] = number
    return found


class VocLayout(AnnotatedDetection):
    """Detection in VOC's layout. Subclasses say which lists of which folders make up a split."""

    lists: ClassVar[Lists]
    """Pairs of a folder in VOCdevkit/ and a list in its ImageSets/Main, by split."""
    drops_empty: ClassVar[bool] = False
    """Whether boxes without area are dropped, not refused."""

    folders = ("VOCdevkit",)

    def gap(self) -> str | None:
        for folder, name in {pair for pairs in self.lists.values() for pair in pairs}:
            base = self.root / folder
            for path in (base / "JPEGImages", base / "Annotations", base / "ImageSets" / "Main" / f"{name}.txt"):
                if not path.exists():
                    return f"{path} is not there."
        return None

    def listing(self) -> dict[Split, list[Annotated]]:
        seen: dict[tuple[str, str], str] = {}
        return {
            split: [s for pair in pairs for s in self._listed_in(*pair, seen)] for split, pairs in self.lists.items()
        }

    def _listed_in(self, folder: str, name: str, seen: dict[tuple[str, str], str]) -> list[Annotated]:
        """The images on a list; `seen` says of those on lists before it where they are."""
        base = self.root / folder
        path = base / "ImageSets" / "Main" / f"{name}.txt"
        images = read_list(path, base / "JPEGImages")
        if not images:
            raise DataMissing(f"The list {path} names no image.")
        for image, line in images.items():
            other = seen.setdefault((folder, image), f"{path}, line {line}")
            if other != f"{path}, line {line}":
                raise InvalidInput(
                    f"{path}, line {line}: the image {image} is of another part, too ({other}); list it once."
                )
        return [Annotated(base / "JPEGImages" / f"{image}.jpg", partial(self._annotation, base, image))
                for image in images]  # fmt: skip

    def _annotation(self, base: Path, image: str) -> Boxes:
        return read_annotation(base / "Annotations" / f"{image}.xml", self.classes, drop_empty=self.drops_empty)


class PascalVoc(VocLayout):
    """The 20 classes of the Pascal VOC challenges, 416x416; scored by 11-point AP as the paper's released code is."""

    info = TaskInfo(
        "Pascal VOC: photographs with things of 20 classes",
        'Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 88, 2010',
        "http://host.robots.ox.ac.uk/pascal/VOC/",
    )
    primary_metric = "ap50_11point"
    input_shape = (3, 416, 416)
    layout = "VOCdevkit/{VOC2007,VOC2012}/{JPEGImages,Annotations,ImageSets/Main}, VOC2007 with its test part."
    classes = (
        "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
        "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
    )  # fmt: skip


@TASKS.register("voc_detection")
class VocDetection(PascalVoc):
    """VOC 2007 and 2012 trainval for training, a tenth of it (at most 1,000 images) for validation; VOC 2007 test."""

    lists: ClassVar[Lists] = {
        "train": (("VOC2007", "trainval"), ("VOC2012", "trainval")),
        "test": (("VOC2007", "test"),),
    }


@TASKS.register("voc2012_detection")
class Voc2012Detection(PascalVoc):
    """VOC 2007 trainval and VOC 2012 train for training and validation, VOC 2012 val as the test split.

    The test set of VOC 2012 is not public. A network trained for `voc_detection` has seen this test split: train anew.
    """

    lists: ClassVar[Lists] = {"train": (("VOC2007", "trainval"), ("VOC2012", "train")), "test": (("VOC2012", "val"),)}


@TASKS.register("bccd")
class Bccd(VocLayout):
    """BCCD: 364 microscope images of blood with 4,888 cells in 3 classes (github.com/Shenggan/BCCD_Dataset).

    Two boxes of the source have no area; they are dropped. Splits are the source's own lists.
    """

    info = TaskInfo(
        "BCCD: blood cells under a microscope",
        "github.com/Shenggan/BCCD_Dataset, which credits cosmicad/dataset and akshaylamba/all_CELL_data",
        "https://github.com/Shenggan/BCCD_Dataset", "MIT",
    )  # fmt: skip
    upright = False
    anchors = ((0.50, 0.64), (1.10, 1.64), (1.35, 1.46), (1.44, 1.86), (2.64, 3.21))
    input_shape = (3, 256, 256)
    layout = "VOCdevkit/BCCD/{JPEGImages,Annotations,ImageSets/Main}."
    classes = ("RBC", "WBC", "Platelets")
    lists: ClassVar[Lists] = {
        "train": (("BCCD", "train"),),
        "validation": (("BCCD", "val"),),
        "test": (("BCCD", "test"),),
    }
    drops_empty = True
