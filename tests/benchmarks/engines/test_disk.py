"""Full and read-only disks: nothing that was finished is lost, and the message names the place."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.engines import Inline, Local
from benchmarks.engines.runner import run
from benchmarks.execution.worker import Job, Settings
from benchmarks.records.store import Store
from conversion.errors import BenchmarkError
from tests.benchmarks.conftest import CellOf

pytestmark = [pytest.mark.slow, pytest.mark.waits]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk takes rights that this user does not have")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("engine", [Inline(), Local(1, time_limit=60)], ids=["inline", "local"])
def test_a_full_disk_ends_the_run_and_keeps_what_is_finished(
    small: Path, digits_cell: CellOf, engine: Inline | Local
) -> None:
    cells = [digits_cell("burst", phi=phi) for phi in range(1, 16)]
    store = Store(small, "own")
    with pytest.raises(BenchmarkError, match=r"cannot be written: No space left on device. \d+ cells are stored"):
        run([Job(cell, small, "own", Settings()) for cell in cells], engine, store)
    records = [store.load(cell) for cell in cells]
    finished = [record for record in records if record is not None]
    assert 0 < len(finished) < len(cells)
    assert all(record.status == "done" and store.samples(record) is not None for record in finished)
    # With room again, the next run does the rest.
    subprocess.run(["mount", "-o", "remount,size=4m", small], check=True)
    run([Job(cell, small, "own", Settings()) for cell in cells], engine, store)
    assert all((record := store.load(cell)) is not None and record.status == "done" for cell in cells)


def test_a_read_only_folder_is_refused_before_any_work(small: Path, digits_cell: CellOf) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    with pytest.raises(BenchmarkError, match=r"Results cannot be written to .*/small/own: Read-only file system"):
        Store(small, "own").prepare()
