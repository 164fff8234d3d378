"""What tests of the runner share: a plug-in that misbehaves, and small suites."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.cells import Cell
from benchmarks.plugins import load_plugins

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def misbehaving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Installs tests/benchmarks/misbehaving.py as a plug-in, for this process and for those that it starts."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "misbehaving.py").write_text((HERE / "misbehaving.py").read_text())
    information = folder / "misbehaving-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[adaptive_calibration_bench.plugins]\nmisbehaving = misbehaving\n")
    before = os.environ.get("PYTHONPATH")
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), before]))
    load_plugins.cache_clear()
    load_plugins()
    yield
    sys.path.remove(str(folder))


CellOf = Callable[..., Cell]


@pytest.fixture
def digits_cell() -> CellOf:
    """Makes small cells on the embedded task."""

    def make(method: str = "calibration", *, T: int = 2, network: str = "digits_convnet", **options: object) -> Cell:
        return Cell(
            task="digits", network=network, method=method, options=options, T=T, seed=0, limit=20, calibration=16
        )

    return make
