"""Fixtures for tests of the runner: a plug-in that misbehaves, and small suites."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters import NETWORKS
from benchmarks.suites.cell import Cell
from benchmarks.suites.plugins import load_plugins
from conversion.methods import METHODS
from run_all import main

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def misbehaving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Installs tests/benchmarks/engines/misbehaving.py as a plug-in, for this process and for those that it starts."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "misbehaving.py").write_text((HERE / "engines" / "misbehaving.py").read_text())
    information = folder / "misbehaving-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[adaptive_calibration_bench.plugins]\nmisbehaving = misbehaving\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        for registry in (METHODS, NETWORKS):
            patch.setattr(registry, "_entries", dict(registry._entries))
        load_plugins.cache_clear()
        load_plugins()
        yield
    sys.modules.pop("misbehaving")
    load_plugins.cache_clear()


CellOf = Callable[..., Cell]


@pytest.fixture
def digits_cell() -> CellOf:
    """Makes small cells on the embedded task."""

    def make(method: str = "calibration", *, T: int = 2, network: str = "digits_convnet", **options: object) -> Cell:
        return Cell(
            task="digits", network=network, method=method, options=options, T=T, seed=0, limit=20, calibration=16
        )

    return make


Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """The command line in the folder of the test, in this process: arguments to exit status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["run_all.py", *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capfd.readouterr()

    return call
