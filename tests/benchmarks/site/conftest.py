"""A small folder of results, made of records that nobody measured, and the page of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.records.record import LayerCounts, Record, Value
from benchmarks.records.store import Store
from benchmarks.references.totals import Totals
from benchmarks.site.page import write_page
from benchmarks.suites.cell import Cell
from conversion.report.layers import ErrorParts, ErrorSize, LayerReport

EVIL = "<img src=x onerror=window.evil=1>'\"&\u2028]]>"
"""A name that would do something, if any of HTML, JSON or JavaScript let it."""
N = 40
KINDS = ("spikes", "digits", "events", "units")


def record(
    method: str, T: int | None, right: float, synops: float, *, task: str = "digits", seed: int = 0, **options: object
) -> tuple[Record, pd.DataFrame]:
    """A record of N samples, of which the first share is right, that spends so many unary operations."""
    cell = Cell(task=task, network="digits_convnet", method=method, options=options, T=T, seed=seed, calibration=16)
    outcome = (np.arange(N) < round(right * N)).astype(float)
    value = 100 * float(outcome.mean())
    counts: dict[str, Any] = {"neurons": 10, **dict.fromkeys(KINDS, synops / 10)} | {
        "synops_unary": synops, "synops_smallest": synops, "synops_binary": synops / 2, "synops_graded": synops / 4,
    }  # fmt: skip
    analog: dict[str, Any] = dict.fromkeys(("macs_step", "macs_head", "flops_once", "flops_step"), 0.0)
    analog["macs_once"] = 1000.0 if T is None else 10.0
    names = ("inherited", "clipping", "quantisation", "unevenness", "own", "total")
    parts = {part: ErrorSize(rms=0.1 * place, mean=0.0) for place, part in enumerate(names)}
    layers = [] if T is None else [LayerCounts(name="relu", phi=1, fan_out=9, **counts)]
    report = [] if T is None else [LayerReport(
        name=f"conv -> relu {EVIL}", source=EVIL, role="spiking", neurons=10, threshold=(0.5, 1.5), phi=1, rho=1.0,
        rate=0.25, silent=0.5, activation=1.0, errors=ErrorParts(**parts),
    )]  # fmt: skip
    return Record(
        cell=cell, status="done", primary_metric="accuracy",
        metrics={"accuracy": Value(value=value, ci_low=max(value - 5, 0), ci_high=min(value + 5, 100), n=N)},
        curve={} if T is None else {step: value - (T - step) for step in range(1, T + 1)},
        totals=Totals(**counts, **analog, steps=float(T or 1), neuron_updates=10.0, latency_first=1.0,
                      latency_final=float(T or 1)),
        layers=layers, report=report, exits=[0.25, 0.75] if T == 2 else [],
        fingerprint={"weights": "w", "data": "d", "precision": "float32"},
        provenance={"device": "cpu", "git": "0" * 40, "command": f"python run_all.py run {EVIL}"},
    ), pd.DataFrame({"outcome": outcome, "steps": float(T or 1), "target": 0})  # fmt: skip


ROWS: list[tuple[Record, pd.DataFrame]] = [
    record("ann", None, 0.95, 0.0),
    *[record("burst", T, 0.5 + 0.1 * T, 500.0 * T, phi=phi) for T in (1, 2, 4) for phi in (2, 4)],
    *[record("calibration", T, 0.2 * T, 400.0 * T, seed=seed) for T in (2, 4) for seed in (0, 1)],
    record("phase", 8, 0.925, 300.0),
    record("snm", 1, 0.1, 100.0),  # Chance of ten classes, for next to nothing.
    record("quantised_ann", 4, 0.9, 600.0, phi=4),
    record("ann", None, 0.9, 0.0, task=EVIL),
    record("burst", 4, 0.85, 900.0, task=EVIL, phi=4),
]


def write_results(folder: Path) -> Path:
    """Writes the rows as a working store of a suite that nobody ships."""
    store = Store(folder, "own")
    for each, samples in ROWS:
        store.save(each, samples)
    return folder


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results with its page, report.html; not to be written to."""
    folder = write_results(tmp_path_factory.mktemp("results"))
    write_page(folder)
    return folder


def embedded(page: str, name: str) -> Any:
    """The data in a page, as a browser would read them: up to the first end of the script."""
    found = re.search(rf'<script type="application/json" id="data-{name}">(.*?)</script', page, flags=re.DOTALL)
    assert found is not None
    return json.loads(found[1])
