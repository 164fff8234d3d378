"""Cells of a published suite measured again: equal, within tolerance, different or not measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.gate.verify import draw, faults, judge_again, verify
from benchmarks.pages.tables import collect, write_tables
from benchmarks.records.manifest import read_manifest
from benchmarks.records.published import PublishedSuite, write_published
from benchmarks.records.record import Measurement, Record
from benchmarks.records.store import Store
from benchmarks.suites.suite import Suite
from tests.benchmarks.conftest import Cli
from tests.benchmarks.gate.small_suite import altered, kept_samples, refused, shifted, with_figure

pytestmark = pytest.mark.slow


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


def test_an_ann_may_come_out_otherwise_by_rounding(published: PublishedSuite, store: Store, tmp_path: Path) -> None:
    (ann,) = (record for record in published.records() if record.cell.method == "ann")
    (found,) = judge_again([ann], published, shifted(store, tmp_path / "other", 0, 2))
    assert found.verdict == "within tolerance" and "2 samples lost" in found.reason


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
