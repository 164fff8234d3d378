"""Two stores side by side, and the command `compare`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate.stores import compare_stores, compared_page
from benchmarks.records.sealed import seal
from benchmarks.records.store import RECORD, Store
from tests.benchmarks.conftest import Cli
from tests.benchmarks.site.conftest import ROWS, write_results


@pytest.fixture
def before(tmp_path: Path) -> Path:
    (tmp_path / "before").mkdir()
    return write_results(tmp_path / "before")


@pytest.fixture
def now(tmp_path: Path, before: Path) -> Path:
    return Path(shutil.copytree(before, tmp_path / "now"))


def test_a_store_is_the_same_as_its_copy(before: Path, now: Path, cli: Cli) -> None:
    status, said, _ = cli("compare", str(before), str(now))
    assert status == 0 and f"{len(ROWS)} cells in both: {len(ROWS)} equal; 0 only in the first" in said


def test_what_changed_is_said_with_the_samples(before: Path, now: Path, cli: Cli) -> None:
    record, samples = ROWS[1]
    outcome = samples["outcome"].to_numpy().copy()
    outcome[:12] = 1 - outcome[:12]  # Twelve that were right are wrong.
    value = record.metrics["accuracy"].model_copy(update={"value": 100 * float(outcome.mean()), "ci_low": 0.0})
    changed = record.model_copy(update={"metrics": {"accuracy": value}})
    Store(now, "own").save(changed, samples.assign(outcome=outcome))
    other = ROWS[2][0].model_copy(update={"fingerprint": ROWS[2][0].fingerprint | {"data": "another"}})
    Store(now, "own").save(other, ROWS[2][1])
    shutil.rmtree(now / "own" / "cells" / ROWS[3][0].cell.id)
    status, said, _ = cli("compare", str(before / "own"), str(now))
    assert status == 1
    assert f"{len(ROWS) - 1} cells in both: {len(ROWS) - 3} equal, 1 changed, 1 other inputs" in said
    assert "1 only in the first, 0 only in the second" in said and "has other data: not compared" in said
    (row,) = [line for line in said.splitlines() if line.startswith("| own")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2:6] == ["60.00", "30.00", "-30.00", "0 / 12"]
    assert float(cells[6]) == pytest.approx(2 * 0.5**12, rel=0.05), "the exact McNemar test"


def test_what_one_record_does_not_hold_is_not_compared(before: Path, now: Path) -> None:
    record, samples = ROWS[1]
    Store(now, "own").save(record.model_copy(update={"report": [], "schema_version": 2}), samples)
    found = compare_stores([("own", Store(before, "own"), Store(now, "own"))])
    assert found.same


def test_records_of_different_schemas_are_said(before: Path, now: Path) -> None:
    found = compare_stores([("own", Store(before, "own"), Store(now, "own"))])
    said = compared_page(type(found)(found.pairs, found.only, ([2], [2, 3])), ("a", "b"))
    assert "The records of the first are of schema 2, those of the second of schema 2 and 3" in said
    assert "schema" not in compared_page(found, ("a", "b"))


def test_a_newer_schema_cannot_be_compared(before: Path, now: Path, cli: Cli) -> None:
    path = now / "own" / "cells" / ROWS[0][0].cell.id / RECORD
    content = json.loads(path.read_text())
    del content["digest"]
    path.write_bytes(seal(json.dumps(content | {"schema_version": 99}).encode()))
    status, _, said = cli("compare", str(before), str(now))
    assert status == 2 and "was written by a newer version of this benchmark; update it" in said


@pytest.mark.slow
def test_two_commits_are_compared(tmp_path: Path, before: Path, cli: Cli) -> None:
    published = tmp_path / "results" / "published"
    shutil.copytree(before, published)

    def git(*words: str) -> None:
        name = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    git("add", "results")
    git("commit", "-q", "-m", "one")
    record, samples = ROWS[1]
    totals = record.totals
    assert totals is not None
    dearer = totals.model_copy(update={"synops_unary": 2 * totals.synops_unary})
    Store(published, "own").save(record.model_copy(update={"totals": dearer}), samples)
    git("commit", "-q", "-a", "-m", "two")
    status, said, _ = cli("compare", "HEAD~1", "HEAD:results/published")
    assert status == 1 and "1 changed" in said and "1: totals" in said
    assert cli("compare", "HEAD", str(published))[0] == 0
    for wrong, reason in {
        "HEAD:nowhere": "has no folder nowhere", "HEAD:../up": "from the root",
        "nothing": "neither a folder of results here nor a commit", "--output=x": "",
    }.items():  # fmt: skip
        status, _, said = cli("compare", "HEAD", wrong)
        assert status == 2 and reason in said
    assert not (tmp_path / "x").exists()


def test_stores_without_a_common_cell_cannot_be_compared(before: Path, tmp_path: Path, cli: Cli) -> None:
    record, samples = ROWS[1]
    Store(tmp_path / "other", "own").save(record.model_copy(update={
        "cell": record.cell.model_copy(update={"calibration": 99}),
    }), samples)  # fmt: skip
    status, _, said = cli("compare", str(before), str(tmp_path / "other"))
    assert status == 2 and "no cell in common" in said
    (tmp_path / "empty").mkdir()
    assert cli("compare", str(before), str(tmp_path / "empty"))[0] == 2


def test_rounding_is_no_change(before: Path, now: Path) -> None:
    record, samples = ROWS[1]
    totals = record.totals
    assert totals is not None
    near = totals.model_copy(update={"synops_unary": float(np.nextafter(totals.synops_unary, np.inf))})
    Store(now, "own").save(record.model_copy(update={"totals": near}), samples)
    assert compare_stores([("own", Store(before, "own"), Store(now, "own"))]).same
