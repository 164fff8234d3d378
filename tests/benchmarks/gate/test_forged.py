"""What was altered in a published suite is found, though every digest fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate.figures import beyond_tolerance, changed, contradictions, figures, unrecorded
from benchmarks.gate.verify import faults, judge_again
from benchmarks.records.manifest import write_manifest
from benchmarks.records.published import PublishedSuite, write_published
from benchmarks.records.record import Measurement, Record
from benchmarks.records.store import Store
from benchmarks.suites.suite import Suite
from tests.benchmarks.conftest import Cli
from tests.benchmarks.gate.small_suite import Change, altered, kept_samples, with_figure, with_first

pytestmark = pytest.mark.slow
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


@pytest.mark.parametrize("field", ["curve", "activity", "report", "layers"])
def test_figures_that_were_removed_from_a_record_are_found(
    suite: Suite, store: Store, published: PublishedSuite, field: str
) -> None:
    copy = altered(
        suite, published, 3, lambda record: record.model_copy(update={field: type(getattr(record, field))()})
    )
    (found,) = judge_again([list(copy.records())[3]], copy, store)
    assert found.verdict == "different" and f"{field}." in found.reason and "nothing is published" in found.reason


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


@pytest.mark.parametrize("absent", ["outcome", "steps"])
def test_samples_that_lack_a_column_are_a_contradiction(published: PublishedSuite, absent: str) -> None:
    record = next(published.records())
    table = published.samples(record)
    assert table is not None
    assert contradictions(record, table.drop(columns=absent)) == [f"its samples have no {absent}"]


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
