"""Small drawn scenes to find shapes in: detection without data on disk. Its figures say nothing of other data."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tasks.base import TASKS, Split, TaskInfo
from tasks.detection.base import Detection
from tasks.detection.boxes import Boxes

SIDE, SMALLEST, LARGEST, MOST = 64, 12, 28, 4
SIZES: dict[Split, tuple[int, int]] = {"train": (1024, 0), "validation": (128, 1), "test": (256, 2)}
"""Number of scenes of each split, and the seed that they are drawn by."""


class Scenes(Dataset[tuple[Tensor, Boxes]]):
    """Drawn images, all in memory.

    Args:
        images: uint8 of shape (N, 3, H, W).
        boxes: the true boxes of each image.
    """

    def __init__(self, images: Tensor, boxes: list[Boxes]) -> None:
        self.images = images
        self.boxes = boxes

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int) -> tuple[Tensor, Boxes]:
        return self.images[index], self.boxes[index]


@TASKS.register("mini_detection")
class MiniDetection(Detection):
    """Circles, squares and crosses, one to four on a noisy 64x64 image, drawn by fixed seeds; scored by AP at IoU .5.

    Shapes are 12 to 28 pixels wide and overlap by no more than their boxes' tenth. Nothing is read from disk.
    """

    info = TaskInfo("Drawn scenes to find shapes in")
    classes = ("circle", "square", "cross")
    anchors = ((0.43, 0.43), (0.61, 0.61), (0.80, 0.80))
    input_shape = (3, SIDE, SIDE)
    layout = "nothing; the scenes are drawn."
    batch = 64

    def missing(self) -> str | None:
        return None

    def split(self, name: Split) -> Scenes:
        return _scenes(*SIZES[name])

    def digest(self) -> str:
        return _digest()


@lru_cache(maxsize=3)
def _scenes(count: int, seed: int) -> Scenes:
    generator = torch.Generator().manual_seed(seed)
    drawn = [_scene(generator, f"{seed}/{index}") for index in range(count)]
    return Scenes(torch.stack([image for image, _ in drawn]), [boxes for _, boxes in drawn])


@lru_cache(maxsize=1)
def _digest() -> str:
    state = hashlib.sha256()
    for count, seed in SIZES.values():
        scenes = _scenes(count, seed)
        state.update(scenes.images.numpy().tobytes())
        for boxes in scenes.boxes:
            state.update(boxes.content())
    return state.hexdigest()


def _scene(generator: torch.Generator, name: str) -> tuple[Tensor, Boxes]:
    """Draws a background of one colour, shapes of others, and noise over all."""

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    ground = torch.randint(0, 256, (3, 1, 1), generator=generator)
    image = ground.expand(3, SIDE, SIDE).float().clone()
    corners: list[list[float]] = []
    labels: list[int] = []
    for _ in range(number(1, MOST)):
        side = number(SMALLEST, LARGEST)
        x, y = number(0, SIDE - side), number(0, SIDE - side)
        if any(_common(x, y, side, other) > 0.1 for other in corners):
            continue
        label = number(0, 2)
        # At least 64 levels from the background in every channel, in the direction that has room.
        away = torch.randint(64, 128, (3, 1, 1), generator=generator)
        colour = torch.where(ground < 128, ground + away, ground - away).float()
        patch = image[:, y : y + side, x : x + side]
        image[:, y : y + side, x : x + side] = torch.where(_shape(label, side), colour, patch)
        corners.append([float(x), float(y), float(x + side), float(y + side)])
        labels.append(label)
    # Integers, so that images are the same on every machine.
    noise = torch.randint(-20, 21, (3, SIDE, SIDE), generator=generator)
    return (image + noise).clamp(0, 255).to(torch.uint8), Boxes.of(
        corners, labels, [False] * len(labels), (SIDE, SIDE), name
    )


def _common(x: int, y: int, side: int, other: list[float]) -> float:
    """The share of the smaller of two boxes that lies in both."""
    x1, y1, x2, y2 = other
    wide, high = min(x + side, x2) - max(x, x1), min(y + side, y2) - max(y, y1)
    return max(wide, 0.0) * max(high, 0.0) / min(side * side, (x2 - x1) * (y2 - y1))


def _shape(label: int, side: int) -> Tensor:
    """The pixels of a box that belong to its shape, bool of shape (side, side)."""
    place = torch.arange(side) - (side - 1) / 2
    if label == 0:
        return place[:, None] ** 2 + place[None, :] ** 2 <= (side / 2) ** 2
    if label == 1:
        return torch.ones(side, side, dtype=torch.bool)
    bar = place.abs() <= side / 6
    return bar[:, None] | bar[None, :]
