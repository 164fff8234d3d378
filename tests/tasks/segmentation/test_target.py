"""Maps as targets: the colours that they are drawn in."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

from tasks.drawing import Mark
from tasks.segmentation.base import IGNORE, Segmentation
from tasks.segmentation.target import MapTarget


def test_maps_colour_their_classes_and_nothing_where_none_is_known() -> None:
    target = torch.tensor([[0, 1], [255, 0]], dtype=torch.uint8)
    axis = Figure().subplots()
    assert Segmentation.target == MapTarget(IGNORE)
    MapTarget(IGNORE).draw(axis, torch.full((3, 2, 2), 100, dtype=torch.uint8), target, ("dot", "bar"))
    shown = np.asarray(axis.images[0].get_array())
    assert shown[1, 0].tolist() == [100, 100, 100]
    assert shown[0, 0].tolist() == shown[1, 1].tolist() != shown[0, 1].tolist()


def test_printed_maps_are_colours_alone_the_largest_class_first() -> None:
    target = torch.tensor([[0, 1], [255, 1]], dtype=torch.uint8)
    assert MapTarget(IGNORE).marks(target) == [Mark(1), Mark(0)]
    axis = Figure().subplots()
    MapTarget(IGNORE).paint(
        axis, torch.full((3, 2, 2), 100, dtype=torch.uint8), target, {0: "#ff0000", 1: "#0000ff"}
    )  # fmt: skip
    shown = np.asarray(axis.images[0].get_array())
    assert shown.tolist() == [[[1, 0, 0], [0, 0, 1]], [[1, 1, 1], [0, 0, 1]]]
