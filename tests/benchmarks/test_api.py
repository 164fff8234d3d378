"""The benchmark from Python: what `run` does, as a call that returns the table."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import benchmarks
import run_all
from benchmarks.engines import Inline
from benchmarks.execution.workbench import ROOT
from benchmarks.pages.publication import publish_suite
from benchmarks.pages.tables import COLUMNS
from benchmarks.records.store import Store
from benchmarks.suites.files import load_suite
from conversion.errors import BenchmarkError

pytestmark = pytest.mark.slow

SELECTED: dict[str, Any] = {"methods": "burst", "T": 2, "limit": 50, "engine": "inline"}
SUITE = "smoke-first-50"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """The folder of results and the table of a small run."""
    results = tmp_path_factory.mktemp("results")
    return results, benchmarks.run_suite("smoke", **SELECTED, results=results)


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Two tables, of which one went through a file."""
    texts = {"reason": "", "departures": ""}
    left, right = (table.fillna(texts).reset_index(drop=True) for table in (one, other))
    pd.testing.assert_frame_equal(left, right, rtol=1e-5, check_dtype=False)


def test_a_run_returns_the_selected_rows_and_writes_all(measured: tuple[Path, pd.DataFrame]) -> None:
    results, frame = measured
    assert list(frame.columns) == COLUMNS
    assert list(frame["method"]) == ["ann", "burst:phi=4"] and set(frame["status"]) == {"done"}
    assert frame["value"].between(90, 100).all() and (frame["n"] == 50).all()
    written = benchmarks.load_results(results / SUITE)
    assert len(written) == len(load_suite("smoke").cells())
    same(written[written["status"] == "done"], frame)
    assert (results / SUITE / "results.md").is_file() and (results / "leaderboard.md").is_file()


def test_a_second_run_measures_nothing(measured: tuple[Path, pd.DataFrame], capsys: pytest.CaptureFixture[str]) -> None:
    results, frame = measured
    capsys.readouterr()
    again = benchmarks.run_suite(load_suite("smoke"), **SELECTED, results=str(results))
    pd.testing.assert_frame_equal(again, frame)
    shown = capsys.readouterr()
    assert "2 cells: 2 done; 0 to run, nothing to do" in shown.err and not shown.out


def test_the_command_line_gives_the_same_table(
    measured: tuple[Path, pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, frame = measured
    options = ["--method", "burst", "--T", "2", "--limit", "50", "--engine", "inline", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["run_all.py", "run", "--suite", "smoke", *options])
    with pytest.raises(SystemExit, match="0"):
        run_all.main()
    assert "burst:phi=4" in capsys.readouterr().out
    typed = benchmarks.load_results(tmp_path / SUITE)
    timings = ["convert_s", "evaluate_s"]
    same(typed[typed["status"] == "done"].drop(columns=timings), frame.drop(columns=timings))


def test_results_are_read_from_a_file_a_suite_a_store_and_a_folder_of_suites(
    measured: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    results, frame = measured
    by_file, by_folder = (benchmarks.load_results(results / path) for path in (f"{SUITE}/results.csv", ""))
    pd.testing.assert_frame_equal(by_file, by_folder)
    shutil.copytree(results / SUITE / "cells", tmp_path / SUITE / "cells")
    of_records = benchmarks.load_results(str(tmp_path / SUITE))
    pd.testing.assert_frame_equal(of_records, frame)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "There are no results in"), ("", "no table of results"), ("a,b\n1,2\n", "it has no column suite"),
        ("a\n1,2\n3,4,5\n", "no table of results"), (f"{','.join(COLUMNS)}\n{'x,' * len(COLUMNS)}\n", "no table"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_results_is_refused(content: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BenchmarkError, match=said):
        benchmarks.load_results(path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"suite": "smok"}, "did you mean smoke"),
        ({"methods": "brust"}, "Did you mean burst"),
        ({"T": [0]}, "T is 0"),
        ({"limit": 0}, "limit is 0"),
        ({"workers": 0, "engine": "local"}, "workers is 0"),
        ({"engine": "locale"}, "no engine called 'locale'; did you mean local"),
        ({"precision": "float23"}, "did you mean float32"),
        ({"rerun": "every"}, "no rerun called 'every'"),
        ({"price_list": "horowitz54"}, "did you mean horowitz45"),
        ({"device": "tpu"}, "The device 'tpu'"),
        ({"suite": None}, "suite is None; it should be a valid string or an instance of Path or an instance of Suite"),
        ({"methods": []}, r"methods is \[\]; it should hold a name; leave it out to select all"),
        ({"tasks": ()}, r"tasks is \(\)"),
        ({"networks": 5}, "networks has 5; it should be a valid string"),
        ({"methods": ["burst", 1]}, "methods has 1"),
        ({"methods": b"burst"}, "methods has 98"),
        ({"T": 2.5}, "T is 2.5; it should be an integer or several"),
        ({"T": "2"}, "T has '2'; it should be a valid integer"),
        ({"T": True}, "T has True"),
        ({"T": np.array([4, 0])}, "T is 0"),
        ({"seeds": []}, r"seeds is \[\]"),
        ({"limit": "5"}, "limit is '5'; it should be a valid integer"),
        ({"limit": float("nan")}, "limit is nan"),
        ({"workers": "2", "engine": "local"}, "workers is '2'"),
        ({"data_root": 5}, "data_root is 5; it should be a valid string or an instance of Path"),
        ({"weights": None}, "weights is None"),
        ({"results": []}, r"results is \[\]"),
        ({"device": None}, "device is None"),
        ({"engine": None}, "engine is None; it should be 'inline', 'local' or 'ray'"),
        ({"rerun": True}, "rerun is True"),
        ({"price_list": 5}, "price_list is 5"),
        ({"address": 5}, "address is 5"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence_and_write_nothing(
    arguments: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(BenchmarkError, match=said):
        benchmarks.run_suite(**{"suite": "smoke", "engine": "inline", "results": tmp_path, **arguments})
    assert list(tmp_path.iterdir()) == []


def test_an_argument_that_does_not_exist_is_an_error_of_python() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'method'"):
        benchmarks.run_suite("smoke", method="burst")  # type: ignore[call-arg]


@pytest.mark.parametrize("path", [None, 5, [], b"results"])
def test_results_are_read_from_a_path_and_nothing_else(path: Any) -> None:
    with pytest.raises(BenchmarkError, match=r"^path is .*; it should be a valid string or an instance of Path\.$"):
        benchmarks.load_results(path)


def test_arguments_that_select_all_may_be_given_as_none(measured: tuple[Path, pd.DataFrame]) -> None:
    results, frame = measured
    for alike in (np.int64(2), np.array([2]), {2}, iter([2])):
        selected: dict[str, Any] = SELECTED | {"T": alike, "tasks": None, "networks": None, "seeds": None}
        pd.testing.assert_frame_equal(benchmarks.run_suite("smoke", **selected, results=results), frame)


@pytest.fixture
def published(measured: tuple[Path, pd.DataFrame], tmp_path: Path) -> Path:
    """The folder of published suites, with the small run in it."""
    results, _ = measured
    suite = load_suite("smoke").adjusted(limit=50)
    publish_suite(suite, Store(results, suite.name), tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["results.csv", "records.jsonl.gz", "samples.parquet"])
def test_a_published_suite_that_was_changed_is_not_read(name: str, published: Path) -> None:
    assert len(benchmarks.load_results(published)) == len(load_suite("smoke").cells())
    path = published / SUITE / name
    path.write_bytes(path.read_bytes()[:-1] + b"7")
    for given in (published, published / SUITE, published / SUITE / "results.csv", published / SUITE / "." / name):
        with pytest.raises(BenchmarkError, match=f"{name} was changed after it was published"):
            benchmarks.load_results(given)


def test_a_published_suite_without_its_table_is_refused(published: Path) -> None:
    (published / SUITE / "results.csv").unlink()
    with pytest.raises(BenchmarkError, match=r"results\.csv is missing"):
        benchmarks.load_results(published / SUITE)


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit status of a command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["run_all.py", *words])
    with pytest.raises(SystemExit) as ended:
        run_all.main()
    return int(ended.value.code or 0)


def test_commands_that_find_nothing_name_the_results_of_limit_and_where_they_looked(
    measured: tuple[Path, pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results, _ = measured
    nothing = f"There are no records of suite smoke in {results}/smoke; there are results of --limit 50, which need"
    assert command(monkeypatch, "status", "--suite", "smoke", "--results", str(results)) == 0
    shown = capsys.readouterr()
    assert "13 cells: 0 done" in shown.out and nothing in shown.err
    assert command(monkeypatch, "report", "--suite", "smoke", "--results", str(results)) == 2
    assert nothing in capsys.readouterr().err
    assert command(monkeypatch, "status", "--suite", "smoke", "--limit", "50", "--results", str(results)) == 0
    assert not capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "report", "--suite", "smoke") == 2
    assert f"There are no records of suite smoke in {tmp_path}/results/smoke; run it first" in capsys.readouterr().err
    assert command(monkeypatch, "verify", "--suite", "smoke") == 2
    assert f"in results/published/smoke, looked for in {tmp_path}; call the command in" in capsys.readouterr().err


def test_an_interrupted_run_has_written_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Inline.run

    def interrupted(self: Inline, jobs: Sequence[Any]) -> Any:
        yield from measure(self, jobs[:1])
        raise KeyboardInterrupt

    monkeypatch.setattr(Inline, "run", interrupted)
    with pytest.raises(KeyboardInterrupt) as raised:
        benchmarks.run_suite("smoke", **SELECTED, results=tmp_path)
    assert "stored; the same call measures the others" in str(raised.value)
    assert isinstance(raised.value, benchmarks.Interrupted)
    assert list(raised.value.frame["status"]) == ["done", "missing"]
    assert len(benchmarks.load_results(tmp_path / SUITE)) == len(load_suite("smoke").cells())


def test_an_interrupted_command_shows_its_tables_and_exits_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self: Inline, jobs: Sequence[Any]) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Inline, "run", interrupted)
    command = "run_all.py run --suite smoke --method burst --engine inline --results"
    monkeypatch.setattr(sys, "argv", [*command.split(), str(tmp_path)])
    with pytest.raises(SystemExit, match="130"):
        run_all.main()
    shown = capsys.readouterr()
    assert "All 3 cells are missing: not run yet" in shown.out
    assert shown.err.endswith("Interrupted. Finished cells are stored; the same command measures the others.\n")


def test_a_record_does_not_tell_the_password_of_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are published."""
    arguments = ["run", "--log", "mlflow:http://me:secret@host:5000"]
    monkeypatch.setattr(sys, "argv", ["/opt/run_all.py", *arguments])
    benchmarks.run_suite("smoke", methods="ann", limit=20, results=tmp_path, engine="inline")
    (record,) = tmp_path.glob("*/cells/*/record.json")
    command = json.loads(record.read_text())["provenance"]["command"]
    assert command == "python run_all.py run --log mlflow:http://host:5000"


SCRIPT = """
import benchmarks
{guard}
    frame = benchmarks.run_suite("smoke", methods="ann", limit=20, results="out", workers=1)
    print(frame["status"].item())
"""


def test_a_script_measures_in_processes_of_its_own(tmp_path: Path) -> None:
    ended = script(tmp_path, SCRIPT.format(guard='if __name__ == "__main__":'))
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
    (record,) = tmp_path.glob("out/*/cells/*/record.json")
    assert json.loads(record.read_text())["provenance"]["command"] == "python script.py"


def test_a_script_without_a_guard_is_told_of_it_before_any_work(tmp_path: Path) -> None:
    ended = script(tmp_path, SCRIPT.format(guard="if True:"))
    assert ended.returncode == 1
    assert "script.py calls the benchmark without a guard" in ended.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Runs a script of somebody's own in a folder of theirs."""
    (folder / "script.py").write_text(text)
    command = [sys.executable, "script.py"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_library_is_loaded_when_it_is_asked_for() -> None:
    text = "import benchmarks, sys; print('torch' in sys.modules, bool(benchmarks.run_suite), 'torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False", "True", "True"]
    assert set(benchmarks.__all__) <= set(dir(benchmarks))
    with pytest.raises(AttributeError, match="no attribute 'run_suit'"):
        benchmarks.run_suit  # noqa: B018
