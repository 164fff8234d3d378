"""Meshes as point clouds: OBJ and OFF files, read strictly, and points drawn on their faces.

torch-geometric's readers drop polygons of more than four corners without a word and cannot say which line is wrong; its
`SamplePoints` draws from the global generator. Here a sample's points depend on its file alone. Tests hold both
against torch-geometric.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversion.errors import DataMissing, InvalidInput
from tasks.base import Split
from tasks.disk import SKIPPED, folder_gap, skipped, skipping
from tasks.points.base import CloudClassification, CloudFile, CloudFiles, Points, normalised

Faces = NDArray[np.int64]
PARTS: tuple[Split, ...] = ("train", "test")


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
        # The other half of the parallelogram, folded back.
        along = np.where(along.sum(1, keepdims=True) > 1, 1 - along, along)
        return np.asarray(corners[face, 0] + (along[:, :, None] * edges[face]).sum(1))

    def areas(self) -> Points:
        """Of the faces, shape (F,)."""
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
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InvalidInput(f"The mesh {path} cannot be read: {error.strerror}. {_leave_out(path)}") from error
    read = _read_off if path.suffix.lower() == ".off" else _read_obj
    try:
        mesh = read(lines)
    except _Fault as fault:
        raise InvalidInput(f"{path}, line {fault.line}: {fault}. {_leave_out(path)}") from None
    if not len(mesh.faces):
        raise InvalidInput(
            f"The mesh {path} has no faces, so there is no surface to draw points on. {_leave_out(path)}"
        )
    if not mesh.areas().sum() > 0:
        raise InvalidInput(f"The faces of the mesh {path} have no area. {_leave_out(path)}")
    return mesh


class _Fault(Exception):
    """What is wrong with a line, counted from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def _read_obj(lines: Sequence[str]) -> Mesh:
    vertices: list[list[float]] = []
    triangles: list[tuple[int, int, int]] = []
    places: list[int] = []
    for number, line in enumerate(lines, 1):
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
    """What `_read_off` makes of rows of triangles alone, many times as fast; None where that finds more to say."""
    try:
        points = np.array(" ".join(line for _, line in rows[:vertices]).split(), dtype=np.float64)
        corners = np.array(" ".join(line for _, line in rows[vertices : vertices + faces]).split(), dtype=np.int64)
    except ValueError:
        return None
    if len(points) != 3 * vertices or len(corners) != 4 * faces or not np.isfinite(points).all():
        return None
    counts, indices = corners.reshape(-1, 4)[:, 0], corners.reshape(-1, 4)[:, 1:]
    if (counts != 3).any() or (indices < 0).any() or (indices >= vertices).any():
        return None
    return Mesh(points.reshape(-1, 3), indices)


def _content(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Lines that say something, with their numbers; what follows a # is a remark."""
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
        point = [float(field) for field in fields[:3]]
    except ValueError:
        raise _Fault(number, f"'{' '.join(fields)}' is no point") from None
    if len(point) != 3 or not np.isfinite(point).all():
        raise _Fault(number, f"'{' '.join(fields)}' is no point; give three finite numbers")
    return point


def _integer(field: str, number: int) -> int:
    try:
        return int(field)
    except ValueError:
        raise _Fault(number, f"'{field}' is no whole number") from None


def _checked(
    vertices: Sequence[Sequence[float]], triangles: Sequence[tuple[int, int, int]], places: Sequence[int]
) -> Mesh:
    faces = np.array(triangles, dtype=np.int64).reshape(-1, 3)
    outside = np.flatnonzero(((faces < 0) | (faces >= len(vertices))).any(1))
    if len(outside):
        raise _Fault(places[outside[0]], f"a face names a vertex that is not among the {len(vertices)} of the file")
    return Mesh(np.array(vertices, dtype=np.float64).reshape(-1, 3), faces)


def _leave_out(path: Path) -> str:
    # Of <folder>/<class>/<part>/<file>; the list of files left out lies in <folder>.
    return skipping(path.parent.parent / path.name)


class MeshClassification(CloudFiles, CloudClassification):
    """Meshes with classes, `<folder>/<class>/{train,test}/*`, of whose faces each sample is drawn once.

    Subclasses set the class attributes. A seeded tenth of every class's training meshes is the validation split.
    """

    folders: tuple[str, ...]
    """Where the class folders may be, under the data root."""
    suffix: str
    """Of the files of meshes."""

    def missing(self) -> str | None:
        if self.data_root is None:
            return "No data root was given (--data-root)."
        folder = self._folder()
        if folder is None:
            return f"There is no folder {self.data_root / self.folders[-1]}."
        gap = folder_gap(folder, self.classes)
        if gap is not None:
            return gap
        try:
            self._listed(folder, skipped(folder))
        except DataMissing as error:
            return str(error)
        return None

    def files(self) -> dict[Split, list[CloudFile]]:
        folder = self._folder()
        assert folder is not None  # `require` has said so before.
        return self._listed(folder, skipped(folder))

    def departures(self) -> dict[str, int]:
        folder = self._folder()
        assert folder is not None  # Asked of a task whose data were read.
        everything, kept = self._listed(folder, frozenset()), self.files()
        return {f"shapes on {SKIPPED}": sum(map(len, everything.values())) - sum(map(len, kept.values()))}

    def read(self, file: CloudFile) -> tuple[Tensor, Tensor]:
        points = read_mesh(file.path).sample(self.points, file.generator())
        return normalised(self.aligned(points), file.path), torch.tensor(file.category)

    def aligned(self, points: Points) -> Points:
        """Points turned to where shapes of the dataset are to lie."""
        return points

    def _folder(self) -> Path | None:
        assert self.data_root is not None  # `missing` has said so before.
        found = (self.data_root / folder for folder in self.folders)
        return next((folder for folder in found if folder.is_dir()), None)

    def _listed(self, folder: Path, left_out: frozenset[str]) -> dict[Split, list[CloudFile]]:
        meshes = partial(_meshes, folder, self.suffix, left_out)
        return {
            part: [file for label, name in enumerate(self.classes) for file in meshes(name, label, part)]
            for part in PARTS
        }


def _meshes(folder: Path, suffix: str, left_out: frozenset[str], name: str, label: int, part: Split) -> list[CloudFile]:
    place = folder / name / part
    entries = sorted(place.iterdir()) if place.is_dir() else []
    paths = [path for path in entries if path.suffix.lower() == suffix and path.stem not in left_out]
    if not paths:
        raise DataMissing(f"The folder {place} holds no {suffix} file; a class without {part} shapes has no score.")
    return [CloudFile(path, f"{name}/{part}/{path.name}", label) for path in paths]
