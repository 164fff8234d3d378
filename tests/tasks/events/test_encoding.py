"""No event is lost or counted twice; bins, polarities and pixels at the edges; tonic as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.errors import InvalidInput
from tasks.events.encoding import (
    EVENT,
    Encoding,
    EventFrames,
    Events,
    Sensor,
    TonicFrames,
    TonicVoxels,
    VoxelGrid,
    dense,
    time_bins,
)

SENSOR = Sensor(5, 4)


def recording(*events: tuple[int, int, int, int]) -> Events:
    """Events from rows (t, x, y, p)."""
    return np.array(list(events), EVENT)


def encoded(encoding: Encoding, events: Events, sensor: Sensor = SENSOR) -> Any:
    return dense(encoding.cells(events, sensor), encoding.shape(sensor))


@st.composite
def recordings(draw: st.DrawFn) -> Events:
    rows = st.tuples(
        st.integers(0, 50), st.integers(0, SENSOR.width - 1), st.integers(0, SENSOR.height - 1), st.integers(0, 1)
    )
    events = np.array(draw(st.lists(rows, min_size=1, max_size=80)), EVENT)
    events["t"] = np.cumsum(events["t"]) + draw(st.integers(0, 10**12))
    return events


@given(recordings(), st.integers(1, 20))
def test_every_event_is_counted_once_where_it_is(events: Events, bins: int) -> None:
    """Against a loop: the sum is the number of events, by polarity and by pixel, too."""
    grid = encoded(VoxelGrid(bins), events)
    expected = np.zeros_like(grid)
    length = int(events["t"][-1] - events["t"][0])
    for t, x, y, p in events.tolist():
        elapsed = t - int(events["t"][0])
        # The bin whose half-open interval the event is in; the end of the recording belongs to the last.
        where = [i for i in range(bins) if i * length <= elapsed * bins < (i + 1) * length] or [bins - 1]
        expected[2 * (where[0] if length else 0) + p, y, x] += 1
    assert np.array_equal(grid, expected) and grid.sum() == len(events)


@given(recordings(), st.integers(1, 20))
def test_frames_are_the_same_counts_in_time(events: Events, count: int) -> None:
    frames, grid = encoded(EventFrames(count), events), encoded(VoxelGrid(count), events)
    assert np.array_equal(frames.reshape(grid.shape), grid)


@given(recordings(), st.integers(0, 2**40), st.integers(1, 1000))
def test_neither_when_nor_how_fast_it_was_matters(events: Events, later: int, slower: int) -> None:
    moved = events.copy()
    moved["t"] = (events["t"] - events["t"][0]) * slower + later
    assert np.array_equal(encoded(VoxelGrid(9), moved), encoded(VoxelGrid(9), events))


def test_the_first_and_the_last_event_count() -> None:
    """Nine bins over 0 to 90: an event at 0, one at 90, and those on the borders between."""
    assert time_bins(np.array([0, 9, 10, 20, 89, 90]), 9).tolist() == [0, 0, 1, 2, 8, 8]


def test_events_at_one_time_are_in_the_first_bin() -> None:
    assert time_bins(np.array([7, 7, 7]), 9).tolist() == [0, 0, 0]


def test_a_recording_shorter_than_its_bins_ends_in_the_last() -> None:
    assert time_bins(np.array([5, 6]), 9).tolist() == [0, 8]


def test_polarities_and_corners_are_where_they_belong() -> None:
    """Darker before brighter in every bin; x along the last axis, y along the one before."""
    events = recording((0, 0, 0, 0), (0, 4, 0, 1), (100, 0, 3, 1), (100, 4, 3, 0))
    grid = encoded(VoxelGrid(9), events)
    assert grid.shape == (18, 4, 5)
    found = [tuple(int(i) for i in cell) for cell in np.argwhere(grid)]
    assert found == [(0, 0, 0), (1, 0, 4), (16, 3, 4), (17, 3, 0)]
    assert encoded(EventFrames(16), events).shape == (16, 2, 4, 5)


def test_many_events_are_counted_as_few_are() -> None:
    """Above an eighth of the cells another way of counting is taken."""
    events = np.repeat(recording((0, 1, 2, 1), (5, 3, 3, 0), (9, 0, 0, 1)), [1000, 500, 1])
    grid = encoded(VoxelGrid(2), events)
    assert {value for value in grid.flat if value} == {1000, 500, 1} and grid[1, 2, 1] == 1000 and grid[2, 3, 3] == 500


@given(recordings())
def test_frames_of_tonic_are_as_tonic_makes_them(events: Events) -> None:
    from tonic.transforms import ToFrame

    for options in ({"n_event_bins": 3}, {"n_time_bins": 3}, {"n_event_bins": 2, "overlap": 0.5}):
        if len(events) >= 8 and events["t"][-1] - events["t"][0] >= 8:
            expected = ToFrame(sensor_size=(*SENSOR, 2), **options)(events)
            assert np.array_equal(encoded(TonicFrames(**options), events), expected)


@given(recordings())
def test_voxels_of_tonic_keep_the_balance_of_polarities(events: Events) -> None:
    """tonic splits each polarity of -1 or 1 between two bins; what it gives to a bin after the last is lost."""
    if events["t"][0] == events["t"][-1]:
        with pytest.raises(InvalidInput, match="divides by the length"):
            encoded(TonicVoxels(4), events)
        return
    before = events.copy()
    grid = encoded(TonicVoxels(4), events)
    assert grid.shape == (4, 4, 5) and np.array_equal(events, before)
    position = 4 * (events["t"] - events["t"][0]) / (events["t"][-1] - events["t"][0])
    kept = np.clip(4 - position, 0, 1)
    assert grid.sum() == pytest.approx(((2.0 * events["p"] - 1) * kept).sum(), abs=1e-6)


def test_tonics_frames_need_a_fixed_number() -> None:
    for options in ({}, {"n_time_bins": 3, "n_event_bins": 3}):
        with pytest.raises(InvalidInput, match="one of them"):
            TonicFrames(**options)
