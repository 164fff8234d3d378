"""Clouds, meshes and their lists."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tasks.points.base import normalised
from tasks.points.meshes import read_mesh
from tasks.points.shapenet_files import CATEGORIES, LISTS, count_points, listed, read_parts
from tests.fuzz.foreign.parser import Parser, written
from tests.tasks.points import shapes


def cloud(path: Path) -> object:
    points, _ = read_parts(path, {0: 0, 1: 1})
    count_points(path)
    return normalised(points, path)


def mesh(path: Path) -> object:
    points = read_mesh(path).sample(64, np.random.default_rng(0))
    return normalised(points, path)


def polyhedra(suffix: str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        maker = shapes.obj if suffix == ".obj" else shapes.off
        first = maker(folder / f"0{suffix}", shapes.vertices(0), shapes.TETRAHEDRON)
        return [first, maker(folder / f"1{suffix}", shapes.vertices(1), [[0, 1, 2, 3], [0, 2, 3]])]

    return write


POINTS = "".join(f"{x} {x * 0.5} {1 - x} 0 0 1 {int(x * 10) % 2}.0\n" for x in np.linspace(0, 1, 12).round(3))
TABLE = "Airplane\t02691156\nBag\t02773838\n"
NAMES = json.dumps([f"shape_data/{place}/{k}" for place in ("02691156", "02773838") for k in "ab"])


def shapenet(path: Path) -> object:
    """The listing of which one file is mutated."""
    root = path.parent.parent if path.parent.name == LISTS else path.parent
    (root / LISTS).mkdir(exist_ok=True)
    for name, content in (
        (CATEGORIES, TABLE),
        *((f"{LISTS}/shuffled_{k}_file_list.json", NAMES) for k in ("train", "val", "test")),
    ):
        if not (root / name).exists():
            (root / name).write_text(content)
    return listed(root, ("Airplane", "Bag"))


PARSERS: tuple[Parser, ...] = (
    Parser("obj", "a.obj", polyhedra(".obj"), mesh),
    Parser("off", "a.off", polyhedra(".off"), mesh),
    Parser("points", "a.txt", written("a.txt", POINTS), cloud),
    Parser("categories", CATEGORIES, written("x.txt", TABLE), shapenet),
    Parser("shape list", f"{LISTS}/shuffled_train_file_list.json", written("x.json", NAMES), shapenet),
)  # fmt: skip
