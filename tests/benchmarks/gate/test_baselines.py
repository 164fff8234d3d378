"""Baselines come back as they were written, and every defect is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.execution.workbench import ROOT
from benchmarks.gate.baselines import read_baseline, take_baseline, write_baseline
from benchmarks.records.record import Record
from benchmarks.suites.files import load_suite
from conversion.errors import BenchmarkError, InvalidInput
from tests.benchmarks.gate.measurements import Runs, cells, flipped, save
from tests.benchmarks.records.edits import edit

SHIPPED = ROOT / "benchmarks" / "baselines" / "smoke.json"


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path, 3)


def test_a_baseline_comes_back_as_it_was_taken(tmp_path: Path, runs: Runs) -> None:
    save(runs.store, runs.cells[1], flipped(runs.outcomes, slice(0, 1000, 7))[:800])
    taken = take_baseline("toy", runs.cells, runs.store)
    beside = write_baseline(taken, tmp_path / "toy.json")
    assert beside == tmp_path / "toy.parquet"
    back = read_baseline(tmp_path / "toy.json")
    assert (back.suite, list(back.rows)) == ("toy", taken.rows)
    for cell in runs.cells:
        np.testing.assert_array_equal(back.outcomes[cell.id], taken.outcomes[cell.id])
        assert back.outcomes[cell.id].dtype == np.float32


def test_outcomes_take_little_room(tmp_path: Path, runs: Runs) -> None:
    generator = np.random.default_rng(0)
    for cell in runs.cells:
        save(runs.store, cell, (generator.uniform(size=10_000) < 0.9).astype(np.float32))
    beside = write_baseline(take_baseline("toy", runs.cells, runs.store), tmp_path / "toy.json")
    # A bit for each of 30,000 samples is 3,750 bytes.
    assert beside.stat().st_size < 2 * 3750


def test_a_changed_figure_is_one_line_of_a_diff(tmp_path: Path, runs: Runs) -> None:
    write_baseline(runs.baseline, tmp_path / "toy.json")
    before = (tmp_path / "toy.json").read_text().splitlines()
    save(runs.store, runs.cells[1], runs.outcomes, unary=12345.0)
    write_baseline(take_baseline("toy", runs.cells, runs.store), tmp_path / "toy.json")
    after = (tmp_path / "toy.json").read_text().splitlines()
    changed = [(old.strip(), new.strip()) for old, new in zip(before, after, strict=True) if old != new]
    figure, digest = changed
    assert figure == ('"synops_unary": 20000.0,', '"synops_unary": 12345.0,')
    assert all(line.startswith('"digest": ') for line in digest)


def test_a_baseline_from_before_there_were_codes_is_of_rates(tmp_path: Path, runs: Runs) -> None:
    write_baseline(runs.baseline, tmp_path / "toy.json")
    content = json.loads((tmp_path / "toy.json").read_text())
    del content["digest"]
    content["schema_version"] = 1  # Which had none.
    for row in content["cells"]:
        del row["latency_first"], row["order"], row["operations"]["synops_smallest"]
    (tmp_path / "toy.json").write_text(json.dumps(content))
    assert list(read_baseline(tmp_path / "toy.json").rows) == list(runs.baseline.rows)
    del content["cells"][0]["operations"]["synops_graded"]
    (tmp_path / "toy.json").write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match="operations"):
        read_baseline(tmp_path / "toy.json")


def test_a_baseline_is_of_all_cells_or_none(runs: Runs) -> None:
    save(runs.store, runs.cells[0], None)
    runs.store.save(Record(cell=runs.cells[1], status="failed", reason="it broke"))
    with pytest.raises(BenchmarkError) as raised:
        take_baseline("toy", cells(4), runs.store)
    said = str(raised.value)
    assert "3 of 4 cells" in said
    assert "the outcomes of its samples are not beside its record" in said
    assert "failed (it broke)" in said
    assert "is missing" in said


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """An edit by somebody who makes the digest fit."""
    return lambda folder: edit(folder / "toy.json", change)


def text(content: str) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        (folder / "toy.json").write_text(content)

    return write


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "toy.json").unlink(), "There is no .*toy.json. Write a baseline with: .*--update"),
        (lambda folder: (folder / "toy.parquet").unlink(), "There is no .*toy.parquet"),
        (lambda folder: (folder / "toy.json").write_bytes(b"\xff\xfe\x00"), "it is no text"),
        (text('{\n "suite": "toy",\n}'), "toy.json is damaged .it is no JSON: .*line (2|3)"),
        (text("[]"), "toy.json is damaged .it has no digest"),
        (edited(lambda page: page.update(schema_version=99)), "newer version"),
        (edited(lambda page: page.update(suit="x")), "no key 'suit'; did you mean 'suite'"),
        (edited(lambda page: page["cells"][1].update(metrics="x")), r"no key 'cells.1.metrics'; did you mean 'metric'"),
        (edited(lambda page: page["cells"][1].pop("value")), r"'cells.1.value' is wrong: Field required"),
        (edited(lambda page: page["cells"][1]["operations"].pop("macs")), r"'cells.1.operations' is wrong"),
        (edited(lambda page: page.update(cells=[])), "'cells' is wrong"),
        (edited(lambda page: page["cells"].append(page["cells"][0])), "holds digits-.* twice"),
        (edited(lambda page: page["cells"][2].update(n=999)), "does not hold the 999 samples of digits-"),
        (edited(lambda page: page["cells"][2].update(id="other")), "does not hold the 1000 samples of other"),
        (edited(lambda page: page.update(samples_sha256="0" * 64)), "toy.parquet is not the file that .*toy.json was"),
        (lambda folder: (folder / "toy.parquet").write_bytes(b"PAR1"), "toy.parquet is not the file"),
    ],
)
def test_every_defect_is_named(tmp_path: Path, runs: Runs, damage: Callable[[Path], object], said: str) -> None:
    write_baseline(runs.baseline, tmp_path / "toy.json")
    damage(tmp_path)
    with pytest.raises(InvalidInput, match=said):
        read_baseline(tmp_path / "toy.json")


def test_places_that_no_baseline_can_be_written_to(tmp_path: Path, runs: Runs) -> None:
    with pytest.raises(InvalidInput, match="named by its JSON file"):
        write_baseline(runs.baseline, tmp_path / "toy.parquet")
    with pytest.raises(InvalidInput, match="There is no folder"):
        write_baseline(runs.baseline, tmp_path / "none" / "toy.json")


def test_the_shipped_baseline_is_of_the_smoke_suite() -> None:
    shipped = read_baseline(SHIPPED)
    assert shipped.suite == "smoke"
    assert [row.id for row in shipped.rows] == [cell.id for cell in load_suite("smoke").cells()]
    for row in shipped.rows:
        assert row.value == pytest.approx(100 * shipped.outcomes[row.id].mean())
