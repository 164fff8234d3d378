"""Loggers of `run` receive each cell that it measures, with the figures of results.csv."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from adapters.loggers import LOGGERS, Logger

SUITE = """
name: logged
title: Logged
calibration: 16
entries:
  - {tasks: [digits], networks: [digits_convnet], methods: [{burst: {phi: 4}}], T: [2], limit: 20}
"""


def test_run_logs_each_cell_once_with_its_curve_and_its_row(
    cli: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, list[Any]] = {}
    monkeypatch.setattr(LOGGERS, "_entries", dict(LOGGERS._entries))

    @LOGGERS.register("recorder")
    class Recorder(Logger):
        """Keeps what it is told, by run."""

        def __init__(self, where: str) -> None:
            assert where == "here:too"

        def begin(self, run: str, settings: Mapping[str, Any]) -> None:
            self.told = told.setdefault(run, [])
            self.told.append(dict(settings))

        def add(self, step: int, values: Mapping[str, float]) -> None:
            self.told.append((step, dict(values)))

        def finish(self, row: Mapping[str, float] | None) -> None:
            self.told.append(row)

    (tmp_path / "logged.yaml").write_text(SUITE)
    shared = ("run", "--suite", "logged.yaml", "--engine", "inline", "--log", "recorder:here:too")
    assert cli(*shared)[0] == 0
    table = pd.read_csv(tmp_path / "results/logged/results.csv")
    assert set(told) == {f"logged/{cell}" for cell in table["cell"]} and len(told) == 2
    for _, expected in table.iterrows():
        settings, *steps, row = told[f"logged/{expected['cell']}"]
        assert settings["task"] == "digits" and settings["suite"] == "logged" and settings["limit"] == 20
        assert row["accuracy"] == pytest.approx(expected["value"])
        for name in ("ci_low", "ci_high", "spikes", "energy_unary_mJ", "energy_ann_mJ"):
            assert row[name] == pytest.approx(expected[name], rel=1e-5)  # A table has six digits.
        if settings["method"] == "burst":
            assert settings["phi"] == 4 and [step for step, _ in steps] == [1, 2]
            assert steps[-1][1]["accuracy after the step"] == pytest.approx(expected["value"])
            assert sum(values["spikes of the step"] for _, values in steps) == pytest.approx(expected["spikes"])
    told.clear()
    assert cli(*shared)[0] == 0 and not told  # All is measured.
    code, _, err = cli("run", "--suite", "logged.yaml", "--log", "nowhere")
    assert code == 2 and "There is no logger called 'nowhere'" in err
