"""The command line: short commands, and help and tab completion that do not load torch."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from adapters import NETWORKS
from benchmarks.commands import completion
from benchmarks.execution.workbench import ROOT
from benchmarks.suites.shipped import suite_names
from conversion.methods import METHODS
from run_all import app
from tasks import TASKS

HELP = """
import sys
import run_all
for arguments in (["--help"], *([name, "--help"] for name in {names})):
    try:
        run_all.app(arguments)
    except SystemExit as end:
        assert end.code == 0
heavy = [name for name in ("torch", "pandas", "numpy", "matplotlib") if name in sys.modules]
assert not heavy, heavy
"""


@pytest.mark.slow
def test_help_of_every_command_loads_nothing_heavy() -> None:
    names = list(get_command(app).commands)  # type: ignore[attr-defined]
    command = [sys.executable, "-c", HELP.format(names=names)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert all(f"run_all.py {name}" in ended.stdout or f" {name} [OPTIONS]" in ended.stdout for name in names)


def test_no_command_is_longer_than_forty_lines() -> None:
    tree = ast.parse((ROOT / "run_all.py").read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 + len(node.decorator_list) for node in functions}
    assert len(lengths) > 10
    assert {name: lines for name, lines in lengths.items() if lines > 40} == {}


SHELL = """
eval "$(./run_all.py --show-completion bash)"
COMP_WORDS=(./run_all.py {words}) COMP_CWORD={count}
_run_allpy_completion ./run_all.py
echo "${{COMPREPLY[@]}}"
"""


def complete(*words: str) -> list[str]:
    """The completions that bash offers for the last of these words."""
    environment = {
        **os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }  # fmt: skip
    command = ["bash", "-c", SHELL.format(words=" ".join(words), count=len(words))]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return ended.stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash to complete in")
def test_a_shell_completes_commands_and_names() -> None:
    assert complete("re") == ["report"]
    assert complete("run", "--suite", "smoke", "--method", "cal") == ["calibration", "calibration_iat"]


def test_the_script_can_be_run_by_its_name() -> None:
    """Shells complete the words of a command, not those of a script that Python is given."""
    assert os.access(ROOT / "run_all.py", os.X_OK)
    assert (ROOT / "run_all.py").read_text().startswith("#!/usr/bin/env python\n")


def test_names_that_ship_with_the_benchmark_are_all_offered() -> None:
    for kind, registry in (("tasks", TASKS), ("networks", NETWORKS), ("methods", METHODS)):
        assert completion.shipped(kind)("") == list(registry)
    assert completion.shipped("networks")("resnet2") == ["resnet20", "resnet20_wide"]
    assert {"burst", "digits", "resnet20"} <= set(completion.anything(""))
    assert completion.suites("") == [*suite_names(), "paper"]


def context(suite: str | None) -> typer.Context:
    found = typer.Context(get_command(app))
    found.params["suite"] = suite
    return found


@pytest.mark.parametrize(
    ("suite", "key", "begun", "offered"),
    [
        ("smoke", "tasks", "", ["digits"]),
        (None, "tasks", "mini_d", ["mini_detection"]),
        ("own.yaml", "methods", "", ["burst", "own_method"]),
        ("own.yaml", "T", "1", ["1", "16"]),
        ("absent.yaml", "tasks", "", []),
        ("broken.yaml", "tasks", "", []),
        ("text.yaml", "tasks", "", []),
    ],
)
def test_options_offer_what_the_suite_has(
    suite: str | None, key: str, begun: str, offered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entry = (
        "{tasks: [digits], networks: [digits_convnet], methods: [burst, {burst: {phi: 2}}, own_method], T: [1, 4, 16]}"
    )
    (tmp_path / "own.yaml").write_text(f"name: own\nentries:\n  - {entry}\n")
    (tmp_path / "broken.yaml").write_text("entries: [")
    (tmp_path / "text.yaml").write_text("entries: 3")
    assert completion.of_suite(key)(context(suite), begun) == offered


def test_suite_files_are_offered_by_their_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in ("mine/a.yaml", "mine/b.txt", "minimal.yml"):
        (tmp_path / name).touch()
    assert completion.suites("min") == ["mini", "minimal.yml", "mine/"]
    assert completion.suites("./mine/") == ["./mine/a.yaml"]
