"""SHREC: 30 kinds of things in many poses, as the meshes that MeshCNN reduced to 500 faces."""

from __future__ import annotations

import numpy as np

from tasks.base import TASKS, TaskInfo
from tasks.points.base import Points
from tasks.points.meshes import MeshClassification


@TASKS.register("shrec16")
class Shrec16(MeshClassification):
    """600 non-rigid shapes of 30 classes (Lian et al., SHREC'11 Track, 2011), in MeshCNN's split of 16 and 4 a class.

    512 points are drawn on each mesh, by a seed of its own. The meshes lie along their principal axes, whose sign is
    arbitrary: coordinates along an axis are negated where their third moment is negative.
    """

    info = TaskInfo(
        "SHREC: non-rigid shapes of 30 classes, as meshes of 500 faces",
        "Lian et al., SHREC'11 Track: Shape Retrieval on Non-rigid 3D Watertight Meshes, 3DOR 2011; these meshes "
        'are those of Hanocka et al., "MeshCNN", SIGGRAPH 2019',
        "https://github.com/ranahanocka/MeshCNN",
        expected="accuracy 98.6 by MeshCNN, by its paper",
    )
    input_shape = (3, 512)
    folders = ("shrec_16",)
    suffix = ".obj"
    layout = "shrec_16/<class>/{train,test}/*.obj, 30 classes, as MeshCNN's archive unpacks."
    classes = (
        "alien", "ants", "armadillo", "bird1", "bird2", "camel", "cat", "centaur", "dino_ske", "dinosaur", "dog1",
        "dog2", "flamingo", "glasses", "gorilla", "hand", "horse", "lamp", "laptop", "man", "myScissor", "octopus",
        "pliers", "rabbit", "santa", "shark", "snake", "spiders", "two_balls", "woman",
    )  # fmt: skip

    def aligned(self, points: Points) -> Points:
        moments = ((points - points.mean(0)) ** 3).mean(0)
        return np.where(moments < 0, -points, points)
