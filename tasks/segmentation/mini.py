"""Drawn scenes to segment: semantic segmentation without data on disk."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.base import TASKS, Split, TaskInfo
from tasks.images.base import ImageSplits, LabelledImages
from tasks.segmentation.base import Segmentation

SIDE, SIZES, SEED = 48, {"train": 1600, "validation": 160, "test": 160}, 0


@TASKS.register("mini_segmentation")
class MiniSegmentation(Segmentation):
    """48x48 scenes with one to four overlapping discs, squares and triangles on a shaded ground, under noise.

    Drawn by a seeded generator: 1,600 training, 160 validation and 160 test scenes. Colours say nothing of the class. A
    line of unknown pixels, 255, lies around every shape, as in VOC.
    """

    info = TaskInfo("Drawn scenes to segment")
    input_shape = (3, SIDE, SIDE)
    batch = 32
    classes = ("background", "disc", "square", "triangle")
    layout = "nothing; the scenes are drawn."

    def missing(self) -> str | None:
        return None

    def split(self, name: Split) -> LabelledImages:
        return {"train": _drawn().train, "validation": _drawn().validation, "test": _drawn().test}[name]

    def digest(self) -> str:
        return _drawn().digest


@lru_cache(maxsize=1)
def _drawn() -> ImageSplits:
    random = np.random.default_rng(SEED)
    scenes = [[_scene(random) for _ in range(count)] for count in SIZES.values()]
    splits = (
        LabelledImages(
            torch.from_numpy(np.stack([image for image, _ in part])).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(np.stack([target for _, target in part])),
        )
        for part in scenes
    )
    return ImageSplits(*splits)


def _scene(random: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image of shape (H, W, 3) and its map of classes."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    slope = random.uniform(-1, 1, (2, 3))
    image = random.uniform(60, 200, 3) + (y[..., None] - SIDE / 2) * slope[0] + (x[..., None] - SIDE / 2) * slope[1]
    target = np.zeros((SIDE, SIDE), dtype=np.uint8)
    for _ in range(random.integers(1, 5)):
        shape = int(random.integers(1, 4))
        distance = _distance(shape, x, y, random)
        # Different enough from the background, but not of a colour that gives the class away.
        colour = image[distance < 0].mean(0) + random.choice((-1, 1)) * random.uniform(40, 90, 3)
        image[distance < 0] = colour
        target[np.abs(distance) < 0.7] = 255
        target[distance <= -0.7] = shape
    image = image + random.normal(0, 8, image.shape)
    return image.clip(0, 255).round().astype(np.uint8), target


def _distance(
    shape: int, x: NDArray[np.float64], y: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """The distance of every pixel to a shape of random position, size and angle, shape (H, W); negative inside."""
    (centre_x, centre_y), radius, angle = random.uniform(10, SIDE - 10, 2), random.uniform(8, 14), random.uniform(0, 7)
    u, v = x - centre_x, y - centre_y
    if shape == 1:
        outside: NDArray[np.float64] = np.sqrt(u**2 + v**2) - radius
        return outside
    corners = {2: 4, 3: 3}[shape]
    # The inside of a regular polygon: on the near side of all its edges.
    turns = angle + 2 * np.pi * np.arange(corners) / corners
    reach = radius * (0.85 if corners == 4 else 0.6)
    edges: NDArray[np.float64] = np.stack([u * np.cos(turn) + v * np.sin(turn) - reach for turn in turns]).max(0)
    return edges
