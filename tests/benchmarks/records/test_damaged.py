"""No file of a published suite can be changed unnoticed, and what is damaged is said in a sentence."""

from __future__ import annotations

import gzip
import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.api import load_results
from benchmarks.pages.publication import publish_suite
from benchmarks.records.manifest import MANIFEST
from benchmarks.records.published import RECORDS, SAMPLES, PublishedSuite
from benchmarks.records.reading import open_results
from benchmarks.records.sealed import seal
from benchmarks.records.store import Store
from benchmarks.suites.files import load_suite
from conversion.errors import BenchmarkError, InvalidInput
from tests.benchmarks.conftest import Cli
from tests.benchmarks.records.edits import edit
from tests.benchmarks.records.made_up import AGAIN, CELLS, PAGES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", [RECORDS, SAMPLES, *PAGES])
@pytest.mark.parametrize("command", ["report", "verify", "publish"])
def test_a_file_changed_by_hand_is_refused_in_a_sentence(
    published: PublishedSuite, cli: Cli, name: str, command: str
) -> None:
    path = published.folder / name
    path.write_bytes(path.read_bytes() + b"\n")
    place = ("--results", "work", "--to", "published") if command == "publish" else ("--results", "published")
    code, _, error = cli(command, "--suite", "smoke", *place)
    assert code == 2
    assert error.count("\n") == 1
    assert f"The published file published/smoke/{name} was changed after it was published" in error.replace(
        str(published.folder.parent.parent) + "/", ""
    )
    path.unlink()
    assert f"{name} is missing" in cli(command, "--suite", "smoke", *place)[2]


def test_the_leaderboard_takes_no_table_that_was_changed_by_hand(
    store: Store, published: PublishedSuite, cli: Cli
) -> None:
    other = load_suite("smoke").model_copy(update={"name": "other"})
    (store.folder.parent / "other").symlink_to(store.folder)
    publish_suite(other, Store(store.folder.parent, "other"), published.folder.parent)
    path = published.folder.parent / "other/results.csv"
    path.write_text(path.read_text().replace("calibration", "celebration"))
    code, _, error = cli("report", "--suite", "smoke", "--results", "published", "--pictures", "0")
    assert code == 2 and "other/results.csv was changed after it was published" in error


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is damaged"), ("[]", "is damaged"), ('{"format": 1, "suite": "smoke"}', "is damaged (files: "),
        ('{"format": 2}', "it has no digest"), (seal(b'{"format": 3}').decode(), "newer version"),
    ],
)  # fmt: skip
def test_a_manifest_that_cannot_be_used_is_named(published: PublishedSuite, content: str, said: str) -> None:
    (published.folder / MANIFEST).write_text(content)
    with pytest.raises(InvalidInput, match=MANIFEST) as error:
        PublishedSuite(published.folder.parent, "smoke")
    assert said in str(error.value)


def rewritten(published: PublishedSuite, name: str, content: bytes) -> PublishedSuite:
    """The suite with another content of a file, and its digest made to fit."""
    published.write(name, content)
    return PublishedSuite(published.folder.parent, "smoke")


def with_record(published: PublishedSuite, change: Callable[[dict[str, Any]], object]) -> PublishedSuite:
    """The suite with a change to the JSON of its first record, and the digest made to fit."""
    first, *others = gzip.decompress((published.folder / RECORDS).read_bytes()).splitlines()
    change(content := json.loads(first))
    return rewritten(published, RECORDS, gzip.compress(b"\n".join([json.dumps(content).encode(), *others])))


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "not a number": (lambda record: record["metrics"]["accuracy"].update(value=math.nan), "metrics.accuracy.value"),
    "infinite": (lambda record: record["metrics"]["accuracy"].update(ci_high=math.inf), "metrics.accuracy.ci_high"),
    "no samples": (lambda record: record["metrics"]["accuracy"].update(n=0), "metrics.accuracy.n"),
    "fewer than none": (lambda record: record["metrics"]["accuracy"].update(n=-5), "metrics.accuracy.n"),
    "outside its interval": (lambda record: record["metrics"]["accuracy"].update(value=12.0), "within its interval"),
    "no percentage": (
        lambda record: record["metrics"]["accuracy"].update(value=250.0, ci_high=250.0), "accuracy is 250, and it is a"
    ),
    "negative steps": (lambda record: record["cell"].update(T=-1), "T is -1"),
    "negative count": (lambda record: record["totals"].update(spikes=-1.0), "spikes of totals is -1"),
    "step 0": (lambda record: record.update(curve={"0": 1.0}), "curve.0"),
    "time": (lambda record: record.update(convert_s=-1.0), "convert_s"),
    "no totals": (lambda record: record.update(totals=None), "does not say its totals"),
    "no provenance": (lambda record: record.update(provenance={}), "does not say its device"),
    "no precision": (lambda record: record["fingerprint"].pop("precision"), "does not say its precision"),
    "other primary metric": (lambda record: record.update(primary_metric="f1"), "does not say its primary metric"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_records_that_no_measurement_gives_are_refused_though_the_digest_fits(
    published: PublishedSuite, cli: Cli, change: str
) -> None:
    edit, said = CHANGES[change]
    with pytest.raises(BenchmarkError, match=RECORDS) as error:
        list(with_record(published, edit).records())
    assert said in str(error.value) and "git checkout -- " in str(error.value)
    assert cli("status", "--suite", "smoke", "--results", "published")[0] == 2


def test_two_records_of_a_cell_are_refused(published: PublishedSuite) -> None:
    lines = gzip.decompress((published.folder / RECORDS).read_bytes())
    doubled = rewritten(published, RECORDS, gzip.compress(lines + lines.splitlines()[0]))
    with pytest.raises(InvalidInput, match="has 2 records"):
        list(doubled.records())


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b"x" * 99)[:10] + b"\xff" * 40, gzip.compress(b"{"),
                gzip.compress(b"\xff"), gzip.compress(b"[" * 200_000), gzip.compress(b"3")],
    ids=["empty", "other format", "deflated garbage", "cut", "no UTF-8", "nested", "number"],
)  # fmt: skip
def test_records_that_cannot_be_read_are_damaged(published: PublishedSuite, content: bytes) -> None:
    damaged = rewritten(published, RECORDS, content)
    if content == b"":  # No bytes are no members of gzip, so no records; the manifest says otherwise.
        assert list(damaged.records()) == [] and damaged.contradictions()
        return
    with pytest.raises(BenchmarkError, match=rf"{RECORDS} (is|are) damaged"):
        list(damaged.records())
    with pytest.raises(BenchmarkError, match=rf"{RECORDS} (is|are) damaged"):
        damaged.contradictions()


def without(name: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.drop_columns(name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("cell"), "no column cell"), (without("outcome"), "no column outcome"),
        (without("steps"), "no column steps"),
        (lambda table: table.set_column(0, "cell", pa.array(range(len(table)))), "does not name a cell"),
        (lambda table: pa.concat_tables([table, table.slice(0, 1)]), "do not follow each other"),
        (lambda table: table.slice(200), "have no rows of"),
    ],
    ids=["no cell", "no outcome", "no steps", "cells as numbers", "scattered", "a cell less"],
)  # fmt: skip
def test_samples_that_cannot_be_told_apart_are_damaged(
    published: PublishedSuite, change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    file = io.BytesIO()
    pq.write_table(change(pq.read_table(published.folder / SAMPLES)), file)
    damaged = rewritten(published, SAMPLES, file.getvalue())
    with pytest.raises(InvalidInput, match="are damaged") as error:
        for record in damaged.records():
            damaged.samples(record)
    assert said in str(error.value)


@pytest.mark.parametrize("command", ["report", "verify", "publish"])
@pytest.mark.parametrize("name", [MANIFEST, "results.csv"])
def test_the_advice_on_a_damaged_suite_works(published: PublishedSuite, cli: Cli, command: str, name: str) -> None:
    (published.folder / name).write_text("{")
    place = ("--results", "work", "--to", "published") if command == "publish" else ("--results", "published")
    code, _, error = cli(command, "--suite", "smoke", *place)
    assert code == 2
    assert "`git checkout -- published/smoke`, or remove that folder and publish the suite again" in error
    shutil.rmtree(published.folder)
    assert cli("publish", "--suite", "smoke", "--results", "work", "--to", "published")[0] == 0
    assert cli("report", "--suite", "smoke", "--results", "published", "--pictures", "0")[0] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "2"}, "format: "), ({"format": 0}, "format: "), ({"format": True}, "format: "),
        ({"files": {}}, f"no digest of {RECORDS}"), ({"files": {"../x": "0" * 64}}, "files."),
        ({"files": {"/etc/hostname": "0" * 64}}, "files."), ({"files": {"..": "0" * 64}}, "files."),
        ({"files": {RECORDS: "0"}}, "files."),
        ({"verified": [AGAIN.model_dump() | {"date": "yesterday"}]}, "verified.0.date: "),
    ],
)  # fmt: skip
def test_a_manifest_with_other_names_versions_or_dates_is_refused(
    published: PublishedSuite, change: dict[str, Any], said: str
) -> None:
    edit(published.folder / MANIFEST, lambda content: content.update(change))
    with pytest.raises(InvalidInput, match=MANIFEST) as error:
        PublishedSuite(published.folder.parent, "smoke")
    assert said in str(error.value)


def test_a_manifest_from_before_it_had_a_digest_is_read_and_gets_one(published: PublishedSuite) -> None:
    path = published.folder / MANIFEST
    content = json.loads(path.read_text()) | {"format": 1}
    del content["digest"]
    path.write_text(json.dumps(content))
    older = PublishedSuite(published.folder.parent, "smoke")
    older.write("results.md", (published.folder / "results.md").read_bytes())
    renewed = PublishedSuite(published.folder.parent, "smoke").manifest
    assert renewed == published.manifest and json.loads(path.read_text())["digest"]


def test_a_nested_manifest_is_damaged(published: PublishedSuite) -> None:
    (published.folder / MANIFEST).write_text("[" * 200_000)
    with pytest.raises(InvalidInput, match="is damaged"):
        PublishedSuite(published.folder.parent, "smoke")


def test_verifications_of_unknown_cells_and_of_days_to_come_are_contradictions(published: PublishedSuite) -> None:
    published.add(AGAIN)
    assert published.contradictions() == []
    published.add(AGAIN.model_copy(update={"date": "9999-12-31"}))
    published.add(AGAIN.model_copy(update={"cells": {"no-such-cell": "equal"}}))
    assert PublishedSuite(published.folder.parent, "smoke").contradictions() == [
        f"a verification in {MANIFEST} is of 9999-12-31, which is to come",
        f"a verification in {MANIFEST} is of cells that are not published: no-such-cell",
    ]


def test_a_manifest_that_is_a_folder_or_a_broken_link_is_no_working_store(tmp_path: Path) -> None:
    (tmp_path / "folder" / MANIFEST).mkdir(parents=True)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / MANIFEST).symlink_to("nowhere")
    for suite in ("folder", "link"):
        with pytest.raises(InvalidInput, match=f"{MANIFEST} cannot be read"):
            open_results(tmp_path, suite)


@pytest.mark.parametrize("name", ["results.csv", RECORDS, MANIFEST])
@pytest.mark.parametrize("given", ["smoke/results.csv", "smoke", ""])
def test_load_results_reads_no_published_table_that_was_changed(
    published: PublishedSuite, name: str, given: str
) -> None:
    path = published.folder.parent / given
    assert len(load_results(path)) == 2 * len(CELLS)
    (published.folder / name).write_bytes((published.folder / name).read_bytes().replace(b"9", b"1") + b"x")
    with pytest.raises(InvalidInput, match=r"was changed after it was published|is damaged"):
        load_results(path)


def test_load_results_reads_no_table_that_a_published_suite_does_not_have(published: PublishedSuite) -> None:
    copy = published.folder / "mine.csv"
    shutil.copy(published.folder / "results.csv", copy)
    with pytest.raises(InvalidInput, match=r"has no digest of mine\.csv"):
        load_results(copy)
