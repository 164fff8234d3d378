"""The tutorials, run as they are written: files into a folder, the package installed, command after command."""

from __future__ import annotations

import csv
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import run_all
from benchmarks.conformance import conformance_test, methods, simulation
from benchmarks.suites.plugins import load_plugins

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The reader's folder. Packages installed and classes registered in it are removed afterwards."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    load_plugins.cache_clear()
    for module in ("quantile_norm", "shapes"):
        sys.modules.pop(module, None)


def parts(page: str) -> list[tuple[str, str]]:
    """Language and text of the code blocks of a page, in order."""
    return re.findall(r"```(\w*)\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL)


def follow(page: str, files: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Writes the files, in the order in which the page shows them, and runs all commands; what each printed."""
    blocks = parts(page)
    texts = [text for language, text in blocks if language]
    for name, text in zip(files, texts, strict=True):
        assert name == "test_own.py" or f"`{name}`" in (DOCS / page).read_text()
        (folder / name).write_text(text)
    printed: dict[str, str] = {}
    for command in "".join(text for language, text in blocks if not language).splitlines():
        program, *arguments = shlex.split(command)
        if program == "pip":
            # Not into the environment of the tests.
            install(arguments, folder)
        elif program == "python":
            subprocess.run([sys.executable, *arguments], check=True)
        elif not printed:
            # One in a shell, as the reader types it; the others in this process, which has loaded torch already.
            printed[command] = shell(command, folder)
        else:
            printed[command] = main(arguments, capsys)
    return printed


def shell(command: str, folder: Path) -> str:
    """Runs a line in a fresh shell in the reader's folder, with the environment's commands on its path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PATH": path, "HOME": str(folder), "PYTHONPATH": str(folder / "site")}
    ended = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, f"{command}: {ended.stderr}; is the benchmark installed (make bench)?"
    return ended.stdout


def install(arguments: list[str], folder: Path) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--target", str(folder / "site")]
    subprocess.run(command, check=True, capture_output=True)
    importlib.invalidate_caches()
    load_plugins.cache_clear()


def main(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Runs one command in this process; it has to succeed."""
    sys.argv = ["run_all.py", *arguments]
    with pytest.raises(SystemExit) as stopped:
        run_all.main()
    printed = capsys.readouterr()
    assert stopped.value.code in (0, None), printed.out + printed.err
    return printed.out


def values(path: Path) -> dict[tuple[str, str], float]:
    """The value by method and T."""
    with path.open() as file:
        return {(row["method"], row["T"]): float(row["value"]) for row in csv.DictReader(file)}


def test_a_method(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["pyproject.toml", "quantile_norm.py", "test_own.py", "own.yaml"]
    printed = follow("tutorial-method.md", files, folder, capsys)
    assert "quantile_norm  (plug-in quantile-norm 0.1)" in printed["acb list methods"].splitlines()
    assert "burst" in printed["acb list methods"].splitlines()
    assert "0 failed, 2 do not apply" in printed["acb check quantile_norm"]
    found = values(folder / "results/own/results.csv")
    assert set(found) >= {("quantile_norm", "16"), ("quantile_norm:q=1.0", "4")}
    assert found["quantile_norm", "16"] > 90
    own: dict[str, Any] = {}
    exec((folder / "test_own.py").read_text(), own)
    (mark,) = own["test_quantile_norm"].pytestmark
    assert len(mark.args[1]) == len(methods.CHECKS) + len(simulation.CHECKS)
    code = [line for line in (folder / "quantile_norm.py").read_text().splitlines() if line.strip()]
    assert len(code) < 40


def test_a_task(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["make_shapes.py", "shapes.py", "pyproject.toml", "own_shapes.yaml"]
    printed = follow("tutorial-task.md", files, folder, capsys)
    assert "  shapes: no trained network" in printed["acb doctor --data-root data"]
    assert "17 passed, 0 failed" in printed["acb check shapes --data-root data"]
    assert "13 passed, 0 failed" in printed["acb check shapes_convnet"]
    found = values(folder / "results/own_shapes/results.csv")
    assert set(found) == {("ann", ""), *((m, T) for m in ("calibration", "burst:phi=4") for T in ("2", "8"))}
    assert found["burst:phi=4", "8"] > 80


def test_a_test_of_ones_own_has_a_case_for_every_check() -> None:
    test = conformance_test("snm")
    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    names = [case.id for case in mark.args[1]]
    assert "uses T" in names and len(names) == len(set(names))
    by_name = dict(zip(names, mark.args[1], strict=True))
    test(by_name["uses T"].values[0])
    with pytest.raises(pytest.skip.Exception, match="lets no sample leave early"):
        test(by_name["stops counting when a sample leaves"].values[0])
