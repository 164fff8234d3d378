"""The drawn scenes: always the same, every class in every split, shapes of the area they should have."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tasks import TASKS
from tasks.base import Split
from tasks.segmentation.mini import SIDE, _distance, _drawn

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@pytest.mark.slow
def test_scenes_are_the_same_in_every_process() -> None:
    first = TASKS["mini_segmentation"]().digest()
    _drawn.cache_clear()
    assert TASKS["mini_segmentation"]().digest() == first


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("train", 1600), ("validation", 160), ("test", 160)])
def test_every_class_and_unknown_pixels_are_in_every_split(name: Split, count: int) -> None:
    split = TASKS["mini_segmentation"]().split(name)
    assert len(split) == count  # type: ignore[arg-type]
    share = split.labels.flatten().bincount(minlength=256) / split.labels.numel()  # type: ignore[attr-defined]
    assert share[0] > 0.5 and share[1:4].min() > 0.05 and 0.01 < share[255] < 0.1
    assert share[4:255].sum() == 0


@pytest.mark.parametrize(("shape", "area"), [(1, np.pi), (2, 4 * 0.85**2), (3, 3 * 3**0.5 * 0.6**2)])
def test_shapes_have_the_area_of_their_formula(shape: int, area: float) -> None:
    """A disc of radius r, a square of half side 0.85 r, a triangle of inner radius 0.6 r, fully inside the scene."""

    class Fixed:
        def uniform(self, low: float, high: float, size: int | None = None) -> object:
            return np.array([SIDE / 2, SIDE / 2]) if size else (12.0 if high == 14 else 0.3)

    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    inside = (_distance(shape, x, y, Fixed()) < 0).sum()  # type: ignore[arg-type]
    assert inside == pytest.approx(area * 12**2, rel=0.05)


@pytest.mark.slow
def test_samples_are_images_and_maps_of_one_size() -> None:
    image, target = TASKS["mini_segmentation"]().split("test")[0]
    assert (image.shape, image.dtype) == ((3, SIDE, SIDE), torch.uint8)
    assert (target.shape, target.dtype) == ((SIDE, SIDE), torch.uint8)
