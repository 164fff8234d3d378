"""A published suite holds what its working store held, in few files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks.execution.workbench import ROOT
from benchmarks.gate.verify import faults
from benchmarks.pages.leaderboard import leaderboard_of
from benchmarks.pages.publication import publish_suite
from benchmarks.pages.tables import collect, write_tables
from benchmarks.records import published as published_module
from benchmarks.records.manifest import MANIFEST, check_files, digest, read_manifest
from benchmarks.records.published import RECORDS, SAMPLES, PublishedSuite, content_digest
from benchmarks.records.reading import open_results, working_store
from benchmarks.records.store import Store
from benchmarks.suites.files import load_suite
from conversion.counting.operations import KINDS
from tests.benchmarks.conftest import Cli
from tests.benchmarks.gate.measurements import right, save
from tests.benchmarks.records.made_up import AGAIN, CELLS, MEASURED, PAGES, SUITE

pytestmark = pytest.mark.slow


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


def test_of_very_many_samples_operations_are_left_out(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outcomes, by which methods are compared, stay; the suite is still whole, and so are the sums of its records."""
    monkeypatch.setattr(published_module, "MOST_COUNTED", 10)
    publish_suite(SUITE, store, tmp_path / "small")
    suite = PublishedSuite(tmp_path / "small", "smoke")
    assert {"outcome", "steps"} <= set(pq.read_schema(suite.folder / SAMPLES).names)
    assert not set(KINDS) & set(pq.read_schema(suite.folder / SAMPLES).names)
    # The made-up counts do not add up, but manifest and tables are right, as above.
    assert all(fault.startswith(tuple(f"{cell.label}: " for cell in CELLS)) for fault in faults(SUITE, suite))
    assert all(record.totals is not None and record.totals.spikes >= 0 for record in suite.records())


def test_pages_are_those_of_the_working_store_and_say_what_measured_them(
    store: Store, published: PublishedSuite
) -> None:
    write_tables(SUITE, store, collect(SUITE, store))
    csv, page = ((store.folder / name).read_text() for name in PAGES)
    assert (published.folder / "results.csv").read_text() == csv
    line = (
        f"Measured: 13 cells at commit `{'ab' * 5}` on 2026-11-21; cpu (x86_64), Some CPU (x86_64 AVX2, 2 cores), "
        "torch 2.14.1. Not verified since."
    )
    shown = (published.folder / "results.md").read_text()
    assert line in shown and shown.replace(f"{line}\n\n", "") == page
    published.add(AGAIN)
    write_tables(SUITE, published, collect(SUITE, published))
    shown = (published.folder / "results.md").read_text()
    assert (
        f"Last verified on 2026-11-27 at commit `{'cd' * 5}`, Other CPU, torch 2.14.1: 2 of 13 cells, 1 equal, "
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
    assert code == 0 and "13 cells: 13 done, 0 failed, 0 impossible, 0 missing" in out
    # Priced by another list, the tables belong to the records all the same.
    dearer = ("--price-list", "lemaire32k", "--pictures", "0")
    assert cli("report", "--suite", "smoke", "--results", "published", *dearer)[0] == 0
    assert (published.folder / "results.csv").read_bytes() != before["results.csv"]
    PublishedSuite(published.folder.parent, "smoke")


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
        (12, "ab", "2026-11-21"), (1, "ef", "2026-11-28"),
    ]  # fmt: skip
    frame = pd.read_csv(again.folder / "results.csv")
    assert (frame["status"] == "done").all() and frame["cell"].nunique() == 13
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
    assert code == 3 and published.endswith("to/smoke: 12 cells as measured, 0 as published before.")
    assert origin.startswith("Measured: 12 cells")
    assert error == f"Missing: {CELLS[4].label}; the table says so.\n"
    assert "is missing: not run yet" in (tmp_path / "to/smoke/results.md").read_text()
    code, _, error = cli("publish", "--suite", "mini", "--results", "work", "--to", "to")
    assert code == 2 and "There are no records of suite mini" in error
    code, _, error = cli("verify", "--suite", "mini", "--results", "to")
    assert code == 2 and "There is no published suite in to/mini" in error


@pytest.mark.parametrize("command", ["run", "plan"])
def test_nothing_is_measured_into_the_folder_of_a_published_suite(
    published: PublishedSuite, cli: Cli, command: str
) -> None:
    before = sorted(published.folder.iterdir())
    code, out, error = cli(command, "--suite", "smoke", "--results", "published/smoke")
    assert (code, out) == (2, "") and "published/smoke is the folder of a published suite" in error
    assert sorted(published.folder.iterdir()) == before


def test_the_leaderboard_of_the_published_suites_is_one_file_however_their_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (Path("results/published"), tmp_path / "results/published", Path("results/../results/published")):
        assert leaderboard_of(name) == Path("leaderboard.md")
    assert leaderboard_of(Path("results")) == Path("results/leaderboard.md")


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
