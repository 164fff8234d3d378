"""The gate on the command line: exit codes, files, and the workflow that shows how to use it."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer.main
import yaml

from benchmarks.execution.workbench import ROOT
from benchmarks.records.store import RECORD, Store
from benchmarks.suites.files import load_suite
from run_all import app
from tests.benchmarks.conftest import Cli
from tests.benchmarks.gate.measurements import SYNOPS, flipped, right, save
from tests.benchmarks.records.edits import edit

SUITE = load_suite("smoke")


@pytest.fixture
def cli(cli: Cli, tmp_path: Path) -> Cli:
    """The command line in a folder with made-up records of the smoke suite, and their baseline."""
    store = Store(tmp_path / "out", SUITE.name)
    for cell in SUITE.cells():
        save(store, cell, right(200, 20))
    code, out, _ = cli("gate", "--suite", "smoke", "--results", "out", "--baseline", "smoke.json", "--update")
    assert (code, out) == (0, "Baseline of suite smoke, 13 cells: smoke.json, smoke.parquet\n")
    return cli


def store_of(tmp_path: Path) -> Store:
    return Store(tmp_path / "out", SUITE.name)


GATE = ("gate", "--baseline", "smoke.json", "--results", "out")


def test_exit_codes(tmp_path: Path, cli: Cli) -> None:
    store, changed = store_of(tmp_path), SUITE.cells()
    code, page, said = cli(*GATE)
    assert (code, said) == (0, "Gate of suite smoke: pass. Of 13 cells 13 pass.\n")
    assert page.count("| pass |") == 13
    (store.cells / changed[3].id / RECORD).unlink()
    code, _, said = cli(*GATE)
    assert (code, said) == (5, "Gate of suite smoke: inconclusive. Of 13 cells 12 pass, 1 missing.\n")
    save(store, changed[5], right(200, 20), unary=1.01 * SYNOPS)
    code, _, said = cli(*GATE)
    assert (code, said) == (4, "Gate of suite smoke: regression. Of 13 cells 11 pass, 1 missing, 1 regressed.\n")
    shutil.rmtree(store.folder)
    assert cli(*GATE)[0] == 5


def test_a_loss_of_accuracy_ends_with_4_and_is_in_both_files(tmp_path: Path, cli: Cli) -> None:
    save(store_of(tmp_path), SUITE.cells()[4], flipped(right(200, 20), slice(50, 56)))
    code, page, _ = cli(*GATE, "--markdown", "gate.md", "--junit", "gate.xml")
    assert code == 4
    assert (tmp_path / "gate.md").read_text() == page
    (suite,) = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert [case.get("name") for case in suite if case.find("failure") is not None] == ["burst:phi=4 T=4 seed=0"]


def test_another_suite_with_the_same_cells_can_be_compared(tmp_path: Path, cli: Cli) -> None:
    own = (ROOT / "benchmarks/suites/smoke.yaml").read_text().replace("name: smoke", "name: own")
    (tmp_path / "own.yaml").write_text(own)
    assert cli(*GATE, "--suite", "own.yaml")[0] == 5
    shutil.copytree(tmp_path / "out/smoke", tmp_path / "out/own")
    assert cli(*GATE, "--suite", "own.yaml")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gate",), "--baseline"),
        (("gate", "--baseline", "none.json"), "There is no none.json. Write a baseline with"),
        (("gate", "--baseline", "smoke"), "named by its JSON file"),
        (("gate", "--baseline", "smoke.json", "--update"), "need --suite"),
        (("gate", "--baseline", "smoke.json", "--limit", "50"), "need --suite"),
        (("gate", "--baseline", "smoke.json", "--suite", "smok"), "did you mean smoke"),
        ((*GATE, "--junit", "none/gate.xml"), "There is no folder none for gate.xml"),
        (("gate", "--baseline", "new.json", "--suite", "mini", "--update"), "Run the suite first"),
        ((*GATE, "--update", "--suite", "smoke", "--limit", "50"), "smoke-first-50 makes no baseline"),
    ],
)
def test_usage_errors_end_with_2_and_leave_the_baseline(
    tmp_path: Path, cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    before = {path: path.read_bytes() for path in tmp_path.glob("*.*")}
    code, _, error = cli(*arguments)
    assert code == 2
    assert said in error
    assert "Traceback" not in error
    assert {path: path.read_bytes() for path in tmp_path.glob("*.*")} == before


def test_a_record_of_a_newer_version_is_a_usage_error(tmp_path: Path, cli: Cli) -> None:
    path = store_of(tmp_path).cells / SUITE.cells()[2].id / RECORD
    edit(path, lambda content: content.update(schema_version=99))
    code, _, error = cli(*GATE)
    assert code == 2
    assert "newer version" in error


def test_the_workflow_runs_commands_that_exist_on_files_that_exist() -> None:
    flow = yaml.safe_load((ROOT / "docs/examples/gate.yml").read_text())
    assert set(flow[True]) == {"push", "pull_request"}  # YAML 1.1 reads `on` as a truth value.
    assert (ROOT / flow["env"]["BASELINE"]).is_file()
    assert load_suite(flow["env"]["SUITE"]).name == "smoke"
    steps = flow["jobs"]["gate"]["steps"]
    used = [step["uses"].split("@")[0] for step in steps if "uses" in step]
    assert used == ["actions/checkout", "actions/setup-python", "actions/upload-artifact"]
    assert steps[1]["with"]["cache"] == "pip"
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    seen = []
    for step in steps:
        words = step.get("run", "").split()
        if ".venv/bin/python" in words:
            name = words[words.index("run_all.py") + 1]
            seen.append(name)
            known = {option for parameter in commands[name].params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known
    assert seen == ["run", "gate", "verify"]
    assert "GITHUB_STEP_SUMMARY" in steps[6]["run"]
    # The page is shown and the verdicts are kept above all when the gate fails.
    assert [step.get("if") for step in steps[6:]] == ["always()", "always()"]


def test_continuous_integration_gates_what_it_measured() -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    # Failed cells (3) are for the gate to judge.
    assert 'run_all.py run --suite smoke --results "$results" || test $? -eq 3' in lines[-3]
    assert lines[-2].endswith('run_all.py gate --baseline benchmarks/baselines/smoke.json --results "$results"')
    assert lines[-1].endswith("run_all.py verify --suite mini --cells 6")
