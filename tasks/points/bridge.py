"""Any dataset of clouds or meshes of torch-geometric as a task (docs/bridges.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
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
        change = type(self).transform
        if change is not None:
            found: Tensor = change(data).pos.T.float().contiguous()
            if found.shape != self.input_shape:
                raise InvalidInput(
                    f"The transform of task {self.name} gives a cloud of shape {tuple(found.shape)} for sample "
                    f"{self.key(sample)}; it should be {self.input_shape}."
                )
            return found
        if getattr(data, "face", None) is not None:
            data = imported("torch_geometric.transforms.SamplePoints")(self.points)(data.clone())
        points = data.pos.double().numpy()
        return normalised(points[sample_indices(len(points), self.points, generator)], f"sample {self.key(sample)}")


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
