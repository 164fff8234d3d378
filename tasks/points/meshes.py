"""Meshes as point clouds: OBJ and OFF files, read strictly, and points drawn on their faces.

torch-geometric's readers silently drop polygons of more than four corners and cannot name the line of an error; its
`SamplePoints` draws from the global generator. Here a sample's points depend on its file alone. Tests hold both
against torch-geometric.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks.base import Split
from tasks.disk import folder_gap
from tasks.points.base import CloudClassification, CloudFile, CloudFiles, Points, normalised

Faces = NDArray[np.int64]
PARTS: tuple[Split, ...] = ("train", "test")
LARGEST = 1e60
"""The largest coordinate of a mesh: areas of larger ones overflow."""


@dataclass(frozen=True)
class Mesh:
    """Triangles in space.

    Attributes:
        vertices: shape (V, 3).
        faces: indices of three vertices each, shape (F, 3).
    """

    vertices: Points
    faces: Faces

    def sample(self, count: int, generator: np.random.Generator) -> Points:
        """Points spread evenly over the surface, shape (count, 3)."""
        corners = self.vertices[self.faces]
        edges = corners[:, 1:] - corners[:, :1]
        areas = self.areas()
        face = generator.choice(len(areas), count, p=areas / areas.sum())
        along = generator.random((count, 2))
        # Points in the other half of the parallelogram are folded back.
        along = np.where(along.sum(1, keepdims=True) > 1, 1 - along, along)
        return np.asarray(corners[face, 0] + (along[:, :, None] * edges[face]).sum(1))

    def areas(self) -> Points:
        """The areas of the faces, shape (F,)."""
        corners = self.vertices[self.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        return np.asarray(np.linalg.norm(normals, axis=1) / 2)


def read_mesh(path: Path) -> Mesh:
    """An OBJ or OFF file; polygons are cut into triangles that meet in their first corner.

    Raises:
        InvalidInput: the file is missing, a line is malformed or names a vertex that there is not, a coordinate is not
            finite, or there are no faces with an area. The message names file and line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"The mesh {path} cannot be read: {error.strerror}.") from error
    # Names and remarks may be in any encoding; lines end as in files of any system.
    lines = content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    read = _read_off if path.suffix.lower() == ".off" else _read_obj
    try:
        mesh = read(lines)
    except _Fault as fault:
        raise InvalidInput(f"{path}, line {fault.line}: {fault}.") from None
    if not len(mesh.faces):
        raise InvalidInput(f"The mesh {path} has no faces, so there is no surface to draw points on.")
    if np.abs(mesh.vertices).max() > LARGEST:
        raise InvalidInput(f"The mesh {path} has coordinates beyond {LARGEST:g}; scale it.")
    if not mesh.areas().sum() > 0:
        raise InvalidInput(f"The faces of the mesh {path} have no area.")
    return mesh


class _Fault(Exception):
    """An error in a line, counted from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def _read_obj(lines: Sequence[str]) -> Mesh:
    vertices: list[list[float]] = []
    triangles: list[tuple[int, int, int]] = []
    places: list[int] = []
    for number, line in _joined(lines):
        kind, *fields = line.split() or [""]
        if kind == "v":
            vertices.append(_coordinates(fields, number))
        elif kind == "f":
            # A corner may name a texture and a normal, too; one counted from the end is negative.
            corners = [_integer(field.partition("/")[0], number) for field in fields]
            corners = [corner - 1 if corner > 0 else len(vertices) + corner for corner in corners]
            triangles += _fan(corners, number)
            places += [number] * (len(triangles) - len(places))
    return _checked(vertices, triangles, places)


def _read_off(lines: Sequence[str]) -> Mesh:
    content = _content(lines)
    number, header = next(content, (1, ""))
    if not header.upper().startswith("OFF"):
        raise _Fault(number, "the file does not begin with OFF")
    # In some files of ModelNet the counts follow the word on its line, without a space.
    number, counts = (number, header[3:]) if header[3:].strip() else next(content, (number, ""))
    sizes = [_integer(field, number) for field in counts.split()]
    if len(sizes) < 2 or min(sizes[:2]) < 0:
        raise _Fault(number, f"'{counts.strip()}' does not say how many vertices and faces there are")
    rows = list(content)
    fast = _triangles(rows, sizes[0], sizes[1])
    if fast is not None:
        return fast
    content = iter(rows)
    vertices = [_coordinates(line.split(), number) for number, line in _rows(content, sizes[0], "vertices")]
    triangles: list[tuple[int, int, int]] = []
    places: list[int] = []
    for number, line in _rows(content, sizes[1], "faces"):
        fields = line.split()
        count = _integer(fields[0], number)
        if len(fields) < 1 + count:
            raise _Fault(number, f"a face of {count} corners has {len(fields) - 1}")
        triangles += _fan([_integer(field, number) for field in fields[1 : 1 + count]], number)
        places += [number] * (len(triangles) - len(places))
    return _checked(vertices, triangles, places)


def _triangles(rows: Sequence[tuple[int, str]], vertices: int, faces: int) -> Mesh | None:
    """The mesh of valid rows of vertices and triangles, many times as fast as `_read_off`; None for other rows."""
    try:
        text = " ".join(line for _, line in rows[:vertices]), " ".join(line for _, line in rows[vertices:][:faces])
        if not all(part.isascii() and "_" not in part for part in text):
            return None
        points, corners = np.array(text[0].split(), dtype=np.float64), np.array(text[1].split(), dtype=np.int64)
    except (ValueError, OverflowError):
        return None
    if len(points) != 3 * vertices or len(corners) != 4 * faces or not np.isfinite(points).all():
        return None
    counts, indices = corners.reshape(-1, 4)[:, 0], corners.reshape(-1, 4)[:, 1:]
    if (counts != 3).any() or (indices < 0).any() or (indices >= vertices).any():
        return None
    return Mesh(points.reshape(-1, 3), indices)


def _joined(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Lines with their numbers and without remarks; one that ends in a backslash goes on in the next."""
    begun, first = "", 0
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].rstrip()
        first = first or number
        if text.endswith("\\"):
            begun += text[:-1] + " "
            continue
        yield first, begun + text
        begun, first = "", 0
    if begun:
        yield first, begun


def _content(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, with their numbers and without comments, which begin with #."""
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            yield number, text


def _rows(content: Iterator[tuple[int, str]], count: int, what: str) -> Iterator[tuple[int, str]]:
    number = 0
    for index in range(count):
        row = next(content, None)
        if row is None:
            raise _Fault(number or 1, f"the file ends after {index} of {count} {what}")
        number = row[0]
        yield row


def _fan(corners: Sequence[int], number: int) -> list[tuple[int, int, int]]:
    if len(corners) < 3:
        raise _Fault(number, f"a face has {len(corners)} corners; it needs three")
    return [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]


def _coordinates(fields: Sequence[str], number: int) -> list[float]:
    try:
        if not all(field.isascii() and "_" not in field for field in fields[:3]):
            raise ValueError
        point = [float(field) for field in fields[:3]]
    except ValueError:
        raise _Fault(number, f"'{' '.join(fields):.60}' is no point") from None
    if len(point) != 3 or not np.isfinite(point).all():
        raise _Fault(number, f"'{' '.join(fields):.60}' is no point; give three finite numbers")
    return point


def _integer(field: str, number: int) -> int:
    # Python also takes digits of other scripts and underscores between them, and numbers of any length.
    if not re.fullmatch(r"[+-]?[0-9]{1,15}", field):
        raise _Fault(number, f"'{field:.60}' is no whole number")
    return int(field)


def _checked(
    vertices: Sequence[Sequence[float]], triangles: Sequence[tuple[int, int, int]], places: Sequence[int]
) -> Mesh:
    faces = np.array(triangles, dtype=np.int64).reshape(-1, 3)
    outside = np.flatnonzero(((faces < 0) | (faces >= len(vertices))).any(1))
    if len(outside):
        raise _Fault(places[outside[0]], f"a face names a vertex that is not among the {len(vertices)} of the file")
    return Mesh(np.array(vertices, dtype=np.float64).reshape(-1, 3), faces)


class MeshClassification(CloudFiles, CloudClassification):
    """Meshes with classes, `<folder>/<class>/{train,test}/*`; the points of a sample are drawn once on its faces.

    Subclasses set the class attributes. A seeded tenth of every class's training meshes is the validation split.
    """

    suffix: str
    """The suffix of the mesh files."""

    def gap(self) -> str | None:
        return folder_gap(self.root, self.classes) or super().gap()

    def listing(self) -> dict[Split, list[CloudFile]]:
        return {
            part: [file for label, name in enumerate(self.classes) for file in self._meshes(name, label, part)]
            for part in PARTS
        }

    def read(self, sample: CloudFile) -> tuple[Tensor, Tensor]:
        points = read_mesh(sample.path).sample(self.points, sample.generator())
        return normalised(self.aligned(points), sample.path), torch.tensor(sample.category)

    def aligned(self, points: Points) -> Points:
        """Turns points into the pose that shapes of the dataset should have."""
        return points

    def _meshes(self, name: str, label: int, part: Split) -> list[CloudFile]:
        folder = self.root / name / part
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        paths = [path for path in entries if path.suffix.lower() == self.suffix]
        if not paths:
            raise DataMissing(
                f"The folder {folder} holds no {self.suffix} file; a class without {part} shapes has no score."
            )
        return [CloudFile(path, f"{name}/{part}/{path.name}", label) for path in paths]
