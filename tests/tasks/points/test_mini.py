"""The drawn clouds: always the same, evenly spread over surfaces, all parts where they should be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tasks import TASKS
from tasks.points.base import Points
from tasks.points.mini import GRID, MiniParts, _drawn
from tasks.points.solids import box, cone, cylinder, pyramid, sphere, torus

MANY = 40_000


def drawn(solid: Callable[..., Points], **sizes: object) -> Points:
    return solid(np.random.default_rng(0), MANY, **sizes)


# Mean height and second moments about y and along it, by integrating over the surface.
@pytest.mark.parametrize(
    ("points", "height", "around", "along"),
    [
        (drawn(sphere), 0, 2 / 3, 1 / 3),
        # Two of six sides lie at y = -1 and 1, four spread over it: (2 + 4/3) / 6. The same for x and z.
        (drawn(box), 0, 2 * (2 + 4 / 3) / 6, (2 + 4 / 3) / 6),
        # Side 4 pi, ends 2 pi: r^2 = 1 and 1/2; y^2 = 1/3 and 1.
        (drawn(cylinder), 0, (4 + 2 * 0.5) / 6, (4 / 3 + 2) / 6),
        (drawn(cylinder, closed=False), 0, 1, 1 / 3),
        # Side pi sqrt(5), base pi; over a side r^2 is 1/2 and y, 2 (1 - r) - 1, has the mean -1/3 and y^2 1/3.
        (drawn(cone), -(5**0.5 / 3 + 1) / (5**0.5 + 1), 0.5, (5**0.5 / 3 + 1) / (5**0.5 + 1)),
        # The area element is R + r cos: around is R^2 + 3/2 r^2, along r^2 / 2.
        (drawn(torus), 0, 1 + 1.5 * 0.16, 0.08),
    ],
)
def test_points_are_spread_evenly(points: Points, height: float, around: float, along: float) -> None:
    x, y, z = points.T
    assert (y.mean(), (x**2 + z**2).mean(), (y**2).mean()) == pytest.approx((height, around, along), abs=0.015)
    assert (x.mean(), z.mean()) == pytest.approx((0, 0), abs=0.02)


def test_a_pyramid_has_its_points_on_its_five_sides() -> None:
    """The base is 4, each side sqrt(5): |x| or |z| is (1 - y) / 2 there."""
    x, y, z = drawn(pyramid).T
    base, side = np.isclose(y, -1), np.isclose(np.maximum(np.abs(x), np.abs(z)), (1 - y) / 2)
    assert (base | side).all()
    assert base.mean() == pytest.approx(4 / (4 + 4 * 5**0.5), abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mini_points", "mini_parts"])
def test_clouds_are_the_same_in_every_process_and_on_a_grid(name: str) -> None:
    first = TASKS[name]().digest()
    _drawn.cache_clear()
    assert TASKS[name]().digest() == first
    points = _drawn(TASKS[name], "test").tensors[0][:, :3] / GRID
    assert torch.equal(points, points.round())


def test_every_solid_comes_as_often_as_the_others() -> None:
    for name, count in (("train", 250), ("validation", 20), ("test", 40)):
        assert _drawn(TASKS["mini_points"], name).tensors[1].bincount().tolist() == [count] * 6


def test_parts_are_those_of_the_category_and_lie_where_they_should() -> None:
    clouds, labels = _drawn(MiniParts, "test").tensors
    lamps = 0
    for cloud, parts in zip(clouds, labels, strict=True):
        kind = int(cloud[3:, 0].argmax())
        assert torch.equal(cloud[3:].sum(1), torch.nn.functional.one_hot(torch.tensor(kind), 3) * 256)
        own = MiniParts.categories[MiniParts.kinds[kind]]
        assert set(parts.unique().tolist()) <= set(own)
        if kind == 1:  # Tables: the top is above its legs.
            assert cloud[1, parts == own[0]].mean() > cloud[1, parts == own[1]].mean()
        if kind == 2:  # Lamps: base below pole below shade; some have no base.
            heights = [float(cloud[1, parts == part].mean()) for part in own if bool((parts == part).any())]
            assert heights == sorted(heights)
            lamps += own[0] not in parts
        if kind == 0:  # Mugs: the body is around its axis, the handle on one side.
            body, handle = (cloud[[0, 2]][:, parts == part] for part in own)
            side = handle.mean(1) - body.mean(1)
            assert side.norm() > (body - body.mean(1, keepdim=True)).norm(dim=0).mean()
    assert 5 <= lamps <= 22  # A third of 40.
