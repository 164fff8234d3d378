"""Parts as targets: the points and colours that they are drawn as."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

from tasks.points.parts import PartSegmentation
from tasks.points.target import PartTarget


def test_points_are_as_many_as_the_cloud_has_in_the_colours_of_their_parts() -> None:
    cloud, parts = torch.randn(3, 50), torch.arange(50) % 2
    axis = Figure().subplots()
    assert type(PartSegmentation.target) is PartTarget
    PartTarget().draw(axis, cloud, parts, ("dot", "bar"))
    (drawn,) = axis.collections
    assert len(np.asarray(drawn.get_offsets())) == 50 and len(np.unique(np.asarray(drawn.get_facecolor()), axis=0)) == 2
