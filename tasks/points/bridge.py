"""Any dataset of clouds or meshes of torch-geometric as a task (docs/bridges.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from conversion.errors import InvalidInput
from tasks.library import Item, LibraryTask, class_index, imported
from tasks.points.base import CloudClassification, normalised, sample_indices


class GeometricTask(LibraryTask, CloudClassification):
    """Clouds or meshes with classes: `Data` with `pos`, `face` where it is a mesh, and `y`.

    Subclasses set `dataset`, `classes` and `input_shape`, (3, points). torch-geometric's SamplePoints draws points on a
    mesh; of a cloud, points are drawn from its own. Both are then centred and scaled as in every task of clouds. The
    draw depends on the sample alone.
    """

    transform: ClassVar[Callable[[Any], Any] | None] = None
    """A transform of torch-geometric in place of drawing, centring and scaling; None for these."""

    def read(self, sample: Item) -> tuple[Tensor, Tensor]:
        with seeded(self.key(sample)) as generator:
            points = self._points(self._data(sample), sample, generator)
        return points, torch.tensor(self.label(sample))

    def label(self, sample: Item) -> int:
        return class_index(self._data(sample).y, self.classes, self.name)

    def _data(self, sample: Item) -> Any:
        data = self.item(sample)
        for field in ("pos", "y"):
            if getattr(data, field, None) is None:
                raise InvalidInput(
                    f"Sample {self.key(sample)} of task {self.name} has no {field}; Data needs pos and y."
                )
        return data

    def _points(self, data: Any, sample: Item, generator: np.random.Generator) -> Tensor:
        where = f"sample {self.key(sample)} of task {self.name}"
        change = type(self).transform
        if change is not None:
            found: Tensor = self._transformed(change, data, where).pos.detach().T.float().contiguous()
            if found.shape != self.input_shape:
                raise InvalidInput(
                    f"The transform of task {self.name} gives a cloud of shape {tuple(found.shape)} for sample "
                    f"{self.key(sample)}; it should be {self.input_shape}."
                )
            return found
        if len(self.input_shape) != 2 or self.input_shape[0] != 3 or self.points < 1:
            raise InvalidInput(
                f"The input_shape of task {self.name} is {self.input_shape}; without a transform it is (3, points)."
            )
        require_cloud(data.pos, where, (3,))
        if getattr(data, "face", None) is not None:
            require_faces(data.face, len(data.pos), where)
            draw = imported("torch_geometric.transforms.SamplePoints")(self.points)
            data = self._transformed(draw, data.clone(), where)
        points = data.pos.detach().double().numpy()
        return normalised(points[sample_indices(len(points), self.points, generator)], f"sample {self.key(sample)}")

    def _transformed(self, change: Callable[[Any], Any], data: Any, where: str) -> Any:
        """What a transform makes of `Data`: again a cloud.

        Raises:
            InvalidInput: the transform raises an error, or gives something else.
        """
        name = getattr(change, "__name__", type(change).__name__)
        try:
            found = change(data)
        except Exception as error:  # Whatever a library raises, the user has to know of which sample.
            raise InvalidInput(f"The transform {name} fails for {where}: {error or type(error).__name__}.") from error
        if getattr(found, "pos", None) is None:
            raise InvalidInput(f"The transform {name} gives {type(found).__name__} without pos for {where}.")
        require_cloud(found.pos, f"{where}, as {name} gives it", (3, self.input_shape[0]))
        return found


def require_cloud(pos: Any, where: str, channels: Container[int]) -> None:
    """Raises InvalidInput unless positions are finite numbers of shape (points, channels), of one point at least."""
    if not isinstance(pos, Tensor):
        raise InvalidInput(f"The pos of {where} is of type {type(pos).__name__}; it has to be a tensor.")
    if pos.ndim != 2 or pos.shape[1] not in channels or not len(pos):
        raise InvalidInput(f"The pos of {where} has shape {tuple(pos.shape)}; it should be (points, 3).")
    if pos.is_complex() or not pos.isfinite().all():
        raise InvalidInput(f"The pos of {where} holds something other than finite numbers.")


def require_faces(face: Any, vertices: int, where: str) -> None:
    """Raises InvalidInput unless faces are indices of vertices of shape (3, faces), of one face at least."""
    if not isinstance(face, Tensor) or face.is_floating_point() or face.is_complex() or face.dtype == torch.bool:
        kind = face.dtype if isinstance(face, Tensor) else type(face).__name__
        raise InvalidInput(f"The face of {where} is of type {kind}; it has to be a tensor of whole numbers.")
    if face.ndim != 2 or face.shape[0] != 3 or not face.shape[1]:
        raise InvalidInput(f"The face of {where} has shape {tuple(face.shape)}; it should be (3, faces).")
    low, high = int(face.min()), int(face.max())
    if low < 0 or high >= vertices:
        raise InvalidInput(
            f"The face of {where} names vertex {low if low < 0 else high}; it has {vertices}, counted from 0."
        )


@contextmanager
def seeded(name: str) -> Iterator[np.random.Generator]:
    """A generator seeded by a name. In the block torch's and NumPy's global generators are seeded by it, too."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield np.random.default_rng(seed)
        finally:
            np.random.set_state(state)
