"""Drawn clouds: solids as classes, and things of two or three parts. Their figures say nothing of other data."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from tasks.base import TASKS, Split, TaskInfo
from tasks.points.base import CloudClassification, CloudTask, Points, normalised
from tasks.points.parts import PartSegmentation
from tasks.points.solids import Generator, box, cone, cylinder, pyramid, sphere, torus

SIZES: dict[Split, tuple[int, int]] = {"train": (250, 0), "validation": (20, 1), "test": (40, 2)}
"""Number of shapes of each class in each split, and the seed that they are drawn by."""
GRID = 2.0**-12
"""Coordinates are rounded to multiples of it, since the last digits of a sine differ between machines."""
Solid = Callable[[Generator, int], Points]
Part = tuple[int, Points]
"""The label of a part and points on it."""


class DrawnClouds(CloudTask):
    """Clouds that are drawn by fixed seeds; nothing is read from disk."""

    layout = "nothing; the shapes are drawn."
    batch = 64
    kinds: ClassVar[tuple[str, ...]]
    """Names of the shapes; each is drawn equally often."""

    @classmethod
    @abstractmethod
    def draw(cls, generator: Generator, kind: int) -> tuple[Tensor, Tensor]:
        """Draws one sample of a kind; returns its cloud and its target."""

    def missing(self) -> str | None:
        return None

    def split(self, name: Split) -> Dataset[tuple[Tensor, Any]]:
        # torch's TensorDataset promises samples of any number of tensors.
        clouds: Dataset[tuple[Tensor, Any]] = _drawn(type(self), name)
        return clouds

    def digest(self) -> str:
        state = hashlib.sha256()
        for name in SIZES:
            for part in _drawn(type(self), name).tensors:
                state.update(part.numpy().tobytes())
        return state.hexdigest()


@cache
def _drawn(task: type[DrawnClouds], name: Split) -> Any:
    count, seed = SIZES[name]
    generator = np.random.default_rng(seed)
    samples = [task.draw(generator, index % len(task.kinds)) for index in range(count * len(task.kinds))]
    clouds, targets = zip(*samples, strict=True)
    return TensorDataset(torch.stack(clouds), torch.stack(targets))


def _cloud(generator: Generator, points: Points) -> Tensor:
    """Stretches points along every axis, turns them about y, adds noise, normalises and rounds: float32, (3, P)."""
    points = points * generator.uniform(0.7, 1.3, 3)
    angle = 2 * np.pi * generator.random()
    x, y, z = points.T
    points = np.stack([x * np.cos(angle) + z * np.sin(angle), y, z * np.cos(angle) - x * np.sin(angle)], axis=1)
    points = points + generator.normal(0, 0.02, points.shape)
    return (normalised(points, Path("drawn")) / GRID).round() * GRID


@TASKS.register("mini_points")
class MiniPoints(DrawnClouds, CloudClassification):
    """Six solids, 128 noisy points on each, stretched by 0.7 to 1.3 along every axis and turned about y."""

    info = TaskInfo("Drawn clouds of six solids")
    classes = ("sphere", "cube", "cylinder", "cone", "torus", "pyramid")
    kinds = classes
    input_shape = (3, 128)
    solids: ClassVar[tuple[Solid, ...]] = (sphere, box, cylinder, cone, torus, pyramid)

    @classmethod
    def draw(cls, generator: Generator, kind: int) -> tuple[Tensor, Tensor]:
        points = cls.solids[kind](generator, cls.input_shape[1])
        return _cloud(generator, points), torch.tensor(kind)


@TASKS.register("mini_parts")
class MiniParts(DrawnClouds, PartSegmentation):
    """Mugs, tables and lamps of two or three parts, 256 noisy points on each, stretched and turned.

    As in `shapenet_parts` the category is part of the input: a sample has three channels of coordinates and three more,
    of which that of its category is 1.
    """

    info = TaskInfo("Drawn clouds with parts")
    classes = ("mug body", "mug handle", "table top", "table legs", "lamp base", "lamp pole", "lamp shade")
    categories = {"Mug": (0, 1), "Table": (2, 3), "Lamp": (4, 5, 6)}  # noqa: RUF012
    kinds = tuple(categories)
    input_shape = (6, 256)

    @classmethod
    def draw(cls, generator: Generator, kind: int) -> tuple[Tensor, Tensor]:
        parts = (_mug, _table, _lamp)[kind](generator, cls.input_shape[1])
        first = cls.categories[cls.kinds[kind]][0]
        labels = np.concatenate([np.full(len(points), first + part) for part, points in parts])
        points = np.concatenate([points for _, points in parts])
        # In a random order, so that the index of a point says nothing of its part.
        order = generator.permutation(len(points))
        category = torch.eye(len(cls.kinds))[kind][:, None].expand(-1, len(points))
        cloud = torch.cat([_cloud(generator, points[order]), category])
        return cloud, torch.from_numpy(labels[order].astype(np.uint8))


def _mug(generator: Generator, count: int) -> list[Part]:
    """Draws a mug: a tube with a bottom, and half a ring at its side."""
    handle = count // 5
    radius, height = generator.uniform(0.6, 0.9), generator.uniform(1.4, 2.0)
    wall = cylinder(generator, count - handle - count // 6, radius, height, closed=False)
    bottom = _disc(generator, count // 6, radius) - [0, height / 2, 0]
    size = generator.uniform(0.4, 0.55)
    angle, tube = np.pi * (generator.random(handle) - 0.5), 2 * np.pi * generator.random(handle)
    away = size + 0.1 * np.cos(tube)
    ring = np.stack([radius + away * np.cos(angle), away * np.sin(angle), 0.1 * np.sin(tube)], axis=1)
    return [(0, np.concatenate([wall, bottom])), (1, ring)]


def _table(generator: Generator, count: int) -> list[Part]:
    """Draws a table: a board on four legs."""
    width, depth, height = generator.uniform(1.6, 2.4), generator.uniform(1.0, 1.6), generator.uniform(0.8, 1.4)
    legs = count // 8
    top = box(generator, count - 4 * legs, width, 0.15, depth) + np.array([0, height / 2, 0])
    corners = [(x * (width / 2 - 0.1), z * (depth / 2 - 0.1)) for x in (-1, 1) for z in (-1, 1)]
    below = [box(generator, legs, 0.15, height, 0.15) + np.array([x, 0, z]) for x, z in corners]
    return [(0, top), (1, np.concatenate(below))]


def _lamp(generator: Generator, count: int) -> list[Part]:
    """Draws a lamp: a foot, which a third of them lack, a pole and a shade."""
    height, wide = generator.uniform(1.6, 2.4), generator.uniform(0.5, 0.8)
    pole = cylinder(generator, count // 4, 0.06, height)
    foot = count // 4 if generator.random() > 1 / 3 else 0
    base = cylinder(generator, foot, wide, 0.12) - [0, height / 2, 0]
    shade = cone(generator, count - len(pole) - foot, wide, 0.4 * wide, 0.6, closed=False) + np.array(
        [0, height / 2, 0]
    )
    return [(0, base), (1, pole), (2, shade)]


def _disc(generator: Generator, count: int, radius: float) -> Points:
    away, angle = radius * np.sqrt(generator.random(count)), 2 * np.pi * generator.random(count)
    return np.stack([away * np.cos(angle), np.zeros(count), away * np.sin(angle)], axis=1)
