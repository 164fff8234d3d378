"""ModelNet: CAD models of 10 or 40 kinds of things (Wu et al., "3D ShapeNets", CVPR 2015)."""

from __future__ import annotations

import numpy as np

from tasks.base import TASKS, TaskInfo
from tasks.points.base import Points
from tasks.points.meshes import MeshClassification


class ModelNet(MeshClassification):
    """Meshes in OFF files, with the official split; 1,024 points are drawn on each. z points up in the files."""

    info = TaskInfo(
        "ModelNet: CAD models of things",
        'Wu et al., "3D ShapeNets: A Deep Representation for Volumetric Shapes", CVPR 2015',
        "https://modelnet.cs.princeton.edu",
    )
    input_shape = (3, 1024)
    suffix = ".off"

    def aligned(self, points: Points) -> Points:
        """Turns points so that y points up."""
        x, y, z = points.T
        return np.stack([x, z, -y], axis=1)


@TASKS.register("modelnet10")
class ModelNet10(ModelNet):
    """ModelNet10: 3,991 training and 908 test models, all upright and facing one way."""

    folders = ("ModelNet10/raw", "ModelNet10")
    layout = "ModelNet10/<class>/{train,test}/*.off, or ModelNet10/raw/ as torch-geometric keeps them."
    classes = ("bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa", "table", "toilet")


@TASKS.register("modelnet40")
class ModelNet40(ModelNet):
    """ModelNet40: 9,843 training and 2,468 test models, upright."""

    folders = ("ModelNet40/raw", "ModelNet40")
    layout = "ModelNet40/<class>/{train,test}/*.off, or ModelNet40/raw/ as torch-geometric keeps them."
    classes = (
        "airplane", "bathtub", "bed", "bench", "bookshelf", "bottle", "bowl", "car", "chair", "cone", "cup", "curtain",
        "desk", "door", "dresser", "flower_pot", "glass_box", "guitar", "keyboard", "lamp", "laptop", "mantel",
        "monitor", "night_stand", "person", "piano", "plant", "radio", "range_hood", "sink", "sofa", "stairs", "stool",
        "table", "tent", "toilet", "tv_stand", "vase", "wardrobe", "xbox",
    )  # fmt: skip
