"""The simulated camera: what a pixel fires follows from what it saw."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tasks import TASKS
from tasks.events.encoding import Events
from tasks.events.files import checked
from tasks.events.mini import (
    DARK,
    INTERVAL,
    PATH,
    SCALE,
    SIDE,
    THRESHOLD,
    MiniEvents,
    _brightness,
    simulate_camera,
    simulated,
)


@cache
def one() -> tuple[np.ndarray, Events]:
    """A digit, and what the camera sends of it."""
    image = np.random.default_rng(0).integers(0, 256, (1, 8, 8), dtype=np.uint8)
    (events,) = simulate_camera(image)
    return image, events


def level(brightness: np.ndarray) -> np.ndarray:
    return np.round(SCALE * np.log(DARK + brightness)).astype(int)


def test_a_pixel_follows_the_logarithm_of_its_brightness() -> None:
    """At every look it has fired so often, up less down, that less than a threshold is left to what it sees."""
    image, events = one()
    start = level(_brightness(image, (0, 0)))[0]
    for look, (x, y) in enumerate(PATH):
        seen = events[events["t"] <= INTERVAL * (look + 1)]
        fired = np.zeros((SIDE, SIDE), int)
        np.add.at(fired, (seen["y"], seen["x"]), 2 * seen["p"].astype(int) - 1)
        left = level(_brightness(image, (int(x), int(y))))[0] - start - THRESHOLD * fired
        assert np.abs(left).max() < THRESHOLD


def test_an_event_lies_where_the_threshold_was_crossed() -> None:
    """Between two looks the logarithm is taken for a straight line; a brighter pixel fires 1, a darker 0."""
    dark = np.zeros((1, 8, 8), np.uint8)
    assert [len(events) for events in simulate_camera(dark)] == [0]
    image = dark.copy()
    image[0, 4, 4] = 255
    (events,) = simulate_camera(image)
    first = events[events["t"] <= INTERVAL]
    change = level(_brightness(image, (int(PATH[0][0]), int(PATH[0][1]))))[0] - level(_brightness(image, (0, 0)))[0]
    for t, x, y, p in first.tolist():
        assert (change[y, x] > 0) == (p == 1)
        assert t in [INTERVAL * n * THRESHOLD // abs(int(change[y, x])) for n in range(1, 20)]
    assert len(first) == int((np.abs(change) // THRESHOLD).sum())


def test_without_a_shift_a_pixel_of_the_digit_is_two_of_the_camera() -> None:
    """Bilinear at a quarter of a pixel: 9, 3, 3 and 1 sixteenths of its neighbours; dark around."""
    image = np.zeros((1, 8, 8), np.uint8)
    image[0, 3, 3] = 160
    seen = _brightness(image, (0, 0))[0]
    assert seen[6:8, 6:8].tolist() == [[90, 90], [90, 90]]
    assert seen[5, 5:9].tolist() == [10, 30, 30, 10] and seen.sum() == 4 * 160
    # One pixel of the camera to the right.
    assert np.array_equal(_brightness(image, (16, 0))[0][:, 1:], seen[:, :-1])


def test_recordings_are_those_of_a_camera() -> None:
    recordings, labels = simulated("test")
    assert len(recordings) == len(labels) == 539
    for events in recordings[:50]:
        checked(events, MiniEvents.sensor, __file__)
        assert len(events) > 300 and events["t"][-1] <= INTERVAL * len(PATH)


@pytest.mark.parametrize("name", ["mini_events", "mini_events_temporal"])
def test_every_event_is_in_the_sample(name: str) -> None:
    recordings, _ = simulated("validation")
    images = TASKS[name]().split("validation").images  # type: ignore[attr-defined]
    assert images.flatten(1).sum(1).tolist() == [len(events) for events in recordings]


def test_the_digest_is_that_of_every_machine() -> None:
    """Whole numbers throughout: a change here makes published results stale."""
    assert MiniEvents().digest()[:16] == "09753a93a991e8d1"
