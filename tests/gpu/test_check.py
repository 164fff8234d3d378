"""The script for GPUs runs on a CPU, in its reduced form, and fails where a check does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.gpu import check


@pytest.mark.slow
def test_checks_that_take_a_moment_pass_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    """The CPU beside itself: no rounding differs."""
    assert check.main(["--device", "cpu", "--only", "capture", "spikes32"]) == 0
    said = capsys.readouterr().out
    assert "relative error of the ANN's outputs 0.0e+00" in said
    assert "float32, no TF32: 0 of" in said and "2 pass, 0 fail, 0 not run" in said


def test_a_check_that_fails_or_raises_is_a_line_and_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raising(_: check.Checks) -> tuple[bool, str]:
        raise RuntimeError("CUDA error: out of memory\nmore")

    monkeypatch.setattr(check.Checks, "capture", raising)
    monkeypatch.setattr(check.Checks, "search", lambda _: (False, "phi (1, 2)"))
    assert check.main(["--device", "cpu", "--only", "capture", "search"]) == 1
    said = capsys.readouterr().out
    assert "fail    capture         RuntimeError: CUDA error: out of memory  (" in said
    assert "fail    search          phi (1, 2)" in said


def test_an_interrupted_run_names_the_check_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: check.Checks) -> tuple[bool, str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(check.Checks, "search", interrupted)
    assert check.main(["--device", "cpu", "--only", "search"]) == 1
    assert "fail    search          interrupted" in capsys.readouterr().out


def test_what_does_not_begin_in_time_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "LAST_START", -1.0)
    lines = check.run(check.Checks(torch.device("cpu"), True, tmp_path), ("capture", "search"))
    assert [line.verdict for line in lines] == ["not run", "not run"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([]) == 2
    assert "The device 'cuda' cannot be used here" in capsys.readouterr().err
