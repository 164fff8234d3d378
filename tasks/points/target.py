"""Parts of shapes as targets, drawn as the colours of a cloud's points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tasks.drawing import Mark, Printed, palette
from tasks.images.target import PlaceTarget

if TYPE_CHECKING:  # It takes a moment to load, and only `report` draws.
    from matplotlib.axes import Axes


class PartTarget(PlaceTarget, Printed):
    """The part that each point belongs to."""

    called = "Parts"
    hides = False
    key = "Seen from the front."

    def recomputed(self, samples: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """The mean over instances is that of the shapes' own; the mean over categories needs their categories."""
        return {"instance_miou": 100 * float(samples["outcome"].mean(dtype=float))}

    def probe(self, classes: int) -> tuple[Tensor, Tensor]:
        """Scores and labels of one cloud, whose points are of one part after the other."""
        scores, labels = super().probe(classes)
        return scores[None], labels[None]

    def draw(self, axis: Axes, sample: Tensor, answer: Tensor, classes: Sequence[str]) -> None:
        """Draws points seen from the front, the nearer ones on top, in the colours of their parts."""
        x, y, z = sample[:3].numpy()
        order = np.argsort(z)
        colours = np.array(palette(int(max(len(classes), int(answer.max()) + 1))))[answer.numpy().astype(int)] / 255
        axis.scatter(x[order], y[order], s=2, c=colours[order], linewidths=0)
        axis.set_aspect("equal")

    def marks(self, answer: Tensor) -> list[Mark]:
        """The parts of the shape, those of most points first."""
        labels, points = answer.unique(return_counts=True)
        return [Mark(label) for label in labels[points.argsort(descending=True, stable=True)].tolist()]

    def paint(self, axis: Axes, sample: Tensor, answer: Tensor, colours: Mapping[int, str]) -> None:
        """The points seen from the front, the nearer ones on top, in the colours of their parts."""
        x, y, z = sample[:3].numpy()
        order = np.argsort(z)
        parts = [colours[label] for label in answer[order].tolist()]
        axis.scatter(x[order], y[order], s=2, c=parts, linewidths=0)
        axis.set_aspect("equal", adjustable="datalim")
