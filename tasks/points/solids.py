"""Points on the surfaces of solids, spread evenly; drawn shapes are made of them.

Every function takes a generator and a number of points and returns them, shape (count, 3); y points up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.points.base import Points
from tasks.points.meshes import Mesh

TURN = 2 * np.pi
Generator = np.random.Generator


def sphere(generator: Generator, count: int) -> Points:
    """A sphere of radius 1 around the origin."""
    points = generator.standard_normal((count, 3))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def box(generator: Generator, count: int, width: float = 2.0, height: float = 2.0, depth: float = 2.0) -> Points:
    """A box around the origin."""
    return _hull(
        [
            [x, y, z]
            for x in (-width / 2, width / 2)
            for y in (-height / 2, height / 2)
            for z in (-depth / 2, depth / 2)
        ],
        [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]],
    ).sample(count, generator)


def pyramid(generator: Generator, count: int) -> Points:
    """A pyramid on a square of side 2, 2 high."""
    corners = [[-1, -1, -1], [1, -1, -1], [1, -1, 1], [-1, -1, 1], [0, 1, 0]]
    return _hull(corners, [[0, 1, 2, 3], [0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]).sample(count, generator)


def cylinder(
    generator: Generator, count: int, radius: float = 1.0, height: float = 2.0, *, closed: bool = True
) -> Points:
    """A cylinder about the y-axis, around the origin; `closed` at both ends, or a tube."""
    end = radius / (2 * (radius + height)) if closed else 0.0
    angle = TURN * generator.random(count)
    share = generator.random(count)
    ends = share < 2 * end
    away = np.where(ends, radius * np.sqrt(generator.random(count)), radius)
    y = np.where(ends, np.where(share < end, -height / 2, height / 2), height * (generator.random(count) - 0.5))
    return np.stack([away * np.cos(angle), y, away * np.sin(angle)], axis=1)


def cone(
    generator: Generator,
    count: int,
    lower: float = 1.0,
    upper: float = 0.0,
    height: float = 2.0,
    *,
    closed: bool = True,
) -> Points:
    """A cone about the y-axis that narrows from one radius to another; `closed` below."""
    slope = np.hypot(lower - upper, height)
    side, base = np.pi * (lower + upper) * slope, np.pi * lower**2 * closed
    angle = TURN * generator.random(count)
    below = generator.random(count) < base / (side + base)
    # The radius of a point on the side, larger radii being more frequent, in proportion to the area.
    radius = np.sqrt(upper**2 + (lower**2 - upper**2) * generator.random(count))
    away = np.where(below, lower * np.sqrt(generator.random(count)), radius)
    y = np.where(below, 0.0, height * (lower - radius) / (lower - upper))
    return np.stack([away * np.cos(angle), y - height / 2, away * np.sin(angle)], axis=1)


def torus(generator: Generator, count: int, radius: float = 1.0, tube: float = 0.4) -> Points:
    """A torus about the y-axis."""
    angle = np.empty(0)
    while len(angle) < count:
        # The outside has more area than the inside.
        drawn = TURN * generator.random(2 * count)
        kept = generator.random(2 * count) * (radius + tube) < radius + tube * np.cos(drawn)
        angle = np.concatenate([angle, drawn[kept]])
    angle, around = angle[:count], TURN * generator.random(count)
    away = radius + tube * np.cos(angle)
    return np.stack([away * np.cos(around), tube * np.sin(angle), away * np.sin(around)], axis=1)


def _hull(vertices: Sequence[Sequence[float]], polygons: list[list[int]]) -> Mesh:
    triangles = [[face[0], face[i], face[i + 1]] for face in polygons for i in range(1, len(face) - 1)]
    return Mesh(np.array(vertices, dtype=np.float64), np.array(triangles))
