"""Results of another profile in a store are refused before work starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.execution.profiles import foreign_profiles, refuse_foreign_profiles
from benchmarks.records.record import Record
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from benchmarks.suites.files import load_suite
from conversion.errors import InvalidInput
from run_all import main

SUITE = load_suite("smoke")


def saved(root: Path, **changes: object) -> Cell:
    """A record in the store of SUITE, of its last cell with these changes."""
    cell = SUITE.cells()[-1].model_copy(update=changes)
    Store(root, SUITE.name).save(Record(cell=cell, status="failed", reason="none"))
    return cell


def test_records_of_the_suites_profile_stay_even_of_cells_that_it_has_no_longer(tmp_path: Path) -> None:
    refuse_foreign_profiles(SUITE, Store(tmp_path, SUITE.name))
    saved(tmp_path)
    saved(tmp_path, T=32, seed=7)
    saved(tmp_path, method="snm", options={})
    assert foreign_profiles(SUITE, Store(tmp_path, SUITE.name)) == []
    refuse_foreign_profiles(SUITE, Store(tmp_path, SUITE.name))


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"limit": None}, "is of profile full with 64"), ({"calibration": 65}, "is of profile first-200 with 65")],
)
def test_a_record_of_another_profile_is_refused_by_name(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    saved(tmp_path)
    foreign = saved(tmp_path, **changes)
    assert [record.cell for record in foreign_profiles(SUITE, Store(tmp_path, SUITE.name))] == [foreign]
    with pytest.raises(InvalidInput, match=f"{foreign.id}.*{said}.*has first-200 with 64,.*--results"):
        refuse_foreign_profiles(SUITE, Store(tmp_path, SUITE.name))


@pytest.mark.parametrize("command", ["run", "report"])
def test_the_commands_refuse_before_they_work(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path, limit=7)
    monkeypatch.setattr("sys.argv", ["run_all.py", command, "--suite", "smoke", "--results", str(tmp_path)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    shown = capsys.readouterr()
    assert "is of profile first-7 with 64 calibration samples" in shown.err and not shown.out
    assert not (tmp_path / "smoke" / "results.csv").exists()
