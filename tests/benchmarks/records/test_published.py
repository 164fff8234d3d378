"""A published suite holds what its working store held, in few files, and none of them can be changed unnoticed."""

from __future__ import annotations

import gzip
import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.api import load_results
from benchmarks.execution.workbench import ROOT
from benchmarks.gate.verify import faults
from benchmarks.pages.leaderboard import leaderboard_of
from benchmarks.pages.publication import publish_suite
from benchmarks.pages.tables import collect, write_tables
from benchmarks.records.machine import Machine
from benchmarks.records.manifest import MANIFEST, Verification, check_files, digest, read_manifest
from benchmarks.records.published import RECORDS, SAMPLES, PublishedSuite, content_digest
from benchmarks.records.reading import open_results, working_store
from benchmarks.records.record import Value
from benchmarks.records.store import Store
from benchmarks.suites.files import load_suite
from conversion.errors import BenchmarkError, InvalidInput
from tests.benchmarks.conftest import Cli
from tests.benchmarks.gate.measurements import flipped, right, save

SUITE = load_suite("smoke")
CELLS = SUITE.cells()
PAGES = ("results.csv", "results.md")
MEASURED = {
    "git": "ab" * 20, "dirty": "false", "device": "cpu (x86_64)", "python": "3.11.7", "torch": "2.14.1",
    "torchvision": "0.29.1", "numpy": "2.4.0", "threads": "1", "finished": "2026-11-21T10:00:00.000+00:00",
    "processor": "Some CPU", "isa": "x86_64 AVX2", "cores": "2",
}  # fmt: skip
AGAIN = Verification(
    date="2026-11-27", commit="cd" * 20, dirty=False, machine=Machine(processor="Other CPU"),
    versions={"torch": "2.14.1"}, cells={CELLS[0].id: "equal", CELLS[1].id: "within tolerance"},
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Records of all cells of the smoke suite, made up; the third kept no samples, others differ in their columns."""
    store = Store(tmp_path / "work", SUITE.name)
    for index, cell in enumerate(CELLS):
        outcomes = flipped(right(200, 20), slice(index, index + 3))
        record = save(store, cell, None if index == 2 else outcomes)
        # The primary metric is the first, whatever its name.
        metrics = record.metrics | {"a_second_metric": Value(value=1 / 3, ci_low=0, ci_high=1, n=200)}
        samples = pd.DataFrame({"outcome": outcomes, "steps": np.full(200, 4, np.int32)})
        if index % 2:
            samples["prediction"] = np.arange(200, dtype=np.int32) % 10
        else:
            samples["answer"] = [b"four", b"", *[None] * 198]
        record = record.model_copy(update={"metrics": metrics, "provenance": MEASURED, "curve": {9: 1.0, 10: 90.0}})
        store.save(record, None if index == 2 else samples)
    return store


@pytest.fixture
def published(store: Store, tmp_path: Path) -> PublishedSuite:
    """The same, published."""
    publication = publish_suite(SUITE, store, tmp_path / "published")
    assert (publication.measured, publication.kept, publication.missing) == (len(CELLS), 0, [])
    return publication.suite


def test_records_and_samples_come_back_as_they_were_measured(store: Store, published: PublishedSuite) -> None:
    for cell in CELLS:
        before, after = store.load(cell), published.load(cell)
        assert before is not None and after is not None
        assert after.model_copy(update={"samples": before.samples}) == before
        assert list(after.metrics) == list(before.metrics) == ["accuracy", "a_second_metric"]
        assert published.state(cell) == ("done", "")
        first, second = store.samples(before), published.samples(after)
        if first is None:
            assert second is None and after.samples == ""
        else:
            assert second is not None
            pd.testing.assert_frame_equal(first, second)
    assert [record.cell.id for record in published.records()] == sorted(cell.id for cell in CELLS)


def test_few_files_and_always_the_same_bytes(store: Store, published: PublishedSuite, tmp_path: Path) -> None:
    assert {path.name for path in published.folder.iterdir()} == {RECORDS, SAMPLES, *PAGES, MANIFEST}
    publish_suite(SUITE, store, tmp_path / "elsewhere")
    for path in published.folder.iterdir():
        assert path.read_bytes() == (tmp_path / "elsewhere/smoke" / path.name).read_bytes(), path.name
    assert read_manifest(published.folder).files == {
        path.name: digest(path.read_bytes()) for path in published.folder.iterdir() if path.name != MANIFEST
    }
    lines = gzip.decompress((published.folder / RECORDS).read_bytes())
    assert [json.loads(line)["samples"] for line in lines.splitlines()].count("") == 1
    assert published.manifest.content_sha256 == content_digest(lines, pq.read_table(published.folder / SAMPLES))


def test_pages_are_those_of_the_working_store_and_say_what_measured_them(
    store: Store, published: PublishedSuite
) -> None:
    write_tables(SUITE, store, collect(SUITE, store))
    csv, page = ((store.folder / name).read_text() for name in PAGES)
    assert (published.folder / "results.csv").read_text() == csv
    line = (
        f"Measured: 11 cells at commit `{'ab' * 5}` on 2026-11-21; cpu (x86_64), Some CPU (x86_64 AVX2, 2 cores), "
        "torch 2.14.1. Not verified since."
    )
    shown = (published.folder / "results.md").read_text()
    assert line in shown and shown.replace(f"{line}\n\n", "") == page
    published.add(AGAIN)
    write_tables(SUITE, published, collect(SUITE, published))
    shown = (published.folder / "results.md").read_text()
    assert (
        f"Last verified on 2026-11-27 at commit `{'cd' * 5}`, Other CPU, torch 2.14.1: 2 of 11 cells, 1 equal, "
        "1 within tolerance." in shown
    )
    PublishedSuite(published.folder.parent, "smoke")  # Digests follow.


def test_report_reads_either(store: Store, published: PublishedSuite, cli: Cli) -> None:
    assert isinstance(open_results(store.folder.parent, "smoke"), Store)
    assert isinstance(open_results(published.folder.parent, "smoke"), PublishedSuite)
    before = {path.name: path.read_bytes() for path in published.folder.iterdir()}
    code, _, error = cli("report", "--suite", "smoke", "--results", "published", "--pictures", "0")
    assert code == 0, error
    assert {path.name: path.read_bytes() for path in published.folder.iterdir()} == before
    code, out, _ = cli("status", "--suite", "smoke", "--results", "published")
    assert code == 0 and "11 cells: 11 done, 0 failed, 0 missing" in out
    # Priced by another list, the tables belong to the records all the same.
    dearer = ("--price-list", "lemaire32k", "--pictures", "0")
    assert cli("report", "--suite", "smoke", "--results", "published", *dearer)[0] == 0
    assert (published.folder / "results.csv").read_bytes() != before["results.csv"]
    PublishedSuite(published.folder.parent, "smoke")


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
        ('{"format": 2}', "newer version"),
    ],
)  # fmt: skip
def test_a_manifest_that_cannot_be_used_is_named(published: PublishedSuite, content: str, said: str) -> None:
    (published.folder / MANIFEST).write_text(content)
    with pytest.raises(InvalidInput, match=MANIFEST) as error:
        PublishedSuite(published.folder.parent, "smoke")
    assert said in str(error.value)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_nothing_is_measured_into_published_suites(published: PublishedSuite, cli: Cli, command: str) -> None:
    for suite in ("smoke", "mini"):
        code, out, error = cli(command, "--suite", suite, "--results", "published")
        assert (code, out) == (2, "")
        assert "published holds published suites" in error and f"publish --suite {suite}" in error
    assert {path.name for path in published.folder.parent.iterdir()} == {"smoke"}


def test_what_is_published_again_replaces_only_what_was_measured_again(
    store: Store, published: PublishedSuite, tmp_path: Path
) -> None:
    newer = Store(tmp_path / "newer", SUITE.name)
    record = store.load(CELLS[5])
    assert record is not None
    provenance = MEASURED | {"git": "ef" * 20, "finished": "2026-11-28T10:00:00.000+00:00"}
    # Code changed since: rows of published suites may come from several commits.
    fingerprint = record.fingerprint | {"evaluation": "other"}
    newer.save(record.model_copy(update={"provenance": provenance, "fingerprint": fingerprint}), store.samples(record))
    renewed = publish_suite(SUITE, newer, published.folder.parent)
    assert (renewed.measured, renewed.kept, renewed.missing) == (1, len(CELLS) - 1, [])
    again = renewed.suite
    assert [(part.cells, part.commit[:2], part.first) for part in again.manifest.measured] == [
        (10, "ab", "2026-11-21"), (1, "ef", "2026-11-28"),
    ]  # fmt: skip
    frame = pd.read_csv(again.folder / "results.csv")
    assert (frame["status"] == "done").all() and frame["cell"].nunique() == 11
    # The made-up counts do not add up, but manifest and tables are right.
    labels = tuple(f"{cell.label}: " for cell in CELLS)
    assert all(fault.startswith(labels) for fault in faults(SUITE, again))


def test_a_store_without_records_leaves_what_was_published_alone(published: PublishedSuite, cli: Cli) -> None:
    before = {path.name: path.read_bytes() for path in published.folder.iterdir()}
    code, out, error = cli("publish", "--suite", "smoke", "--results", "nothing", "--to", "published")
    assert (code, out) == (2, "") and "There are no records of suite smoke" in error
    assert {path.name: path.read_bytes() for path in published.folder.iterdir()} == before


def test_verifications_belong_to_the_figures(store: Store, published: PublishedSuite, tmp_path: Path) -> None:
    published.add(AGAIN)
    same = publish_suite(SUITE, store, tmp_path / "published").suite
    assert same.manifest.verified == [AGAIN]
    record = save(store, CELLS[0], right(200, 21))
    store.save(record.model_copy(update={"provenance": MEASURED}), store.samples(record))
    other = publish_suite(SUITE, store, tmp_path / "published").suite
    assert other.manifest.verified == []


def test_missing_cells_are_said_and_exit_with_3(store: Store, tmp_path: Path, cli: Cli) -> None:
    (store.cells / CELLS[4].id / "record.json").unlink()
    code, out, error = cli("publish", "--suite", "smoke", "--results", "work", "--to", "to")
    published, origin = out.splitlines()
    assert code == 3 and published.endswith("to/smoke: 10 cells as measured, 0 as published before.")
    assert origin.startswith("Measured: 10 cells")
    assert error == f"Missing: {CELLS[4].label}; the table says so.\n"
    assert "is missing: not run yet" in (tmp_path / "to/smoke/results.md").read_text()
    code, _, error = cli("publish", "--suite", "mini", "--results", "work", "--to", "to")
    assert code == 2 and "There are no records of suite mini" in error
    code, _, error = cli("verify", "--suite", "mini", "--results", "to")
    assert code == 2 and "There is no published suite in to/mini" in error


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
    path = published.folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidInput, match=MANIFEST) as error:
        PublishedSuite(published.folder.parent, "smoke")
    assert said in str(error.value)


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


@pytest.mark.parametrize("command", ["run", "plan"])
def test_nothing_is_measured_into_the_folder_of_a_published_suite(
    published: PublishedSuite, cli: Cli, command: str
) -> None:
    before = sorted(published.folder.iterdir())
    code, out, error = cli(command, "--suite", "smoke", "--results", "published/smoke")
    assert (code, out) == (2, "") and "published/smoke is the folder of a published suite" in error
    assert sorted(published.folder.iterdir()) == before


def test_a_manifest_that_is_a_folder_or_a_broken_link_is_no_working_store(tmp_path: Path) -> None:
    (tmp_path / "folder" / MANIFEST).mkdir(parents=True)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / MANIFEST).symlink_to("nowhere")
    for suite in ("folder", "link"):
        with pytest.raises(InvalidInput, match=f"{MANIFEST} cannot be read"):
            open_results(tmp_path, suite)


def test_the_leaderboard_of_the_published_suites_is_one_file_however_their_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (Path("results/published"), tmp_path / "results/published", Path("results/../results/published")):
        assert leaderboard_of(name) == Path("leaderboard.md")
    assert leaderboard_of(Path("results")) == Path("results/leaderboard.md")


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


def test_the_table_says_nothing_of_a_metric_that_the_ann_lacks(store: Store, tmp_path: Path) -> None:
    (ann,) = (cell for cell in CELLS if cell.method == "ann")
    record = store.load(ann)
    assert record is not None
    store.save(record.model_copy(update={"metrics": {"accuracy": record.metrics["accuracy"]}}), store.samples(record))
    frame = collect(SUITE, publish_suite(SUITE, store, tmp_path / "published").suite)
    others = frame[frame["method"] != "ann"]
    assert others[others["metric"] == "a_second_metric"]["ann_value"].isna().all()
    assert others[others["metric"] == "accuracy"]["ann_value"].notna().all()


def test_a_working_store_is_none_of_published_suites(tmp_path: Path) -> None:
    assert working_store(tmp_path, "smoke").folder == tmp_path / "smoke"


@pytest.mark.parametrize("folder", sorted((ROOT / "results/published").iterdir()), ids=lambda folder: folder.name)
def test_the_published_suites_of_the_repository_are_whole(folder: Path) -> None:
    """Digests fit, tables are those of the records, records add up to themselves and to their samples."""
    check_files(folder, read_manifest(folder).files)
    assert faults(load_suite(folder.name), PublishedSuite(folder.parent, folder.name)) == []
