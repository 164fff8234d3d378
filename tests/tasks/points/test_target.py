"""Parts as targets: the points and colours that they are drawn as."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

from tasks.drawing import Mark
from tasks.points.parts import PartSegmentation
from tasks.points.target import PartTarget


def test_points_are_as_many_as_the_cloud_has_in_the_colours_of_their_parts() -> None:
    cloud, parts = torch.randn(3, 50), torch.arange(50) % 2
    axis = Figure().subplots()
    assert type(PartSegmentation.target) is PartTarget
    PartTarget().draw(axis, cloud, parts, ("dot", "bar"))
    (drawn,) = axis.collections
    assert len(np.asarray(drawn.get_offsets())) == 50 and len(np.unique(np.asarray(drawn.get_facecolor()), axis=0)) == 2


def test_printed_points_have_the_colours_of_the_page() -> None:
    cloud, parts = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 1], dtype=torch.uint8)
    assert PartTarget().marks(parts) == [Mark(0), Mark(1)]
    axis = Figure().subplots()
    PartTarget().paint(axis, cloud, parts, {0: "#ff0000", 1: "#0000ff"})
    (drawn,) = axis.collections
    # The second point is the farther one, and drawn first.
    assert np.asarray(drawn.get_offsets()).tolist() == [[1, 1], [0, 0]]
    assert np.asarray(drawn.get_facecolor()).tolist() == [[0, 0, 1, 1], [1, 0, 0, 1]]
