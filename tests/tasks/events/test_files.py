"""Readers of event files against files written byte by byte, against the libraries, and against damaged files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conversion.errors import InvalidInput
from tasks.events.aedat4 import read_aedat4
from tasks.events.encoding import EVENT, Events, Sensor
from tasks.events.files import (
    checked,
    davis346,
    dvs128,
    read_aedat2,
    read_aedat3,
    read_bin,
    read_dat,
    read_npy,
)
from tests.tasks.events import recorded

WRITERS: dict[str, tuple[Sensor, Callable[[Path, Events], Path], Callable[[Path], Events]]] = {
    "dat": (Sensor(120, 100), recorded.dat, read_dat),
    "bin": (Sensor(34, 34), recorded.mnist_bin, read_bin),
    "dvs128": (Sensor(128, 128), recorded.dvs128, lambda path: read_aedat2(path, dvs128)),
    "davis346": (Sensor(346, 260), recorded.davis346, lambda path: read_aedat2(path, davis346)),
    "aedat3": (Sensor(128, 128), recorded.aedat3, read_aedat3),
    "aedat4": (Sensor(128, 128), recorded.aedat4, lambda path: read_aedat4(path, Sensor(128, 128))),
}
EVERY = pytest.mark.parametrize("kind", WRITERS)


def corners(sensor: Sensor) -> Events:
    """Random events between some in every corner, of both polarities."""
    events = recorded.drawn(sensor, 200, seed=0)
    right, bottom = sensor.width - 1, sensor.height - 1
    events["x"][:4], events["y"][:4], events["p"][:4] = [0, right, 0, right], [0, 0, bottom, bottom], [0, 1, 1, 0]
    return events


@EVERY
def test_what_was_written_is_read(kind: str, tmp_path: Path) -> None:
    sensor, write, read = WRITERS[kind]
    events = corners(sensor)
    found = read(write(tmp_path / f"recording.{kind}", events))
    assert found.dtype == EVENT and np.array_equal(found, events)
    assert np.array_equal(checked(found, sensor, tmp_path), events)


def test_times_beyond_23_bits_overflow(tmp_path: Path) -> None:
    from tonic.datasets import NMNIST
    from tonic.io import read_mnist_file

    events = recorded.drawn(Sensor(34, 34), 40, seed=1, first=2**23 - 300)
    path = recorded.mnist_bin(tmp_path / "late.bin", events)
    assert np.array_equal(read_bin(path), events)
    theirs = read_mnist_file(str(path), dtype=NMNIST.dtype)
    assert all(np.array_equal(theirs[name], events[name]) for name in "txyp")


def test_times_beyond_31_bits_overflow(tmp_path: Path) -> None:
    events = recorded.drawn(Sensor(128, 128), 120, seed=2, first=2**31 - 200, interval=10)
    events["t"][50:] = np.maximum(events["t"][50:], 2**31)  # A packet has one overflow.
    events["t"][:50] = np.minimum(events["t"][:50], 2**31 - 1)
    assert np.array_equal(read_aedat3(recorded.aedat3(tmp_path / "late.aedat", events)), events)


def test_a_davis_sends_more_than_events(tmp_path: Path) -> None:
    events = recorded.drawn(Sensor(346, 260), 10, seed=3)
    plain = recorded.davis346(tmp_path / "plain.aedat", events, between=())
    mixed = recorded.davis346(tmp_path / "mixed.aedat", events)
    assert mixed.stat().st_size == plain.stat().st_size + 16
    assert np.array_equal(read_aedat2(mixed, davis346), read_aedat2(plain, davis346))


def test_an_event_may_begin_as_a_comment_does(tmp_path: Path) -> None:
    """The byte of # is the upper end of the address of row 119; a newline may follow in it, or not."""
    for x in (0, 100, 345):
        events = np.array([(30, x, 119, 1), (2570, 5, 5, 0)], EVENT)
        path = recorded.davis346(tmp_path / f"{x}.aedat", events, between=())
        assert path.read_bytes().splitlines()[-1].count(b"#") or b"\n#" in path.read_bytes()
        assert np.array_equal(read_aedat2(path, davis346), events)


def test_arrays_of_whole_and_of_other_times(tmp_path: Path) -> None:
    events = recorded.drawn(Sensor(128, 128), 30, seed=4, interval=3)
    events["t"] *= 1000
    unpacked = recorded.npy(tmp_path / "0.npy", recorded.table(events, "xypt", microseconds=1000).astype(np.int16))
    assert np.array_equal(read_npy(unpacked, "xypt", microseconds=1000), events)
    rows = recorded.table(events, "xytp").astype(np.float64)
    rows[:, 2], rows[:, 3] = rows[:, 2] * 1e-6, 2 * rows[:, 3] - 1
    found = read_npy(recorded.npy(tmp_path / "1.npy", rows), "xytp")
    assert all(np.array_equal(found[name], events[name]) for name in "xyp")
    # In a unit that is not said: from 0 to a million.
    share = (events["t"] - events["t"][0]) / (events["t"][-1] - events["t"][0])
    assert np.array_equal(found["t"], np.round(1e6 * share))


@EVERY
@pytest.mark.parametrize("missing", [1, 5])
def test_a_file_that_ends_within_an_event_is_refused(kind: str, missing: int, tmp_path: Path) -> None:
    sensor, write, read = WRITERS[kind]
    path = write(tmp_path / f"short.{kind}", recorded.drawn(sensor, 20, seed=5))
    path.write_bytes(path.read_bytes()[:-missing] if (kind, missing) != ("bin", 5) else path.read_bytes()[:-4])
    with pytest.raises(InvalidInput, match=rf"short\.{kind} ends within"):
        read(path)


def test_a_packet_without_its_header_is_refused(tmp_path: Path) -> None:
    path = recorded.aedat3(tmp_path / "short.rec", recorded.drawn(Sensor(128, 128), 20, seed=5))
    path.write_bytes(path.read_bytes() + b"\1\0\1\0")
    with pytest.raises(InvalidInput, match="header of a packet"):
        read_aedat3(path)


@pytest.mark.parametrize("content", [b"", b"% Version 2", b"#!AER-DAT2.0", b"\0\1\2\3", b"% Version 2\n\0\x07"])
def test_an_unknown_header_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "strange.rec"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"strange\.rec"):
        read_dat(path)
    if not content.startswith(b"#!AER-DAT2.0"):
        with pytest.raises(InvalidInput, match=r"only AEDAT 2\.0"):
            read_aedat2(path, dvs128)
    with pytest.raises(InvalidInput, match=r"only AEDAT 3\.1"):
        read_aedat3(path)
    with pytest.raises(InvalidInput, match=r"strange\.rec does not begin with #!AER-DAT4\.0"):
        read_aedat4(path, Sensor(128, 128))


@pytest.mark.parametrize("compression", ["none", "lz4", "lz4_high", "zstd"])
def test_packets_are_compressed_in_any_way(compression: str, tmp_path: Path) -> None:
    events = recorded.drawn(Sensor(128, 128), 230, seed=8, first=2**33)
    path = recorded.aedat4(tmp_path / "compressed.aedat4", events, compression=compression)
    assert np.array_equal(read_aedat4(path, Sensor(128, 128)), events)


def test_tonic_reads_the_same_of_aedat4(tmp_path: Path) -> None:
    from tonic.io import read_aedat4 as theirs

    events = recorded.drawn(Sensor(128, 128), 120, seed=9)
    path = recorded.aedat4(tmp_path / "one.aedat4", events, compression="lz4")
    found = theirs(str(path))
    assert all(np.array_equal(found[name], events[own]) for name, own in zip(found.dtype.names, "txyp", strict=True))


@pytest.mark.parametrize("kept", [14, 40, 200, 600, 1500])
def test_a_part_of_aedat4_is_refused(kept: int, tmp_path: Path) -> None:
    """Cut within the description of the streams, or within a packet."""
    path = recorded.aedat4(tmp_path / "part.aedat4", recorded.drawn(Sensor(128, 128), 200, seed=10))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InvalidInput, match=r"part\.aedat4 ends within a packet or is damaged"):
        read_aedat4(path, Sensor(128, 128))


def test_aedat4_of_another_camera_or_without_events_is_refused(tmp_path: Path) -> None:
    wide = recorded.aedat4(tmp_path / "wide.aedat4", recorded.drawn(Sensor(128, 128), 20, seed=11), side=346)
    with pytest.raises(InvalidInput, match=r"wide\.aedat4 is of a camera of 346x346 pixels, not of 128x128"):
        read_aedat4(wide, Sensor(128, 128))
    nothing = recorded.aedat4(tmp_path / "nothing.aedat4", recorded.drawn(Sensor(128, 128), 0, seed=0))
    assert len(read_aedat4(nothing, Sensor(128, 128))) == 0
    nothing.write_bytes(nothing.read_bytes().replace(b"EVTS</attr>", b"TRIG</attr>"))
    with pytest.raises(InvalidInput, match=r"nothing\.aedat4 has no stream of events"):
        read_aedat4(nothing, Sensor(128, 128))


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [(4, 0, "size is 0"), (4, -8, "size is -8"), (12, -1, "overflow is -1"), (20, -5, "number is -5")],
)
def test_what_the_header_of_a_packet_says_is_checked(offset: int, value: int, said: str, tmp_path: Path) -> None:
    path = recorded.aedat3(tmp_path / "a.rec", recorded.drawn(Sensor(128, 128), 20, seed=1))
    content = path.read_bytes()
    start = content.index(b"#!END-HEADER\r\n") + 14
    path.write_bytes(
        content[: start + offset] + value.to_bytes(4, "little", signed=True) + content[start + offset + 4 :]
    )
    with pytest.raises(InvalidInput, match=rf"a\.rec, packet at byte {start}: {said}; it has to be at least"):
        read_aedat3(path)


def test_the_camera_of_aedat4_has_a_size(tmp_path: Path) -> None:
    path = recorded.aedat4(tmp_path / "a.aedat4", recorded.drawn(Sensor(128, 128), 20, seed=1))
    path.write_bytes(path.read_bytes().replace(b'"sizeX"', b'"sizeZ"'))
    with pytest.raises(InvalidInput, match=r"a\.aedat4, stream \d: sizeX is missing; it has to be a number of pixels"):
        read_aedat4(path, Sensor(128, 128))


def test_another_version_is_refused_by_its_number(tmp_path: Path) -> None:
    events = recorded.drawn(Sensor(120, 100), 20, seed=6)
    with pytest.raises(InvalidInput, match=r"old\.dat, header: version is '1'; it has to be 2"):
        read_dat(recorded.dat(tmp_path / "old.dat", events, version="1"))
    with pytest.raises(InvalidInput, match=r"wide\.dat, header: event_bytes is 12; it has to be 8"):
        read_dat(recorded.dat(tmp_path / "wide.dat", events, size=12))


@pytest.mark.parametrize("rows", [np.zeros((3, 3)), np.zeros(4), np.array([[0, 0, np.nan, 1]])])
def test_arrays_that_are_no_events_are_refused(rows: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"odd\.npy"):
        read_npy(recorded.npy(tmp_path / "odd.npy", rows), "xytp")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = recorded.npy(tmp_path / "object.npy", np.array([{"x": 1}]))
    with pytest.raises(InvalidInput, match="no readable array"):
        read_npy(path, "xytp")


def test_what_is_no_recording_of_a_camera_is_refused() -> None:
    sensor, path = Sensor(34, 34), Path("a/b.bin")
    events = recorded.drawn(sensor, 10, seed=7, first=100)
    assert checked(events, sensor, path) is events
    with pytest.raises(InvalidInput, match=r"a/b\.bin holds no event"):
        checked(events[:0], sensor, path)
    backwards = events.copy()
    backwards["t"][6] = events["t"][5] - 1
    with pytest.raises(InvalidInput, match="backwards at event 6"):
        checked(backwards, sensor, path)
    for axis, value in (("x", 34), ("y", -1)):
        off = events.copy()
        off[axis][3] = value
        with pytest.raises(InvalidInput, match=rf"{axis} = {value}; the sensor of 34x34"):
            checked(off, sensor, path)


def test_pixels_far_off_the_sensor_do_not_come_round(tmp_path: Path) -> None:
    """65541 would be 5 in 16 bits."""
    path = recorded.npy(tmp_path / "far.npy", np.array([[65541, 3, 0, 1], [5, 3, 9, 1]]))
    with pytest.raises(InvalidInput, match="the sensor of 34x34"):
        checked(read_npy(path, "xytp"), Sensor(34, 34), path)


def test_a_pixel_that_a_davis_does_not_have_is_seen(tmp_path: Path) -> None:
    path = recorded.aedat2(tmp_path / "wide.aedat", np.array([400 << 12]), np.array([0]))
    with pytest.raises(InvalidInput, match="x = -55"):
        checked(read_aedat2(path, davis346), Sensor(346, 260), path)


CARS = Sensor(120, 100)


def clocked(path: Path, *times: int) -> Path:
    """A .dat with events at these times of its clock."""
    events = recorded.drawn(CARS, len(times), seed=0)
    events["t"] = times
    return recorded.dat(path, events)


@pytest.mark.parametrize(
    ("times", "event", "said"),
    [
        ((100, 99, 200, 300), 1, "time 99 follows 100"),  # As in the case.
        ((5, 9, 2**31 + 9, 10), 3, "time 10 follows 2147483657"),  # One flipped bit.
        ((2**32 - 2**29, 7), 1, "time 7 follows 3758096384"),  # Nine minutes before the clock's end.
        ((0, 2**31, 2**31 - 1), 2, "time 2147483647 follows 2147483648"),
    ],
)
def test_a_clock_that_steps_back_is_refused_b1(times: tuple[int, ...], event: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=rf"a\.dat runs backwards at event {event}: {said}"):
        read_dat(clocked(tmp_path / "a.dat", *times))


def test_a_clock_of_32_bits_that_begins_anew_goes_on_b1(tmp_path: Path) -> None:
    path = clocked(tmp_path / "a.dat", 2**32 - 5, 2**32 - 1, 3, 3, 2**32 - 2, 1)
    assert read_dat(path)["t"].tolist() == [2**32 - 5, 2**32 - 1, 2**32 + 3, 2**32 + 3, 2**33 - 2, 2**33 + 1]


def test_dat_is_as_expelliarmus_reads_it(tmp_path: Path) -> None:
    theirs = pytest.importorskip("expelliarmus").Wizard(encoding="dat")
    path = recorded.dat(tmp_path / "a.dat", recorded.drawn(CARS, 500, seed=3))
    assert all(np.array_equal(read_dat(path)[name], theirs.read(path)[name]) for name in "txyp")


@pytest.mark.parametrize("polarity", [2, 3, 15])
def test_a_polarity_that_is_none_is_refused_in_dat_b2(polarity: int, tmp_path: Path) -> None:
    events = recorded.drawn(CARS, 5, seed=0)
    events["p"][3] = polarity
    with pytest.raises(InvalidInput, match=rf"Event 3 of .*a\.dat has polarity {polarity}; polarities are 0 and 1"):
        read_dat(recorded.dat(tmp_path / "a.dat", events))


ROWS = np.array([[5.0, 3, 0, 1], [6, 4, 1, -1], [7, 5, 2, 1]])


def altered(row: int, column: int, value: float) -> np.ndarray:
    rows = ROWS.copy()
    rows[row, column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (altered(1, 3, 2), "Event 1 of .* has polarity 2; polarities are"),
        (altered(0, 3, 0), "Event 0 of .* has polarity 0; polarities are 0 and 1, or -1 and 1"),
        (altered(2, 3, 0.5), r"Event 2 of .* has p = 0\.5; p is in whole numbers"),
        (altered(1, 0, 1.7), r"Event 1 of .* has x = 1\.7; x is in whole numbers"),
        (altered(2, 1, np.nan), "Event 2 of .* has y = nan"),
        (altered(0, 0, np.inf), "Event 0 of .* has x = inf"),
        (altered(0, 2, np.nan), "The times in .* are no finite numbers"),
    ],
)
def test_numbers_that_are_no_events_are_refused_by_event_b2(rows: np.ndarray, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"{said}"):
        read_npy(recorded.npy(tmp_path / "a.npy", rows), "xytp")


def cut(content: bytes) -> bytes:
    return content[:-8]


def grown(content: bytes) -> bytes:
    """An array that says it has a million million rows, which NumPy would set aside."""
    return content.replace(b"(3, 4), }" + b" " * 12, b"(3000000000000, 4), }")


@pytest.mark.parametrize("change", [cut, grown, lambda content: content + b"\0", lambda content: content[:40]])
def test_arrays_of_another_length_are_refused_b2(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = recorded.npy(tmp_path / "a.npy", ROWS)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InvalidInput, match=r"a\.npy (ends within|is no readable array)"):
        read_npy(path, "xytp")


def test_an_archive_of_arrays_is_no_array_b2(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", ROWS)
    path = (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(InvalidInput, match=r"a\.npy is no readable array of NumPy"):
        read_npy(path, "xytp")


def test_arrays_are_as_numpy_reads_them_in_any_layout(tmp_path: Path) -> None:
    for number, rows in enumerate((ROWS, np.asfortranarray(ROWS), ROWS.astype(">f4"), ROWS.astype(np.int8))):
        path = recorded.npy(tmp_path / f"{number}.npy", rows)
        found = read_npy(path, "xytp")
        expected = np.load(path)
        assert found["x"].tolist() == expected[:, 0].tolist() and found["p"].tolist() == [1, 0, 1]


def test_times_of_years_are_refused() -> None:
    """Products of such times overflow 64 bits, and events would land in bins by chance."""
    events = recorded.drawn(CARS, 3, seed=0)
    events["t"] = [0, 1, 2**62]
    with pytest.raises(InvalidInput, match=r"a\.rec runs from time 0 to 4611686018427387904, .* would be years"):
        checked(events, CARS, "a.rec")


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_packets_are_as_aedat_reads_them(compression: str, tmp_path: Path) -> None:
    aedat = pytest.importorskip("aedat")
    path = recorded.aedat4(
        tmp_path / "a.aedat4", recorded.drawn(Sensor(128, 128), 130, seed=4), compression=compression
    )
    theirs = np.concatenate([packet["events"] for packet in aedat.Decoder(path)])
    found = read_aedat4(path, Sensor(128, 128))
    assert all(
        np.array_equal(found[own], theirs[name]) for own, name in zip("txyp", ("t", "x", "y", "on"), strict=True)
    )
