"""Text from outside is escaped for where it lands."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from benchmarks.execution.watch import running_table, status
from benchmarks.gate.judge import CellVerdict, Gate
from benchmarks.gate.reports import junit, markdown, print_verdicts
from benchmarks.pages.leaderboard import write_leaderboard
from benchmarks.pages.markdown import table
from benchmarks.pages.tables import collect, write_tables
from benchmarks.records.leases import Running
from benchmarks.records.record import Record
from benchmarks.records.store import Store
from benchmarks.suites.files import load_suite
from benchmarks.text import in_csv, in_table, one_line, page, printable
from tests.benchmarks.gate.measurements import Runs, right, save

ESCAPES = "\x1b]0;owned\x07\x1b[2J"
NASTY = f"=cmd|' /C calc'!A0 {ESCAPES}<img src=x onerror=alert(1)> | two\n## three [red]four\u202e \x9b1m"


def test_control_characters_are_shown_and_do_nothing_c9() -> None:
    assert printable(f"a{ESCAPES}b\tc\nd\x9b\u202e") == "a\\x1b]0;owned\\x07\\x1b[2Jb\tc\nd\\x9b\\u202e"
    assert printable("café ± 日本 \U0001f600") == "café ± 日本 \U0001f600"
    assert printable(b"bad\xff".decode(errors="surrogateescape")) == "bad\\udcff"
    assert one_line(" a\r\n b\t\tc ") == "a b c"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum(a)", "=", "\t=1", "  =1"])
def test_no_text_is_a_formula_c9(text: str) -> None:
    assert in_csv(text).startswith("'") and not in_csv(f"a{text}").startswith("'")


def test_tags_are_text_but_in_code_they_already_are_c9() -> None:
    assert page("<b>`<b>`<b>") == "&lt;b>`<b>`&lt;b>"
    # An odd number of backticks: whether the tag is code depends on what follows.
    assert page("`<b>\n<i>`") == "`&lt;b>\n&lt;i>`"
    assert page("``<b>``") == "``&lt;b>``"
    assert in_table("a|b\\|c\nd") == "a\\|b\\|c d"
    for bars in range(6):
        row = f"| {in_table('a' + bars * chr(92) + '|99.9')} | 1 |"
        rendered = MarkdownIt("commonmark").enable("table").render(f"| m | v |\n| --- | --- |\n{row}")
        assert re.findall("<td>(.*?)</td>", rendered) == ["a|99.9", "1"]
    assert table(["x"], [[NASTY]])[2].count("|") - table(["x"], [[NASTY]])[2].count("\\|") == 2


Landing = Callable[[Path, pytest.CaptureFixture[str]], str]


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def suite_pages(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Tables and leaderboard of a suite whose title, a reason and a device are nasty."""
    suite = load_suite("smoke").model_copy(update={"title": NASTY, "note": f"**ours** {NASTY.partition(chr(10))[0]}"})
    store = Store(folder, suite.name)
    first, second, *_ = suite.cells()
    record = save(store, first, right(200, 20))
    store.save(record.model_copy(update={"provenance": {"device": NASTY}, "departures": {NASTY: 3}}), None)
    store.save(Record(cell=second, status="failed", reason=NASTY, cause="error"))
    write_tables(suite, store, collect(suite, store))
    write_leaderboard(folder, folder / "leaderboard.md")
    csv = pd.read_csv(store.folder / "results.csv", dtype=str)
    assert len(csv) == len(suite.cells()) and csv["reason"].dropna().str.startswith("'=cmd").any()
    assert "\x1b" not in (store.folder / "results.csv").read_text()
    return (store.folder / "results.md").read_text() + (folder / "leaderboard.md").read_text()


def gate_of(folder: Path) -> Gate:
    runs = Runs(folder, 1)
    row = runs.baseline.rows[0].model_copy(update={"method": NASTY, "network": NASTY})
    return Gate(NASTY, [CellVerdict(row, "incomparable", NASTY)], [NASTY])


def gate_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    return markdown(gate_of(folder))


def gate_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    print_verdicts(gate_of(folder), Console(file=io.StringIO()))
    return capsys.readouterr().out


def gate_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=300)
    print_verdicts(gate_of(folder), console)
    return shown(console)


def states(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    store, (cell, *_) = Store(folder, "smoke"), load_suite("smoke").cells()
    store.save(Record(cell=cell, status="failed", reason=NASTY, cause="error"))
    console = Console(file=io.StringIO(), width=300)
    status([cell], store, console)
    return shown(console)


def running(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    console = Console(file=io.StringIO(), width=500)
    console.print(running_table([Running("a", NASTY, host=NASTY, doing=NASTY, total=2)]))
    return shown(console)


@pytest.mark.parametrize("landing", [suite_pages, gate_page, gate_log, gate_terminal, states, running])
def test_nasty_texts_are_harmless_wherever_they_land_c9(
    landing: Landing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = landing(tmp_path, capsys)
    assert "\\x1b]0;owned" in text
    assert not any(character in text for character in ("\x1b", "\x07", "\x9b", "\u202e"))
    assert not any(line.startswith("## three") for line in text.splitlines())
    if landing in (suite_pages, gate_page, gate_log):
        assert "<img" not in text and "&lt;img" in text
    else:
        assert "[red]four" in text  # It is no markup of rich.


def test_nasty_texts_are_harmless_in_junit_c9(tmp_path: Path) -> None:
    content = junit(gate_of(tmp_path))
    root = ElementTree.fromstring(content)
    (suite,) = root
    assert len(suite) == 1 and "onerror=alert(1)" in str(suite[0].get("classname"))
    assert b"<img" not in content and b"\x1b" not in content


def test_a_log_that_knows_ascii_only_gets_other_characters_c12(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from run_all import main

    monkeypatch.chdir(tmp_path)
    for encoding in ("ascii", "latin-1"):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            patch.setattr(sys, "argv", ["run_all.py", "status", "--suite", "smoke", "--results", "日本±"])
            with pytest.raises(SystemExit) as end:
                main()
        assert not end.value.code
        out.flush()
        err.flush()
        said = out.buffer.getvalue() + err.buffer.getvalue()
        assert b"13 missing" in said and b"??" in said
