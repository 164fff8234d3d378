"""Records that somebody else wrote, with a digest that fits: no file outside is touched, and nothing breaks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from benchmarks.pages.leaderboard import write_leaderboard
from benchmarks.pages.tables import collect_cells, read_table
from benchmarks.records.record import Record
from benchmarks.records.searches import Search
from benchmarks.records.store import RECORD, DamagedRecord, Store
from benchmarks.suites.cell import Cell
from benchmarks.suites.files import load_suite
from conversion.errors import InvalidInput
from tests.benchmarks.gate.measurements import cells, right, save
from tests.benchmarks.records.edits import edit

CELL: Cell = cells(1)[0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results", "toy")
    save(store, CELL, right(200, 20))
    return store


def path_of(store: Store) -> Path:
    return store.cells / CELL.id / RECORD


@pytest.mark.parametrize(
    "named",
    [
        "{victim}", "../../../../victim", "..", ".", "/", "record.json", "samples-0123456789ab.parquet/..",
        "samples-0123456789AB.parquet", "samples-0123456789ab.parquet\n", "a\\b", "samples-/../../victim.parquet",
    ],
)  # fmt: skip
def test_a_record_names_its_samples_and_no_path_c2(store: Store, tmp_path: Path, named: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    edit(path_of(store), lambda content: content.update(samples=named.format(victim=victim)))
    with pytest.raises(DamagedRecord):
        store.load(CELL)
    assert store.state(CELL)[0] == "failed" and list(store.records()) == []
    save(store, CELL, right(200, 10))  # Which replaces the record, and what it named.
    assert victim.read_text() == "precious" and store.state(CELL) == ("done", "")
    assert path_of(store).is_file()


def test_a_link_in_place_of_samples_is_not_followed_anywhere_else_c2(store: Store, tmp_path: Path) -> None:
    """Its content has to be what was saved, wherever it lies; when it is replaced, the link goes and not the file."""
    (path,) = store.cells.glob("*/samples-*.parquet")
    moved = tmp_path / "elsewhere.parquet"
    moved.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(moved)
    assert store.state(CELL) == ("done", "")
    save(store, CELL, right(200, 10))
    assert moved.is_file() and not path.is_symlink()


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no totals": lambda record: record.update(totals=None),
    "no metrics": lambda record: record.update(metrics={}),
    "no fingerprint": lambda record: record.update(fingerprint={}),
    "no provenance": lambda record: record.update(provenance={}),
    "another primary metric": lambda record: record.update(primary_metric="f1"),
    "10^30 steps": lambda record: record["cell"].update(T=10**30),
    "no step": lambda record: record["cell"].update(T=0),
    "10^30 samples": lambda record: record["metrics"]["accuracy"].update(n=10**30),
    "10^300 spikes": lambda record: record["totals"].update(spikes=1e300),
    "10^30 departures": lambda record: record.update(departures={"x": 10**30}),
    "status as a number": lambda record: record.update(status=1),
    "half a character": lambda record: record["metrics"].update({"\ud800": record["metrics"]["accuracy"]}),
    "a cell that is a list": lambda record: record.update(cell=[]),
    "a cause that nobody knows": lambda record: record.update(cause="magic"),
    "a text of a million letters": lambda record: record.update(primary_metric="x" * 1_000_000),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_no_measurement_gives_is_a_row_with_a_reason_c7(store: Store, change: str) -> None:
    edit(path_of(store), CHANGES[change])
    state, reason = store.state(CELL)
    assert state == "failed" and reason.endswith("measure it again.")
    frame = collect_cells([CELL], store, "horowitz45")
    assert list(frame["status"]) == ["failed"] and list(frame["reason"]) == [reason]


@pytest.mark.parametrize(
    "content", [b"[" * 10_000, b'{"a":' * 10_000, b"9" * 10_000, b"\xff\xfe\x00", b"", b"null", b'"' + b"x" * 99],
    ids=["lists", "objects", "digits", "no text", "empty", "null", "unended"],
)  # fmt: skip
def test_what_is_no_record_at_all_is_named_c7(store: Store, content: bytes) -> None:
    path_of(store).write_bytes(content)
    assert (
        store.state(CELL) == ("failed", store.state(CELL)[1]) and f"{path_of(store)} is damaged" in store.state(CELL)[1]
    )


def test_samples_that_were_cut_or_removed_fail_their_cell_c8(store: Store) -> None:
    (path,) = store.cells.glob("*/samples-*.parquet")
    whole = path.read_bytes()
    for content in (whole[:-1], whole[1:], b"", whole + b"\0", None):
        path.unlink() if content is None else path.write_bytes(content)
        state, reason = store.state(CELL)
        assert state == "failed" and "are missing or are not those of their record; measure it again" in reason
    path.write_bytes(whole)
    assert store.state(CELL) == ("done", "")


def test_samples_of_another_record_fail_their_cell_c8(store: Store) -> None:
    """Two records change their samples, each whole and under its own name."""
    other = cells(2)[1]
    save(store, other, right(200, 60))
    mine, theirs = (next((store.cells / cell.id).glob("samples-*")) for cell in (CELL, other))
    theirs.rename(mine.with_name(theirs.name))
    mine.rename(theirs.with_name(mine.name))
    assert [store.state(cell)[0] for cell in (CELL, other)] == ["failed", "failed"]


def test_a_cell_whose_samples_were_not_kept_is_whole_c8(store: Store) -> None:
    save(store, CELL, None)
    assert store.state(CELL) == ("done", "") and list(store.cells.glob("*/samples-*")) == []


@pytest.mark.parametrize("content", [b"", b"\n", b"a,b\n1,2\n", b"\xff\xfe", b"suite\n" * 3])
def test_a_table_of_another_suite_that_is_none_is_left_out_c7(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other/results.csv"
    path.parent.mkdir()
    path.write_bytes(content)
    write_leaderboard(tmp_path, tmp_path / "leaderboard.md")
    said = capsys.readouterr().err
    assert "other/results.csv is no table of results" in said and "The leaderboard is made without it." in said
    with pytest.raises(InvalidInput, match="is no table of results"):
        read_table(path)


def test_leftovers_of_killed_runs_are_swept_and_nothing_else(store: Store) -> None:
    kept = sorted(path for path in store.folder.rglob("*") if path.is_file())
    (store.folder / "leases").mkdir()
    names = ("results.csv.1a.tmp", f"cells/{CELL.id}/record.json.1a.tmp", "leases/x.json.1a.tmp", "leases/x.json.1a")
    for then in (0.0, time.time() + 7200):
        for name in names:
            (store.folder / name).write_bytes(b"")
            os.utime(store.folder / name, (then, then))
        (young := store.folder / "results.csv.2b.tmp").write_bytes(b"")
        store.prepare()
        assert sorted(path for path in store.folder.rglob("*") if path.is_file()) == [*kept, young]
        young.unlink()


def test_samples_whose_record_was_never_written_are_swept(store: Store) -> None:
    """The run was killed in between; also where it would have been the first record of its cell."""
    (kept,) = store.cells.glob("*/samples-*.parquet")
    other = store.cells / "other"
    other.mkdir()
    for folder in (kept.parent, other):
        (folder / "samples-0123456789ab.parquet").write_bytes(b"")
    store.prepare()
    assert len(list(store.cells.glob("*/samples-*"))) == 3  # They may be those of a run that is about to write.
    for path in store.cells.glob("*/samples-*"):
        os.utime(path, (0, 0))
    store.prepare()
    assert list(store.cells.glob("*/samples-*")) == [kept] and store.state(CELL) == ("done", "")


def test_a_record_from_before_digests_is_read_and_gets_one_when_it_is_saved(store: Store) -> None:
    record = store.load(CELL)
    assert record is not None
    text = Record.model_dump_json(record.model_copy(update={"schema_version": 2}), indent=1)
    path_of(store).write_text(text)
    older = store.load(CELL)
    assert older is not None and older == record.model_copy(update={"schema_version": 2})
    assert isinstance(store.samples(older), pd.DataFrame)
    store.save(older, store.samples(older))
    assert store.load(CELL) == record and b'"digest": ' in path_of(store).read_bytes()
    path_of(store).write_text(text.replace('"schema_version": 2', '"schema_version": 3'))
    assert "it has no digest" in store.state(CELL)[1]


@pytest.mark.parametrize("T", [0, -1, 2**31, 10**30])
def test_a_suite_of_impossible_steps_is_refused_by_line_c7(tmp_path: Path, T: int) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\ntitle: Own\nentries:\n"
        f"  - {{tasks: [digits], networks: [digits_convnet], methods: [burst], T: [{T}]}}\n"
    )
    with pytest.raises(InvalidInput, match=r"own\.yaml, line 4: .*should be"):
        load_suite(str(path))


SEARCH = {
    "parameter": "phi", "candidates": [1.0, 2.0], "divergence": [[0.1, 0.2]] * 3, "energy": [[5.0, 6.0]] * 3,
    "counted": "spikes", "base": 0.3, "budget": 18.0, "choice": [1.0, 2.0, 1.0], "samples": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    "lie",
    [
        {"divergence": [[0.1, 0.2]] * 2}, {"energy": [[5.0, 6.0], [5.0], [5.0, 6.0]]}, {"choice": [1.0, 2.0]},
        {"choice": [1.0, 2.0, 8.0]}, {"candidates": [2.0, 1.0]}, {"candidates": [1.0, 1.0]}, {"samples": 0},
        {"energy": [[5.0, 6.0], [-5.0, 6.0], [5.0, 6.0]]}, {"base": float("nan")},
        {"candidates": [], "choice": [], "divergence": [], "energy": []},
        {"candidates": [], "choice": [1.0], "divergence": [[]], "energy": [[]]},
    ],
    ids=str,
)  # fmt: skip
def test_a_search_says_what_it_chose_from(lie: dict[str, Any]) -> None:
    Search.model_validate(SEARCH)
    with pytest.raises(ValidationError):
        Search.model_validate(SEARCH | lie)


@pytest.mark.parametrize(
    "lie",
    [
        {"exits": [0.5, 0.5]}, {"exits": [0.5] * 8}, {"exits": [-0.5, 1.5, *[0.0] * 6]}, {"exit_thresholds": [0.9] * 3},
        {"exit_thresholds": [float("nan")] * 8}, {"activity": [-1.0]},
    ],
    ids=str,
)  # fmt: skip
def test_figures_of_steps_are_those_of_the_cells_steps(store: Store, lie: dict[str, Any]) -> None:
    record = store.load(CELL)
    assert record is not None
    content = record.model_dump(mode="json")
    content["cell"] |= {"method": "burst", "options": {"phi": 4}, "T": 8}
    Record.model_validate(content | {"exits": [0.125] * 8, "exit_thresholds": [0.9] * 8, "activity": [1.0] * 9})
    with pytest.raises(ValidationError):
        Record.model_validate(content | lie)
