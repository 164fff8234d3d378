"""`run_all.py check`: which checks a name stands for, what is shown, how it ends."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.conformance import check
from benchmarks.conformance.kit import DoesNotApply, demand, judge
from benchmarks.conformance.subjects import checks_of
from conversion.errors import InvalidInput, UnknownName
from run_all import main
from tasks import TASKS


def command(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["run_all.py", "check", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_a_task_that_passes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("digits", monkeypatch=monkeypatch) == 0
    assert "16 passed, 0 failed, 1 does not apply" in capsys.readouterr().out


def test_a_task_without_its_data_fails_naming_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert command("cifar10", "--data-root", str(tmp_path), monkeypatch=monkeypatch) == 1
    out = capsys.readouterr().out
    assert "4 passed, 13 failed, 0 do not apply" in out
    assert "holds neither cifar-10-batches-py/ nor cifar10/" in out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("brust", "no method, task, network or code called 'brust'; did you mean burst"),
        ("burst", "needs the option 'phi'; give it as burst:phi=4."),
        ("burst:light=False", "needs the option 'phi'; give it as burst:light=False,phi=4."),
        ("burst:phi=0", "greater than or equal to 1"),
        ("burst:fi=4", "no option of method 'burst' called 'fi'"),
        ("burst:phi", "cannot be read"),
    ],
)
def test_a_name_or_option_that_does_not_exist_ends_with_2(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(name, monkeypatch=monkeypatch) == 2
    assert words in capsys.readouterr().err


def test_a_name_with_several_meanings_asks_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TASKS, "_entries", {**TASKS._entries, "snm": TASKS["digits"]})
    with pytest.raises(InvalidInput, match=r"'snm' is a method and a task; say which by --kind\."):
        checks_of("snm")
    assert len(list(checks_of("snm", "task"))) == 17
    with pytest.raises(UnknownName, match="no network called 'snm'"):
        checks_of("snm", "network")


def test_results_come_in_the_order_of_the_checks() -> None:
    names = [result.name for result in check("digits")]
    assert names[0] == "says what it is" and names[-1] == "has a digest of its data" and len(set(names)) == len(names)


def test_verdicts() -> None:
    def holds_for_even_numbers(number: int) -> None:
        """The number is even."""
        if number == 0:
            raise DoesNotApply("There is no number.")
        demand(number % 2 == 0, f"{number} is odd.")
        if number == 4:
            raise KeyError("four")

    results = [judge(holds_for_even_numbers, number) for number in (0, 2, 3, 4)]
    assert [result.verdict for result in results] == ["does not apply", "passed", "failed", "failed"]
    assert {result.promise for result in results} == {"The number is even."}
    assert results[0].reason == "There is no number." and results[2].reason == "3 is odd."
    assert results[3].reason.startswith("KeyError in test_check.py, line ")
