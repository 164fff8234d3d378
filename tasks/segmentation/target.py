"""Maps of classes as targets, drawn as colours over their image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tasks.drawing import Mark, Printed, palette
from tasks.images.target import PlaceTarget

if TYPE_CHECKING:  # It takes a moment to load, and only `report` draws.
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class MapTarget(PlaceTarget, Printed):
    """The class of each pixel.

    Attributes:
        ignore: the label of pixels whose class is not known, which count nowhere.
    """

    called = "Maps"
    hides = True
    key = "White pixels have no class."
    ignore: int

    def known(self, targets: Tensor, classes: int) -> Tensor:
        return (targets < classes) | (targets == self.ignore)

    def fault(self, targets: Tensor, inputs: Tensor, classes: int, split: str) -> str | None:
        fault = super().fault(targets, inputs, classes, split)
        if fault is None and bool((targets == self.ignore).all()):
            return f"Not one pixel of {split} is labelled."
        return fault

    def probe(self, classes: int) -> tuple[Tensor, Tensor]:
        """Scores and labels of a map of one row, whose pixels are of one class after the other."""
        scores, labels = super().probe(classes)
        return scores[None, :, None], labels[None, None]

    def draw(self, axis: Axes, sample: Tensor, answer: Tensor, classes: Sequence[str]) -> None:
        """Draws each class's colour over its pixels, and nothing over ignored ones."""
        from torchvision.utils import draw_segmentation_masks

        masks = answer[None] == torch.arange(len(classes))[:, None, None]
        axis.imshow(draw_segmentation_masks(sample, masks, 0.6, palette(len(classes))).permute(1, 2, 0).numpy())

    def marks(self, answer: Tensor) -> list[Mark]:
        """The classes of the map, those of most pixels first."""
        labels, pixels = answer[answer != self.ignore].unique(return_counts=True)
        return [Mark(label) for label in labels[pixels.argsort(descending=True, stable=True)].tolist()]

    def paint(self, axis: Axes, sample: Tensor, answer: Tensor, colours: Mapping[int, str]) -> None:
        """The map in the colours of its classes; white where none is known."""
        from matplotlib.colors import to_rgb

        page = torch.ones(*answer.shape, 3)
        for mark in self.marks(answer):
            page[answer == mark.label] = torch.tensor(to_rgb(colours[mark.label]))
        axis.imshow(page.numpy(), interpolation="nearest")
