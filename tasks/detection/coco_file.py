"""COCO's annotation files, checked: ids that are given once, annotations of images that there are, finite numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from conversion.errors import InvalidInput
from tasks.detection.base import size_in_pixels
from tasks.typed import LARGEST, FileName, Flag, Number, Record, Whole, unique_keys

Entry = dict[str, Any]
Polygon = Annotated[list[Number], Field(min_length=6)]
"""Corners x, y, x, y ... of which there are three at least: pycocotools takes four numbers for a box."""


class Identified(Record):
    """An entry with an id, which is given once."""

    id: Whole = Field(description="a whole number")


class Image(Identified):
    """An image, of which the size is looked at when it is read."""

    file_name: FileName = Field(description="a name")


class Sized(Record):
    """What an image says of its size."""

    height: Number = Field(description="a number")
    width: Number = Field(description="a number")


class Category(Identified):
    """A kind of thing."""

    name: Annotated[str, Field(pattern=r"\S")] = Field(description="a name")


class _Object(Record):
    category_id: Whole = Field(description="a whole number")
    iscrowd: Flag | None = Field(default=None, description="0 or 1")


class Box(_Object):
    """An annotation as detection reads it."""

    bbox: Annotated[list[Number], Field(min_length=4, max_length=4)] = Field(description="[x, y, width, height]")


class RunLengths(Record):
    """A mask column by column as lengths of its runs, or as pycocotools writes these as text."""

    size: Annotated[list[Whole], Field(min_length=2, max_length=2)]
    counts: str | list[Annotated[int, Field(ge=0, le=LARGEST)]]


class Mask(_Object):
    """An annotation as segmentation reads it."""

    segmentation: RunLengths | Annotated[list[Polygon], Field(min_length=1)] = Field(
        description="polygons of at least 3 points, or a run-length code"
    )


class CocoFile:
    """The content of an annotation file, of which images and annotations are looked at when they are needed.

    Attributes:
        path: the file.
        images: images by ascending id.
        names: names of categories by id.
        annotations: the annotations of each image, in the file's order, by its id.
    """

    def __init__(self, path: Path, content: Any) -> None:
        self.path = path
        lists: dict[str, list[Any]] = {}
        for name in ("images", "annotations", "categories"):
            given = content.get(name) if isinstance(content, dict) else None
            if not isinstance(given, list):
                raise InvalidInput(
                    f"{path} is no annotation file of COCO; it needs lists 'images', 'annotations' and 'categories', "
                    f"and '{name}' is {'not there' if given is None else type(given).__name__}."
                )
            lists[name] = given
        images, names = self._by_id("image", lists["images"]), self._by_id("category", lists["categories"])
        self.images = dict(sorted(images.items()))
        self.names = {key: Category.of(entry, f"{path}, category {key}").name for key, entry in names.items()}
        self.annotations: dict[int, list[Entry]] = {key: [] for key in self.images}
        for key, annotation in self._by_id("annotation", lists["annotations"]).items():
            image = annotation.get("image_id")
            if type(image) is not int or image not in self.images:
                raise InvalidInput(f"{path}, annotation {key}: there is no image {image!r:.60} in the file.")
            self.annotations[image].append(annotation)
        self._require_files()

    def size(self, image: int) -> tuple[int, int]:
        """Height and width of an image. Raises InvalidInput, which names it, if they are no numbers of pixels."""
        where = f"{self.path}, image {image}"
        told = Sized.of(self.images[image], where)
        return size_in_pixels(told.height, told.width, where)

    def _by_id(self, kind: str, entries: Sequence[Any]) -> dict[int, Entry]:
        """Entries by their id."""
        found: dict[int, Entry] = {}
        for number, entry in enumerate(entries):
            key = Identified.of(entry, f"{self.path}: {kind} number {number}").id
            if key in found:
                raise InvalidInput(f"{self.path} gives {kind} {key} twice; give each an id of its own.")
            found[key] = entry
        return found

    def _require_files(self) -> None:
        """Raises InvalidInput unless every image has a file of its own below the folder."""
        seen: dict[str, int] = {}
        for key, entry in self.images.items():
            name = Image.of(entry, f"{self.path}, image {key}").file_name
            other = seen.setdefault(name, key)
            if other != key:
                raise InvalidInput(f"{self.path}, image {key}: {name} is the file of image {other}, too.")


def read_file(path: Path) -> CocoFile:
    """An annotation file.

    Raises:
        InvalidInput: it is no JSON, gives a key of an object twice, or is not as `CocoFile` has it.
    """
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=unique_keys)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # The second: brackets in brackets without end.
        raise InvalidInput(f"{path} is damaged or no JSON: {error}; unpack it again.") from error
    return CocoFile(path, content)
