"""Cells of a published suite measured again: what is as published is equal, what was altered is found."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.engines.inline import Inline
from benchmarks.execution.worker import Job, Settings
from benchmarks.gate.figures import beyond_tolerance, changed, contradictions, figures, unrecorded
from benchmarks.gate.verify import draw, faults, judge_again, verify
from benchmarks.pages.publication import publish_suite
from benchmarks.pages.tables import collect, write_tables
from benchmarks.records.manifest import read_manifest, write_manifest
from benchmarks.records.published import PublishedSuite, write_published
from benchmarks.records.record import Cause, Measurement, Record
from benchmarks.records.store import Store
from benchmarks.suites.files import load_suite
from benchmarks.suites.suite import Suite
from tests.benchmarks.conftest import Cli

pytestmark = pytest.mark.slow

SUITE = """
name: own
title: A few cheap cells
calibration: 32
entries:
  - {tasks: [digits], networks: [digits_convnet], methods: [calibration, {burst: {phi: 4}, quantised_ann: {phi: 4}}],
     T: [2, 4], limit: 60}
"""
Change = Callable[[Record], Record]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    path = tmp_path_factory.mktemp("suite") / "own.yaml"
    path.write_text(textwrap.dedent(SUITE))
    return load_suite(str(path))


@pytest.fixture(scope="module")
def store(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """All cells of the suite, measured."""
    return measure(suite, tmp_path_factory.mktemp("work"))


def measure(suite: Suite, root: Path) -> Store:
    store = Store(root, suite.name)
    for _ in Inline().run([Job(cell, root, suite.name, Settings()) for cell in suite.cells()]):
        pass
    return store


@pytest.fixture
def published(suite: Suite, store: Store, tmp_path: Path) -> PublishedSuite:
    return publish_suite(suite, store, tmp_path / "published").suite


@pytest.fixture
def verify_(cli: Cli, tmp_path: Path) -> Cli:
    """`verify` on the command line, in a folder with the file of the suite."""
    (tmp_path / "own.yaml").write_text(textwrap.dedent(SUITE))
    return partial(cli, "verify", "--suite", "own.yaml", "--results", "published", "--engine", "inline")


def altered(
    suite: Suite, published: PublishedSuite, index: int, change: Change, samples: pd.DataFrame | None = None
) -> PublishedSuite:
    """A copy in which one record was changed, written by the writer itself: every digest fits, and so do the tables."""
    found = []
    for place, record in enumerate(published.records()):
        table = published.samples(record)
        assert table is not None
        if place == index:
            record, table = change(record), table if samples is None else samples
        found.append(Measurement(record=record, samples=table))
    copy = write_published(published.folder.parent, suite.name, found)
    write_tables(suite, copy, collect(suite, copy))
    return PublishedSuite(published.folder.parent, suite.name)


def with_figure(record: Record, field: str, **changes: Any) -> Record:
    """The record with other figures in its totals, or in its primary metric."""
    if field == "totals":
        assert record.totals is not None
        return record.model_copy(update={"totals": record.totals.model_copy(update=changes)})
    old = record.metrics[record.primary_metric]
    if "value" in changes:  # A value lies within its interval.
        changes |= {"ci_low": min(old.ci_low, changes["value"]), "ci_high": max(old.ci_high, changes["value"])}
    metric = old.model_copy(update=changes)
    return record.model_copy(update={"metrics": {record.primary_metric: metric}})


def with_first(record: Record, field: str, **changes: Any) -> Record:
    """The record with other figures of its first layer."""
    first, *others = getattr(record, field)
    return record.model_copy(update={field: [first.model_copy(update=changes), *others]})


def test_cells_as_published_are_equal_and_the_manifest_says_so(published: PublishedSuite, verify_: Cli) -> None:
    code, out, error = verify_("--cells", "7", "--record")
    assert code == 0, error
    assert out.count("equal: digits digits_convnet") == 7
    assert "Suite own: of 7 cells 7 drawn, 7 equal." in out
    (entry,) = read_manifest(published.folder).verified
    assert set(entry.cells) == {record.cell.id for record in published.records()} and entry.outcome == "7 equal"
    assert entry.machine.processor and entry.machine.isa and set(entry.versions) >= {"python", "torch", "numpy"}
    page = (published.folder / "results.md").read_text()
    assert f"Last verified on {entry.date}" in page and "7 of 7 cells, 7 equal." in page
    assert verify_("--cells", "1", "--seed", "1")[0] == 0  # Whole after the entry was added.
    assert len(read_manifest(published.folder).verified) == 1


ALTERED: dict[str, Change] = {
    "accuracy": lambda record: with_figure(record, "metrics", value=record.metrics["accuracy"].value - 100 / 60),
    "interval": lambda record: with_figure(record, "metrics", ci_low=record.metrics["accuracy"].ci_low + 0.01),
    "operations": lambda record: with_figure(record, "totals", synops_unary=record.totals.synops_unary * 1.0005),  # type: ignore[union-attr]
    "macs": lambda record: with_figure(record, "totals", macs_once=record.totals.macs_once * 1.01),  # type: ignore[union-attr]
    "curve": lambda record: record.model_copy(update={"curve": record.curve | {1: record.curve[1] + 100 / 60}}),
    "activity": lambda record: record.model_copy(update={"activity": [1.01 * a for a in record.activity]}),
    "layers": lambda record: with_first(record, "layers", spikes=record.layers[0].spikes + 1),
    "report": lambda record: with_first(record, "report", rho=(record.report[0].rho or 0) + 0.5),
}  # fmt: skip


@pytest.mark.parametrize("figure", ALTERED)
def test_one_altered_figure_is_found_though_every_digest_fits(
    suite: Suite, store: Store, published: PublishedSuite, figure: str
) -> None:
    records = list(published.records())
    index = next(place for place, record in enumerate(records) if record.cell.method == "burst" and record.cell.T == 4)
    copy = altered(suite, published, index, ALTERED[figure])
    verdicts = {found.record.cell.id: found for found in judge_again(list(copy.records()), copy, store)}
    found = verdicts.pop(records[index].cell.id)
    assert found.verdict == "different", found.reason
    assert {other.verdict for other in verdicts.values()} == {"equal"}


def test_an_altered_figure_ends_the_command_with_4(suite: Suite, published: PublishedSuite, verify_: Cli) -> None:
    """Also where its cell is not measured again, if the record contradicts itself."""
    altered(suite, published, 3, ALTERED["accuracy"])
    for count in ("1", "7"):
        code, out, _ = verify_("--cells", count, "--record")
        assert code == 4
        assert "accuracy and predictions disagree" in out
    assert "different: " in out and "no spike moved; metrics.accuracy.value was" in out
    assert "6 equal, 1 different" in (published.folder / "results.md").read_text()


def test_altered_samples_are_found(suite: Suite, published: PublishedSuite, store: Store) -> None:
    record = list(published.records())[3]
    table = published.samples(record)
    assert table is not None
    table.loc[:9, "outcome"] = 1 - table.loc[:9, "outcome"]
    copy = altered(suite, published, 3, lambda same: same, table)
    assert any("outcomes and predictions disagree" in fault for fault in faults(suite, copy))
    assert judge_again([list(copy.records())[3]], copy, store)[0].verdict == "different"


def test_tables_that_are_not_those_of_the_records_are_found(suite: Suite, published: PublishedSuite) -> None:
    assert faults(suite, published) == []
    content = (published.folder / "results.csv").read_bytes()
    published.write("results.csv", content.replace(b",calibration,", b",celebration,"))
    assert faults(suite, PublishedSuite(published.folder.parent, "own")) == [
        "results.csv is not what the records say; `report` writes it again"
    ]


@pytest.mark.parametrize(("key", "value"), [("content_sha256", "0" * 64), ("measured", [])], ids=["content", "origin"])
def test_a_manifest_that_was_edited_is_found(suite: Suite, published: PublishedSuite, key: str, value: object) -> None:
    write_manifest(published.manifest.model_copy(update={key: value}), published.folder)
    said = faults(suite, PublishedSuite(published.folder.parent, "own"))
    assert said and "suite.json" in said[0]


def shifted(store: Store, root: Path, share: float, flips: int) -> Store:
    """A store as another processor would leave it: counts a little apart, outcomes of some samples the other way."""
    other = Store(root, store.folder.name)
    for record in store.records():
        table = store.samples(record)
        assert table is not None and record.totals is not None
        table = table.copy()
        table.loc[: flips - 1, "outcome"] = 1 - table.loc[: flips - 1, "outcome"]
        table["synops_unary"] = (table["synops_unary"] * (1 + share)).round().astype(int)
        value = 100 * float(table["outcome"].mean())
        totals = record.totals.model_copy(update={"synops_unary": record.totals.synops_unary * (1 + share)})
        record = with_figure(record, "metrics", value=value)
        other.save(record.model_copy(update={"totals": totals}), table)
    return other


@pytest.mark.parametrize(
    ("share", "flips", "verdict"),
    [(5e-4, 2, "within tolerance"), (-5e-4, 0, "within tolerance"), (2e-3, 0, "different"), (-2e-3, 0, "different"),
     (5e-4, 12, "different")],
)  # fmt: skip
def test_tolerance_is_that_of_the_gate_in_both_directions(
    published: PublishedSuite, store: Store, tmp_path: Path, share: float, flips: int, verdict: str
) -> None:
    spiking = [record for record in published.records() if record.cell.method == "calibration"]
    found = judge_again(spiking, published, shifted(store, tmp_path / "other", share, flips))
    assert {item.verdict for item in found} == {verdict}, found


def test_without_outcomes_the_net_change_is_tested_as_if_all_samples_differed_one_way(
    suite: Suite, published: PublishedSuite, store: Store, tmp_path: Path
) -> None:
    """Published before outcomes were kept: 5 samples of net change are no test, 6 are."""
    found = [Measurement(record=record, samples=pd.DataFrame()) for record in published.records()]
    bare = write_published(tmp_path / "bare", suite.name, found)
    records = [record for record in bare.records() if record.cell.method == "calibration"]
    assert {item.verdict for item in judge_again(records, bare, store)} == {"equal"}
    for samples, verdict in ((5, "within tolerance"), (6, "different")):
        other = Store(tmp_path / f"other-{samples}", suite.name)
        for record in store.records():
            totals = record.totals
            assert totals is not None
            value = record.metrics["accuracy"].value - 100 * samples / 60
            totals = totals.model_copy(update={"synops_unary": totals.synops_unary * 1.0001})
            other.save(
                with_figure(record, "metrics", value=value).model_copy(update={"totals": totals}), store.samples(record)
            )
        assert {item.verdict for item in judge_again(records, bare, other)} == {verdict}


def test_what_fails_now_is_different_and_what_cannot_be_measured_is_neither(
    published: PublishedSuite, store: Store, tmp_path: Path
) -> None:
    other = Store(tmp_path / "other", "own")
    first, second, third, *_ = published.records()
    other.save(Record(cell=first.cell, status="failed", reason="the method refuses", cause="refused"))
    other.save(Record(cell=second.cell, status="failed", reason="out of memory", cause="killed"))
    found = judge_again([first, second, third], published, other)
    assert [item.verdict for item in found] == ["different", "not measured", "not measured"]
    assert "fails now: the method refuses" in found[0].reason


def test_missing_data_and_other_weights_exit_with_3(
    suite: Suite, published: PublishedSuite, verify_: Cli, tmp_path: Path
) -> None:
    for change in ({"weights": "0" * 8}, {"data": "0" * 8}):
        altered(
            suite, published, 0, lambda record, change=change: record.model_copy(  # type: ignore[misc]
                update={"fingerprint": record.fingerprint | change}
            ),
        )  # fmt: skip
        code, out, _ = verify_("--cells", "7")
        assert code == 3 and f"published with other {next(iter(change))} than are here" in out
        assert out.count("equal: ") == 6
    real = Path(__file__).parents[3] / "results/published"
    code, out, _ = verify_("--suite", "cifar10", "--results", str(real), "--cells", "2")
    assert code == 3 and out.count("not measured: cifar10") == 2 and "No data root" in out
    code, _, error = verify_("--suite", "own.yaml", "--results", "nowhere")
    assert code == 2 and "There is no published suite in nowhere/own" in error


def cheap(records: Sequence[Record], method: str) -> list[str]:
    ordered = sorted((r for r in records if r.cell.recipe.label == method), key=lambda r: r.convert_s + r.evaluate_s)
    return [record.cell.id for record in ordered[: -(-len(ordered) // 3)]]


def test_cheap_cells_of_each_method_are_drawn_first_by_a_seed() -> None:
    root = Path(__file__).parents[3] / "results/published"
    records = list(PublishedSuite(root, "mini").records())
    methods = {record.cell.recipe.label for record in records}
    drawn = draw(records, len(methods), seed=0)
    assert {record.cell.recipe.label for record in drawn} == methods
    assert all(record.cell.id in cheap(records, record.cell.recipe.label) for record in drawn)
    assert draw(records[::-1], 6, seed=3) == draw(records, 6, seed=3)
    assert len({tuple(record.cell.id for record in draw(records, 6, seed)) for seed in range(5)}) == 5
    everything = draw(records, 10_000, seed=1)
    assert len(everything) == len(records) == len({record.cell.id for record in everything})


def test_every_figure_of_a_record_is_compared(published: PublishedSuite) -> None:
    record = next(record for record in published.records() if record.cell.method == "calibration")
    found = figures(record)
    fields = {place.split(".")[0] for place in found}
    assert fields == {"metrics", "curve", "totals", "layers", "activity", "report"}
    assert changed(record, record) == {} and contradictions(record, published.samples(record)) == []
    shorter = record.model_copy(update={"activity": record.activity[:-1]})
    (place,) = changed(record, shorter)
    assert beyond_tolerance(record, changed(record, shorter)) == [f"{place} is not there any more"]
    assert np.isfinite(list(found.values())).all()


def kept_samples(published: PublishedSuite, record: Record) -> pd.DataFrame:
    table = published.samples(record)
    assert table is not None
    return table


@pytest.mark.parametrize("field", ["curve", "activity", "report", "layers"])
def test_figures_that_were_removed_from_a_record_are_found(
    suite: Suite, store: Store, published: PublishedSuite, field: str
) -> None:
    copy = altered(
        suite, published, 3, lambda record: record.model_copy(update={field: type(getattr(record, field))()})
    )
    (found,) = judge_again([list(copy.records())[3]], copy, store)
    assert found.verdict == "different" and f"{field}." in found.reason and "nothing is published" in found.reason


def test_a_field_that_no_record_has_is_named_and_not_compared(
    suite: Suite, store: Store, published: PublishedSuite, tmp_path: Path
) -> None:
    """Suites may be older than a field."""
    older = [
        Measurement(
            record=record.model_copy(update={"activity": [], "report": []}), samples=kept_samples(published, record)
        )
        for record in published.records()
    ]
    copy = write_published(tmp_path / "older", suite.name, older)
    assert unrecorded(copy.records()) == {"activity", "report", "exits", "departures"}
    found = judge_again(list(copy.records()), copy, store)
    assert {item.verdict for item in found} == {"equal"}
    assert {item.reason.partition("figure")[2] for item in found if item.record.cell.method == "burst"} == {
        " but activity and report, which the suite was published without"
    }


def test_outcomes_that_were_forged_consistently_are_different(
    suite: Suite, store: Store, published: PublishedSuite
) -> None:
    """Outcomes, predictions, accuracy, interval and curve agree with each other, but no spike moved."""
    record = next(r for r in published.records() if r.cell.method == "burst" and r.cell.T == 4)
    index = [r.cell.id for r in published.records()].index(record.cell.id)
    table = published.samples(record)
    assert table is not None
    forged = table.copy()
    wrong, right = (table.index[table["outcome"] == score][:1] for score in (0, 1))

    def retold(record: Record) -> Record:
        value = 100 * float(forged["outcome"].mean())
        curve = record.curve | {max(record.curve): value}
        return with_figure(record, "metrics", value=value).model_copy(update={"curve": curve})

    for rows, outcome in ((right, 0), (wrong, 1)):
        if not len(rows):
            continue
        forged = forged.copy()
        forged.loc[rows, "outcome"] = outcome
        target = forged.loc[rows, "target"]
        forged.loc[rows, "prediction"] = target if outcome else (target + 1) % 10
        copy = altered(suite, published, index, retold, forged)
        forged_record = copy.load(record.cell)
        assert forged_record is not None and contradictions(forged_record, copy.samples(forged_record)) == []
        (found,) = judge_again([forged_record], copy, store)
        assert found.verdict == "different" and "samples came out otherwise" in found.reason, found


def test_an_ann_may_come_out_otherwise_by_rounding(published: PublishedSuite, store: Store, tmp_path: Path) -> None:
    (ann,) = (record for record in published.records() if record.cell.method == "ann")
    (found,) = judge_again([ann], published, shifted(store, tmp_path / "other", 0, 2))
    assert found.verdict == "within tolerance" and "2 samples lost" in found.reason


def refused(record: Record, cause: Cause = "refused") -> Record:
    return Record(
        cell=record.cell, status="failed", cause=cause, reason="the method refuses", fingerprint=record.fingerprint,
        provenance=record.provenance,
    )  # fmt: skip


def test_refused_cells_are_drawn_and_have_to_be_refused_again(
    suite: Suite, store: Store, published: PublishedSuite, tmp_path: Path
) -> None:
    copy = altered(suite, published, 3, refused, pd.DataFrame())
    record = list(copy.records())[3]
    assert record.status == "failed" and faults(suite, copy) == []
    assert any(record in draw(copy.records(), 4, seed) for seed in range(5))
    (found,) = judge_again([record], copy, store)
    assert found.verdict == "different" and "it was refused, and is measured now" in found.reason
    other = Store(tmp_path / "other", "own")
    for again, verdict in (
        (refused(record), "equal"), (refused(record, "error"), "different"),
        (refused(record, "killed"), "not measured"),
        (refused(record).model_copy(update={"reason": "another"}), "different"),
    ):  # fmt: skip
        other.save(again)
        assert judge_again([record], copy, other)[0].verdict == verdict
    copy = altered(suite, published, 3, lambda record: refused(record, "killed"), pd.DataFrame())
    assert [fault.rpartition(": ")[2] for fault in faults(suite, copy)] == [
        "it is published as failed, and not because the method refused it"
    ]


def test_a_cell_without_a_record_is_named_and_exits_with_3(
    suite: Suite, published: PublishedSuite, verify_: Cli
) -> None:
    first, *others = published.records()
    kept = [Measurement(record=record, samples=kept_samples(published, record)) for record in others]
    write_tables(suite, copy := write_published(published.folder.parent, suite.name, kept), collect(suite, copy))
    code, out, _ = verify_("--cells", "1")
    assert code == 3 and f"; not published: {first.cell.label}." in out


def test_what_is_published_is_checked_before_anything_is_measured(
    suite: Suite, published: PublishedSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def checked(*_: object) -> list[str]:
        order.append("checked")
        return ["a fault"]

    monkeypatch.setattr("benchmarks.gate.verify.faults", checked)
    monkeypatch.setattr("benchmarks.gate.verify.run_jobs", lambda *_: order.append("measured"))
    found = verify(suite, published, 1, 0, None, None, "inline")
    assert order == ["checked", "measured"] and found.faults == ["a fault"]


@pytest.mark.parametrize("absent", ["outcome", "steps"])
def test_samples_that_lack_a_column_are_a_contradiction(published: PublishedSuite, absent: str) -> None:
    record = next(published.records())
    table = published.samples(record)
    assert table is not None
    assert contradictions(record, table.drop(columns=absent)) == [f"its samples have no {absent}"]
