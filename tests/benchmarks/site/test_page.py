"""The data of the page are those of the records, and nothing in a record can become markup or code."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
import sys
from pathlib import Path

import pytest

from benchmarks.api import select_cells
from benchmarks.pages.comparisons import frontier
from benchmarks.pages.tables import read_table
from benchmarks.records.sealed import seal
from benchmarks.records.store import Store
from benchmarks.site.compared import comparisons, front
from benchmarks.site.details import commands, details
from benchmarks.site.page import NoPage, render, write_page
from benchmarks.site.rows import boards, measured_cells, tables
from benchmarks.site.sources import sources
from benchmarks.suites.files import load_suite
from conversion.counting.prices import PRICES
from conversion.errors import BenchmarkError
from tests.benchmarks.site.conftest import EVIL, ROWS, N, embedded, record, write_results

PUBLISHED = Path(__file__).parents[3] / "results" / "published"


@pytest.fixture(scope="module")
def page(results: Path) -> str:
    return (results / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_row_holds_the_figures_of_its_records(page: str) -> None:
    data, opened = embedded(page, "rows"), embedded(page, "records")["records"]
    by_cell = {each.cell.id.replace("\u2028", " "): each for each, _ in ROWS}
    assert sorted(one["cell"] for one in opened) == sorted(by_cell)
    for row, places in enumerate(data["cells"]):
        own = [by_cell[opened[place]["cell"]] for place in places]
        board = data["boards"][data["board"][row]]
        ann = next(each for each, _ in ROWS if each.cell.method == "ann" and each.cell.task == own[0].cell.task)
        assert data["value"][row] == pytest.approx(sum(each.metrics["accuracy"].value for each in own) / len(own))
        assert board["ann"] == pytest.approx(ann.metrics["accuracy"].value)
        for name, prices in PRICES.items():
            for coding in ("unary", "smallest", "binary", "graded"):
                totals = own[0].totals
                assert totals is not None and ann.totals is not None
                expected = 100 * prices.millijoules(totals, coding) / prices.millijoules(ann.totals, "unary")
                assert data["share"][name][coding][row] == pytest.approx(expected, rel=1e-5)
    methods = [data["method"]["names"][code] for code in data["method"]["codes"]]
    seeds = {method: len(cells) for method, cells in zip(methods, data["cells"], strict=True)}
    assert (seeds["calibration"], seeds["phase"]) == (2, 1)
    at_chance = {method for method, chance in zip(methods, data["chance"], strict=True) if chance}
    assert at_chance == {"snm"}


@pytest.mark.slow
def test_an_opened_record_holds_layers_exits_and_curve(page: str) -> None:
    data = embedded(page, "records")
    one = next(each for each in data["records"] if each["method"] == "burst:phi=4" and each["T"] == 2)
    layer = {name: one["layers"][0][place] for name, place in data["layer"].items()}
    assert (layer["threshold_low"], layer["threshold_high"], layer["rate"], layer["silent"]) == (0.5, 1.5, 0.25, 0.5)
    assert (layer["clipping"], layer["total"]) == (10.0, 50.0), "percent of the activation's RMS"
    assert (layer["spikes"], layer["synops"]) == (100.0, 1000.0)
    assert one["exits"] == [0.25, 0.75] and one["curve"] == [[1, 69.0], [2, 70.0]]


@pytest.mark.slow
def test_a_wrong_record_changes_the_page(page: str, tmp_path: Path) -> None:
    """Were the page made of anything else than the records, this would pass unseen."""
    folder = write_results(tmp_path)
    changed, samples = record("phase", 8, 0.7, 300.0)
    Store(folder, "own").save(changed, samples)
    before, after = embedded(page, "rows"), embedded(render(folder), "rows")
    place = [before["method"]["names"][code] for code in before["method"]["codes"]].index("phase")
    assert (before["value"][place], after["value"][place]) == (92.5, 70.0)
    assert "phase" in re.sub(r"<script.*", "", page, flags=re.DOTALL), "it is compared with the others"


def test_names_of_records_stay_text(page: str) -> None:
    markup = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    assert "<img" not in markup and "onerror" in markup, "it is there, but escaped"
    boards_of = embedded(page, "rows")["boards"]
    shown = EVIL.replace("\u2028", " ")  # A line of its own it gets nowhere.
    assert [board["task"] for board in boards_of if board["task"] != "digits"] == [shown]
    for name in ("rows", "records"):
        found = re.search(rf'id="data-{name}">(.*?)</script', page, flags=re.DOTALL)
        assert found is not None and not set(found[1]) & set("<>&\u2028\u2029")


def test_the_policy_names_the_scripts_and_lets_nothing_else_run_or_load(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page)
    assert policy is not None
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    said = policy[1].replace("&#39;", "'")
    assert len(digests) == 2 and all(f"'sha256-{digest}'" in said for digest in digests)
    assert said.startswith("default-src 'none'; script-src 'sha256-") and "unsafe-eval" not in said
    assert not re.search(r'(?:src|href)="(?!#|data:,)', re.sub(r"<script.*", "", page, flags=re.DOTALL))


def test_what_is_absent_is_said(page: str) -> None:
    text = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    assert "No three tasks share three spiking methods" in text
    assert "0 of 4 numbers measured" in text or re.search(r"0 of \d+ numbers measured", text)
    assert "python run_all.py run --suite cifar10 --data-root DATA --weights DATA" in text


def test_rows_with_samples_are_compared_on_them(results: Path) -> None:
    found = sources(results)
    cells = measured_cells(found)
    (board,) = [one for one in boards(tables(found), cells) if one.task == "digits"]
    pairs = {(pair.row.method, pair.row.T): pair for pair in comparisons(board, cells)}
    pair = pairs["burst:phi=2", 4]  # The same score as phase with fewer operations: 36 of 40 right against 37.
    assert (pair.before.method, pair.paired.won, pair.paired.lost) == ("phase", 0, 1)
    assert pair.mean == pytest.approx(-100 / N) and pair.p == 1.0
    assert not any("ann" in row.name or row.at_chance for pair in pairs.values() for row in (pair.row, pair.before))


def test_fronts_are_those_of_the_tables(tmp_path: Path) -> None:
    """Two implementations, on published suites; and the rows are those of their results.csv."""
    for suite in ("frontier", "qcfs", "bccd"):
        (tmp_path / suite).symlink_to(PUBLISHED / suite)
    found = sources(tmp_path)
    for board in boards(tables(found), measured_cells(found)):
        rows = board.rows
        table = read_table(tmp_path / rows[0].suite / "results.csv")
        own = table[(table["metric"] == board.metric) & (table["status"] == "done")]
        own = own[own["network"] == board.network]
        assert sorted(row.value for row in rows) == pytest.approx(sorted(own["value"]), rel=1e-5)
        energies = [row.millijoules["horowitz45"]["graded"] for row in rows]
        assert sorted(energies) == pytest.approx(sorted(own["energy_graded_mJ"]), rel=1e-5)
        spiking = own[~own["method"].isin(["ann"]) & ~own["method"].str.startswith("quantised_ann")]
        expected = frontier(spiking, "energy_unary_mJ")
        on_front = front(board, lambda row: row.millijoules["horowitz45"]["unary"])
        assert [row.method for row in on_front] == list(expected["method"])


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["mini", "adaptive", "camvid"])
def test_the_command_of_a_record_selects_its_cell(suite: str, tmp_path: Path) -> None:
    (tmp_path / suite).symlink_to(PUBLISHED / suite)
    (source,) = sources(tmp_path)
    for one in source.records[::9]:
        line = commands(one.cell, source, one.fingerprint["precision"])[-1]
        words = shlex.split(line)
        assert words[:3] == ["python", "run_all.py", "run"]
        given = dict(zip(words[3::2], words[4::2], strict=True))
        selected = select_cells(
            given["--suite"], tasks=given["--task"], networks=given["--network"], methods=given["--method"],
            T=int(given["--T"]) if "--T" in given else None, seeds=int(given["--seed"]) if "--seed" in given else None,
        )  # fmt: skip
        wanted = [cell for cell in selected.cells if cell.method != "ann" or one.cell.method == "ann"]
        # A name without options stands for all options of the method.
        label = one.cell.recipe.label
        assert one.cell in wanted and all(label in (cell.method, cell.recipe.label) for cell in wanted)
        assert given.get("--precision", "float32") == one.fingerprint["precision"]


def test_networks_without_published_weights_are_trained_first(tmp_path: Path) -> None:
    (tmp_path / "shrec16").symlink_to(PUBLISHED / "shrec16")
    (source,) = sources(tmp_path)
    first, second = commands(source.records[0].cell, source, "float32")
    assert first.startswith("python run_all.py train --task shrec16 --network pointnet_light") and " run " in second
    measured = measured_cells([source])
    assert details(next(iter(measured.values())))["commands"][-1].endswith("--data-root DATA --weights DATA")


def test_a_folder_without_records_has_no_page(tmp_path: Path) -> None:
    (tmp_path / "empty" / "cells").mkdir(parents=True)
    with pytest.raises(BenchmarkError, match="no records in"):
        write_page(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_store_of_a_newer_version_keeps_nobody_from_the_page(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own").symlink_to(results / "own")
    folder = tmp_path / "later" / "cells" / ROWS[0][0].cell.id
    folder.mkdir(parents=True)
    (folder / "record.json").write_bytes(seal(b'{"schema_version": 99}'))
    assert [source.name for source in sources(tmp_path)] == ["own"]
    assert "newer version" in (said := capsys.readouterr().err) and "made without later" in said


def test_without_its_libraries_the_page_says_what_to_install(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(NoPage, match=r"pip install .*\[report\]"):
        render(results)


def test_a_suite_on_fewer_samples_keeps_its_plan() -> None:
    from benchmarks.site.sources import plan_of

    limited = plan_of("mini-first-20")
    assert limited is not None and limited.cells()[0].limit == 20
    assert plan_of("mini") == load_suite("mini") and plan_of("own") is None
