"""Tables say what is missing, never average over what is there, and rank by accuracy against energy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.pages import publish
from benchmarks.pages.comparisons import frontier
from benchmarks.pages.leaderboard import leaderboard
from benchmarks.pages.publish import show_screenful, write_pages
from benchmarks.pages.tables import COLUMNS, collect, markdown, write_tables
from benchmarks.records.record import Record, Value
from benchmarks.records.store import Store
from benchmarks.references.totals import Totals
from benchmarks.suites.files import load_suite
from benchmarks.suites.suite import Suite

SUITE = load_suite("smoke")


def record(cell_index: int, accuracy: float, synops: float, macs: float) -> Record:
    totals = Totals(
        steps=2, neurons=10, spikes=synops / 10, digits=synops / 10, events=synops / 20, units=synops / 5,
        synops_unary=synops, synops_smallest=2 * synops, synops_binary=synops, synops_graded=synops / 2, macs_once=macs,
        macs_step=0, neuron_updates=60, payload_bits=3_000, latency_first=5, latency_final=6,
    )  # fmt: skip
    return Record(
        cell=SUITE.cells()[cell_index], status="done", primary_metric="accuracy", totals=totals,
        metrics={"accuracy": Value(value=accuracy, ci_low=accuracy - 1, ci_high=accuracy + 1, n=200)},
        fingerprint={"precision": "float32"}, provenance={"device": "cpu (test)"},
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The ANN and one cell are measured, one failed, the others are missing."""
    store = Store(tmp_path, SUITE.name)
    store.save(record(0, 99.0, 0, 1000))
    store.save(record(1, 91.5, 2000, 100))
    store.save(Record(cell=SUITE.cells()[2], status="failed", reason="RuntimeError: it broke"))
    return store


def test_the_csv_has_the_contracted_columns_and_a_row_for_every_cell(store: Store) -> None:
    frame = collect(SUITE, store)
    assert list(frame.columns) == COLUMNS
    assert len(frame) == len(SUITE.cells())
    assert frame["status"].tolist() == ["done", "done", "failed", *["missing"] * (len(SUITE.cells()) - 3)]


def test_a_row_is_priced_and_stands_beside_its_ann(store: Store) -> None:
    row = collect(SUITE, store).iloc[1]
    assert row["ann_value"] == 99.0
    assert row["energy_ann_mJ"] == pytest.approx(4.6e-9 * 1000)
    assert row["energy_unary_mJ"] == pytest.approx(1e-9 * (4.6 * 100 + 0.9 * 2000))
    assert row["energy_graded_mJ"] == pytest.approx(1e-9 * (4.6 * 100 + 0.9 * 1000))
    assert (row["T"], row["mean_T"], row["n"]) == (2, 2.0, 200)
    assert row["energy_smallest_mJ"] == pytest.approx(1e-9 * (4.6 * 100 + 0.9 * 4000))
    assert (row["code"], row["wait"], row["synops_smallest"], row["packets"]) == ("rate", "0", 4000, 100)
    assert (row["payload_bits"], row["neuron_updates"], row["latency_first"], row["latency_final"]) == (3000, 60, 5, 6)


def test_the_ann_has_neither_code_nor_latency(store: Store) -> None:
    row = collect(SUITE, store).iloc[0]
    assert (row["code"], row["wait"]) == ("", "")
    assert row[["latency_first", "latency_final"]].isna().all()


def test_a_suite_with_codes_shows_what_they_cost(store: Store) -> None:
    """460 + 1800, 460 + 3600 and 460 + 900 of 4600 picojoules; 100 packets, 3,000 bits, 60 updates; steps 5 and 6."""
    rates = markdown(SUITE, collect(SUITE, store))
    assert "smallest" not in rates
    coded = record(1, 91.5, 2000, 100).model_copy(update={"code": "held", "wait": "2"})
    store.save(coded)
    page = markdown(SUITE, collect(SUITE, store))
    figures = "49.1 | 88.3 | 29.6 | 0.1 | 3 | 0.06 | 5 | 6 |"
    assert f"| `calibration` | 2 | held | 2 | {figures}" in page
    assert "| `calibration` | 4 | failed |  |  |  |  |  |  |  |  |  |" in page
    assert "smallest amplitude" in page
    # A record from before payloads were counted.
    totals = coded.totals
    assert totals is not None
    store.save(coded.model_copy(update={"totals": totals.model_copy(update={"payload_bits": None})}))
    assert "| 29.6 | 0.1 | not counted | 0.06 |" in markdown(SUITE, collect(SUITE, store))


def test_the_page_says_what_failed_and_what_is_missing(store: Store) -> None:
    page = markdown(SUITE, collect(SUITE, store))
    assert "| `calibration` | 91.50 ±1.0 |  | failed |  |" in page
    assert "| `calibration` | 49.1 / 29.6 |  | failed |  |" in page  # (460 + 1800) / 4600 and (460 + 900) / 4600
    # 460 + 1800 and 460 + 900 picojoules.
    assert "| `calibration` | 2.26e-06 / 1.36e-06 |  | failed |  |" in page
    assert "| `calibration` | 0.2 |  | failed |  |" in page
    assert "| `burst:phi=4` | missing |  | missing |  |" in page
    assert "`calibration` at T=4 is failed: RuntimeError: it broke" in page
    assert "horowitz45" in page


def test_a_reason_is_said_once_with_the_cells_that_it_keeps_from_the_table(store: Store) -> None:
    page = markdown(SUITE, collect(SUITE, store))
    assert page.count("not run yet") == 1
    (line,) = [line for line in page.splitlines() if line.endswith(" are missing: not run yet")]
    assert line.startswith("- `burst:phi=4` at T=2, 4; `") and "`calibration`" not in line


def test_a_reason_that_keeps_all_cells_is_said_without_their_names(tmp_path: Path) -> None:
    store = Store(tmp_path, SUITE.name)
    for cell in SUITE.cells():
        store.save(Record(cell=cell, status="failed", reason="no data", cause="impossible"))
    page = markdown(SUITE, collect(SUITE, store))
    assert page.count("no data") == 1
    assert f"- All {len(SUITE.cells())} cells are impossible: no data" in page


@pytest.mark.parametrize("key", ["weights", "precision", "code"])
def test_a_row_of_other_inputs_than_the_anns_is_stale_and_shows_no_figures(store: Store, key: str) -> None:
    other = record(1, 91.5, 2000, 100)
    store.save(other.model_copy(update={"fingerprint": other.fingerprint | {key: "other"}}))
    frame = collect(SUITE, store)
    assert (frame["status"].iloc[1], frame["reason"].iloc[1]) == ("stale", f"measured with another {key} than the ANN")
    assert pd.isna(frame["value"].iloc[1])
    assert "| `calibration` | stale |  | failed |  |" in markdown(SUITE, frame)


def seeded_suite(seeds: list[int]) -> Suite:
    """`calibration` at T=2 and 4 with one seed, and at T=2 with these."""
    one, several = (
        SUITE.entries[0].model_copy(update={"seeds": of_seeds, "methods": ["calibration"], "T": T})
        for of_seeds, T in (([0], [2, 4]), (seeds, [2]))
    )
    return SUITE.model_copy(update={"entries": [one, several]})


def seeded_store(root: Path, suite: Suite, measured: dict[tuple[int, int], tuple[float, float]]) -> Store:
    """Accuracy and synaptic operations by T and seed, beside an ANN of 1,000 MACs."""
    store = Store(root, suite.name)
    for cell in suite.cells():
        if cell.T is None:
            store.save(record(0, 99.0, 0, 1000))
        elif (cell.T, cell.seed) in measured:
            found = record(1, *measured[cell.T, cell.seed], 0)
            assert found.totals is not None
            totals = found.totals.model_copy(update={"steps": cell.T})
            store.save(found.model_copy(update={"cell": cell, "totals": totals}))
    return store


def test_several_seeds_are_a_mean_with_its_t_interval_beside_single_ones(tmp_path: Path) -> None:
    suite = seeded_suite([0, 1, 2])
    store = seeded_store(
        tmp_path, suite, {(2, 0): (90.0, 2000), (2, 1): (92.0, 2300), (2, 2): (91.0, 2600), (4, 0): (95.0, 4000)}
    )
    page = markdown(suite, collect(suite, store))
    # s = 1 of 90, 92, 91; t(0.975, 2) = 4.303; 4.303 / sqrt(3) = 2.48. One seed keeps its sampling interval.
    assert "| `calibration` | 91.00 ±2.48 (3 seeds) | 95.00 ±1.0 |" in page
    # 0.9 pJ for each of 2000, 2300, 2600 in 4600 pJ: 39.1, 45.0, 50.9 %; s = 5.870, half width 14.58.
    assert "| `calibration` | 45.0 ±14.6 / 22.5 ±7.3 (3 seeds) | 78.3 / 39.1 |" in page
    # 200, 230, 260 spikes: s = 30.
    assert "| `calibration` | 0.23 ±0.075 (3 seeds) | 0.4 |" in page
    assert "95 % t-interval over seeds" in page


def test_seeds_are_averaged_only_when_all_are_there(tmp_path: Path) -> None:
    suite = seeded_suite([0, 1, 2])
    store = seeded_store(tmp_path, suite, {(2, 0): (90.0, 2000), (4, 0): (95.0, 4000)})
    page = markdown(suite, collect(suite, store))
    assert "| `calibration` | 2 of 3 seeds missing | 95.00 ±1.0 |" in page
    assert "- `calibration` at T=2, seed 1; `calibration` at T=2, seed 2, are missing: not run yet" in page
    broken = next(cell for cell in suite.cells() if cell.seed == 2)
    store.save(Record(cell=broken, status="failed", reason="RuntimeError: it broke"))
    page = markdown(suite, collect(suite, store))
    assert "| `calibration` | 1 of 3 seeds missing, 1 failed | 95.00" in page
    assert "- `calibration` at T=2, seed 1, is missing: not run yet" in page


def test_the_head_speaks_of_seeds_only_where_a_row_has_several(tmp_path: Path) -> None:
    suite = seeded_suite([0])
    page = markdown(suite, collect(suite, seeded_store(tmp_path, suite, {(2, 0): (90.0, 2000)})))
    assert "seed" not in page


def test_the_csv_keeps_a_row_for_every_seed(tmp_path: Path) -> None:
    suite = seeded_suite([0, 1])
    frame = collect(suite, seeded_store(tmp_path, suite, {(2, 0): (90.0, 2000), (2, 1): (92.0, 2300)}))
    assert frame[frame["T"] == 2][["seed", "value", "ci_low"]].values.tolist() == [[0, 90, 89], [1, 92, 91]]


def test_tables_are_written_next_to_the_records(store: Store) -> None:
    page = write_tables(SUITE, store, collect(SUITE, store))
    again = pd.read_csv(page.with_name("results.csv"))
    assert again["cell"].tolist() == [cell.id for cell in SUITE.cells()]


def frame_of(rows: Sequence[tuple[str, float, float]]) -> pd.DataFrame:
    same = {
        "task": "digits", "network": "net", "profile": "full", "metric": "accuracy", "price_list": "horowitz45",
        "calibration": 512, "precision": "float32", "n": 100, "energy_ann_mJ": 1.0, "status": "done",
    }  # fmt: skip
    table = [
        same | {
            "method": method, "T": None if method == "ann" else 4, "value": value, "ci_low": value, "ci_high": value,
            "energy_unary_mJ": energy, "energy_graded_mJ": energy, "cell": f"{method}-{value}-{energy}",
        }
        for method, value, energy in rows
    ]  # fmt: skip
    return pd.DataFrame(table)


def test_the_front_keeps_what_nothing_cheaper_matches() -> None:
    rows = frame_of([("a", 90, 0.3), ("b", 95, 0.5), ("c", 90, 0.4), ("d", 94, 0.6), ("e", 80, 0.1), ("f", 95, 0.5)])
    assert frontier(rows, "energy_unary_mJ")["method"].tolist() == ["e", "a", "b"]


def test_the_leaderboard_lists_the_front_beside_ann_and_twin() -> None:
    board = leaderboard(frame_of([
        ("ann", 96, 1.0), ("burst:phi=4", 95, 0.5), ("calibration", 70, 0.6), ("quantised_ann:phi=4", 95.5, 0.55),
    ]))  # fmt: skip
    assert "| *`ann`* |  | 96.00 [96.00, 96.00] | 100.0 | 100.0 | 1 |" in board
    assert "| `burst:phi=4` | 4 | 95.00 [95.00, 95.00] | 50.0 | 50.0 | 0.5 |" in board
    assert "*`quantised_ann:phi=4`*" in board
    assert "`calibration`" not in board


def test_the_leaderboard_begins_with_what_is_near_the_network_and_what_is_cheap() -> None:
    rows = [("ann", 96, 1.0), ("burst:phi=4", 95, 0.8), ("c", 94.9, 0.7), ("a", 70, 0.3), ("b", 80, 0.5)]
    board = leaderboard(frame_of(rows))
    assert "| digits (all 100 test samples) | net | 96.00 | 95.00 at 80.0 %: `burst:phi=4`, T=4 |" in board
    assert "| 80.00 at 50.0 %: `b`, T=4 |" in board
    assert "| 96.00 | none | none |" in leaderboard(frame_of([("ann", 96, 1.0), ("a", 90, 0.8)]))


def test_the_leaderboard_has_the_first_metric_of_a_task_and_what_needs_data_first() -> None:
    real = frame_of([("ann", 96, 1.0), ("burst:phi=4", 95, 0.5)])
    board = leaderboard(pd.concat([real, real.assign(metric="second"), real.assign(task="ncars", cell=["a", "b"])]))
    assert "second" not in board
    assert board.index("## ncars, net") < board.index("## digits, net")


def test_a_twin_that_another_beats_is_not_listed() -> None:
    rows = [("ann", 96, 1.0), ("b", 95, 0.9), ("quantised_ann:phi=4", 95, 0.5), ("quantised_ann:phi=8", 95, 0.7)]
    board = leaderboard(frame_of(rows))
    assert "quantised_ann:phi=4" in board and "quantised_ann:phi=8" not in board


def test_the_leaderboard_averages_seeds_and_keeps_precisions_apart() -> None:
    rows = [("ann", 96, 1.0), ("burst:phi=4", 95, 0.5), ("burst:phi=4", 91, 0.5)]
    single = frame_of(rows)
    half = frame_of([("ann", 90, 2.0), ("burst:phi=4", 80, 1.0)]).assign(precision="bfloat16", energy_ann_mJ=2.0)
    board = leaderboard(pd.concat([single, single, half]))
    assert board.count("| *`ann`* |") == 2
    # s = 2.828, t(0.975, 1) = 12.706: 12.706 * 2 = 25.41.
    assert "| `burst:phi=4` | 4 | 93.00 [67.59, 118.41] (2 seeds) | 50.0 | 50.0 | 0.5 |" in board
    assert "| `burst:phi=4` | 4 | 80.00 [80.00, 80.00] | 50.0 | 50.0 | 1 |" in board
    assert "of several seeds, the t-interval" in board
    assert "t-interval" not in leaderboard(half)


def test_the_leaderboard_never_averages_over_the_seeds_that_happen_to_be_there() -> None:
    done = frame_of([("ann", 96, 1.0), ("burst:phi=4", 95, 0.5), ("burst:phi=8", 95.5, 0.7), ("burst:phi=8", 96, 0.7)])
    lacking = done.iloc[[3]].assign(status="missing", value=float("nan"), metric=None, precision=None)
    board = leaderboard(pd.concat([done.iloc[:3], lacking]))
    assert "`burst:phi=4`" in board and "`burst:phi=8`" not in board
    # What one suite lacks may be there in another.
    assert "(2 seeds)" in leaderboard(pd.concat([done, lacking]))


def test_many_cells_are_shown_by_their_best_rows_d6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ANN has 99.00 for 1000 MACs; a method 98.50 for an accumulation more than five hundred."""
    store = Store(tmp_path, SUITE.name)
    store.save(record(0, 99.0, 0, 1000))
    store.save(record(1, 98.5, 501, 0))
    frame = write_pages(SUITE, store, tmp_path)
    show_screenful(SUITE, store, frame, tmp_path)
    assert "Energy, % of the ANN's, unary / graded:" in capsys.readouterr().out
    monkeypatch.setattr(publish, "SCREENFUL", 2)
    show_screenful(SUITE, store, frame, tmp_path)
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) < 24 and "unary / graded" not in shown.out
    assert f"| 99.00 | 98.50 at {100 * 501 * 0.9 / 4600:.1f} %: `{SUITE.cells()[1].recipe.label}`" in shown.out
    assert "missing: not run yet" in shown.out
    assert "results.md" in shown.err


def test_a_screenful_escapes_what_comes_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path, SUITE.name)
    store.save(record(0, 99.0, 0, 1000))
    store.save(record(1, 98.5, 501, 0))
    frame = write_pages(SUITE, store, tmp_path)
    frame.loc[frame["status"] == "missing", "reason"] = "gone \x1b[2J\n# <b>away</b>"
    monkeypatch.setattr(publish, "SCREENFUL", 2)
    show_screenful(SUITE, store, frame, tmp_path)
    shown = capsys.readouterr().out
    assert "missing: gone \\x1b[2J # &lt;b>away&lt;/b>" in shown and "\x1b" not in shown
