"""COCO's annotation files, checked: ids that are given once, annotations of images that there are, finite numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from conversion.errors import InvalidInput
from tasks.detection.base import size_in_pixels
from tasks.disk import name_fault

LARGEST = 2**53
"""The largest number in an annotation: whole numbers up to it are exact as floats."""
Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Whole = Annotated[int, Field(strict=True, ge=-LARGEST, le=LARGEST)]
Polygon = Annotated[list[Number], Field(min_length=6)]
"""Corners x, y, x, y ... of which there are three at least: pycocotools takes four numbers for a box."""
Entry = dict[str, Any]
EXPECTED = {
    "id": "a whole number", "image_id": "a whole number", "category_id": "a whole number", "name": "a name",
    "file_name": "a name", "height": "a number", "width": "a number", "iscrowd": "0 or 1",
    "bbox": "[x, y, width, height]", "segmentation": "polygons of at least 3 points, or a run-length code",
}  # fmt: skip


class Sized(TypedDict):
    """What an image says of its size."""

    height: Number
    width: Number


class Box(TypedDict):
    """An annotation as detection reads it."""

    category_id: Whole
    bbox: tuple[Number, Number, Number, Number]
    iscrowd: NotRequired[Literal[0, 1] | None]


class RunLengths(TypedDict):
    """A mask column by column as lengths of its runs, or as pycocotools writes these as text."""

    size: tuple[Whole, Whole]
    counts: str | list[Annotated[int, Field(strict=True, ge=0, le=LARGEST)]]


class Mask(TypedDict):
    """An annotation as segmentation reads it."""

    category_id: Whole
    segmentation: RunLengths | Annotated[list[Polygon], Field(min_length=1)]
    iscrowd: NotRequired[Literal[0, 1] | None]


SIZED, BOX, MASK = TypeAdapter(Sized), TypeAdapter(Box), TypeAdapter(Mask)


def fault(kind: TypeAdapter[Any], entry: Mapping[str, Any]) -> str | None:
    """Says what of an entry is not as its kind has it; None where nothing is."""
    try:
        kind.validate_python(entry)
    except ValidationError as error:
        return sentence(str(error.errors(include_url=False)[0]["loc"][0]), entry)
    return None


def sentence(name: str, entry: Mapping[str, Any]) -> str:
    """Says that a field is not what it has to be."""
    said = f"is {entry[name]!r:.60}" if name in entry else "is missing"
    return f"{name} {said}; it has to be {EXPECTED[name]}."


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
        self.images = dict(sorted(self._by_id("image", lists["images"], "file_name").items()))
        self.names = {key: entry["name"] for key, entry in self._by_id("category", lists["categories"], "name").items()}
        self.annotations: dict[int, list[Entry]] = {key: [] for key in self.images}
        for key, annotation in self._by_id("annotation", lists["annotations"]).items():
            image = annotation.get("image_id")
            if type(image) is not int or image not in self.images:
                raise InvalidInput(f"{path}, annotation {key}: there is no image {image!r:.60} in the file.")
            self.annotations[image].append(annotation)
        self._require_files()

    def size(self, image: int) -> tuple[int, int]:
        """Height and width of an image. Raises InvalidInput, which names it, if they are no numbers of pixels."""
        entry = self.images[image]
        wrong = fault(SIZED, entry)
        if wrong is not None:
            raise InvalidInput(f"{self.path}, image {image}: {wrong}")
        return size_in_pixels(entry["height"], entry["width"], f"{self.path}, image {image}")

    def _by_id(self, kind: str, entries: Sequence[Any], text: str | None = None) -> dict[int, Entry]:
        """Entries by their id, and with a text if it is named."""
        found: dict[int, Entry] = {}
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise InvalidInput(f"{self.path}: {kind} number {number} is {entry!r:.60}; it has to be an object.")
            key = entry.get("id")
            if type(key) is not int or abs(key) > LARGEST:
                raise InvalidInput(f"{self.path}: {kind} number {number}: {sentence('id', entry)}")
            if key in found:
                raise InvalidInput(f"{self.path} gives {kind} {key} twice; give each an id of its own.")
            if text is not None and not (isinstance(entry.get(text), str) and entry[text].strip()):
                raise InvalidInput(f"{self.path}, {kind} {key}: {sentence(text, entry)}")
            found[key] = entry
        return found

    def _require_files(self) -> None:
        """Raises InvalidInput unless every image has a file of its own below the folder."""
        seen: dict[str, int] = {}
        for key, entry in self.images.items():
            wrong = name_fault(entry["file_name"])
            if wrong is not None:
                raise InvalidInput(f"{self.path}, image {key}: file_name {entry['file_name']!r:.60} {wrong}.")
            other = seen.setdefault(entry["file_name"], key)
            if other != key:
                raise InvalidInput(f"{self.path}, image {key}: {entry['file_name']} is the file of image {other}, too.")


def read_file(path: Path) -> CocoFile:
    """An annotation file.

    Raises:
        InvalidInput: it is no JSON, gives a key of an object twice, or is not as `CocoFile` has it.
    """
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=_unique)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # The second: brackets in brackets without end.
        raise InvalidInput(f"{path} is damaged or no JSON: {error}; unpack it again.") from error
    return CocoFile(path, content)


def _unique(pairs: list[tuple[str, Any]]) -> Entry:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the key '{twice:.60}' twice")
    return found
