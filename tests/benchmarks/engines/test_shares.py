"""Shares of the cores: what a process may run on, a container's quota and the user's ceiling all count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.engines import base
from benchmarks.engines.base import threads
from benchmarks.records.machine import cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("350000 100000", 3), ("50000 100000", 1), ("1600000 100000", 8), ("nonsense", 8)],
)
def test_quotas_of_containers(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert cores(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("200000", 2)])
def test_quotas_of_the_first_version(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert cores(tmp_path) == expected


@pytest.mark.parametrize(
    ("ceiling", "workers", "expected"),
    [("", 1, 8), ("", 4, 2), ("", 16, 1), ("1", 1, 1), ("4", 4, 2), ("3,1", 2, 3), ("0", 1, 8), ("many", 2, 4)],
)
def test_the_environment_is_a_ceiling_d1(
    monkeypatch: pytest.MonkeyPatch, ceiling: str, workers: int, expected: int
) -> None:
    monkeypatch.setattr(base, "cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", ceiling)
    assert threads(workers) == expected
