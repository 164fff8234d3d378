"""`cache`: what is kept, where, and how it is removed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks.commands.cache import size_text
from conversion.files import bound
from tests.benchmarks.conftest import Cli


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files in each cache, of 1 MiB, used 3, 2 and 1 hours ago, beside a file of somebody's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    for folder, suffix in (("results/converted", ".safetensors"), ("DATA/.cache/events", ".arrow")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "notes.txt").write_text("mine")
        for hours in (3, 2, 1):
            path = tmp_path / folder / f"{hours}{suffix}"
            path.write_bytes(bytes(1 << 20))
            os.utime(path, (time.time() - 3600 * hours,) * 2)
    return tmp_path


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_caches_are_listed_and_left_alone(caches: Path, cli: Cli) -> None:
    before = left(caches)
    code, out, _ = cli("cache", "--data-root", "DATA")
    assert code == 0 and left(caches) == before
    converted, beside, users = out.splitlines()
    assert converted == "converted networks: 3 files, 3 MiB, last used 60 min ago: results/converted"
    assert beside == "encoded recordings: 3 files, 3 MiB, last used 60 min ago: DATA/.cache/events"
    assert users.startswith("encoded recordings: 0 files, 0 bytes: ")
    assert cli("cache")[1].count("\n") == 2  # Without a data root.


def test_what_was_used_longest_ago_goes_first(caches: Path, cli: Cli) -> None:
    code, out, _ = cli("cache", "--keep", str(2.5 / 1024), "--data-root", "DATA")
    assert code == 0 and out.count("; 1 files removed") == 2
    assert left(caches / "results/converted") == ["1.safetensors", "2.safetensors", "notes.txt"]
    assert left(caches / "DATA") == ["1.arrow", "2.arrow", "notes.txt"]


def test_all_of_it_can_be_removed_and_nothing_else(caches: Path, cli: Cli) -> None:
    code, out, _ = cli("cache", "--clean")
    assert code == 0 and "3 files removed" in out
    assert left(caches / "results") == ["notes.txt"] and len(left(caches / "DATA")) == 4
    assert cli("cache", "--clean", "--keep", "1")[0] == 2


def test_the_youngest_file_stays_however_large(tmp_path: Path) -> None:
    for age, name in ((20, "old"), (10, "young")):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert bound(tmp_path.iterdir(), 10) == [tmp_path / "old"]
    assert bound(tmp_path.iterdir(), 0) == []


def test_sizes_for_people() -> None:
    assert [size_text(size) for size in (0, 999, 1 << 10, 3 << 20, 5 << 30)] == [
        "0 bytes", "999 bytes", "1 KiB", "3 MiB", "5 GiB",
    ]  # fmt: skip
