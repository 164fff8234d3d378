"""Measurements made up for tests of the gate: cells, records and the outcomes of their samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.gate.baselines import Baseline, take_baseline
from benchmarks.gate.judge import Gate, judge_all
from benchmarks.records.record import Record, Value
from benchmarks.records.store import Store
from benchmarks.references.totals import Totals
from benchmarks.suites.cell import Cell

INPUTS = {"weights": "w" * 8, "data": "d" * 8, "precision": "float32"}
SYNOPS = 20_000.0


def cells(count: int) -> list[Cell]:
    """Cells that differ in their seed."""
    same: dict[str, Any] = {"task": "digits", "network": "digits_convnet", "method": "calibration", "T": 4}
    return [Cell(**same, seed=seed, limit=1000, calibration=64) for seed in range(count)]


def right(n: int = 1000, wrong: int = 100) -> NDArray[np.float32]:
    """Outcomes of which the first `wrong` are wrong."""
    return (np.arange(n) >= wrong).astype(np.float32)


def flipped(outcomes: NDArray[np.float32], samples: slice) -> NDArray[np.float32]:
    """The same outcomes, but those samples the other way."""
    changed = outcomes.copy()
    changed[samples] = 1 - changed[samples]
    return changed


def save(
    store: Store, cell: Cell, outcomes: NDArray[Any] | None, *, unary: float = SYNOPS, smallest: float = SYNOPS,
    graded: float = SYNOPS / 2, macs: float = 868_000.0, steps: float = 4, delay: float = 0,
    inputs: dict[str, str] = INPUTS, n: int | None = None,
) -> Record:  # fmt: skip
    """Stores the record of a cell; without outcomes it has no samples."""
    totals = Totals(
        steps=steps, neurons=10, spikes=unary / 10, digits=unary / 10, events=graded / 10, units=smallest / 10,
        synops_unary=unary, synops_smallest=smallest, synops_binary=SYNOPS * 0.7, synops_graded=graded, macs_once=macs,
        macs_step=0, neuron_updates=10 * steps, latency_first=1 + delay, latency_final=steps + delay,
    )  # fmt: skip
    value = 90.0 if outcomes is None else 100 * float(np.nanmean(outcomes))
    count = n if n is not None else 1000 if outcomes is None else len(outcomes)
    record = Record(
        cell=cell, status="done", primary_metric="accuracy", totals=totals, fingerprint=inputs,
        provenance={"device": "cpu (x86_64)"},
        metrics={"accuracy": Value(value=value, ci_low=value - 1, ci_high=value + 1, n=count)},
    )  # fmt: skip
    return store.save(record, None if outcomes is None else pd.DataFrame({"outcome": outcomes, "steps": steps}))


class Runs:
    """A baseline of some cells, and the store of a run that begins as its copy."""

    def __init__(self, folder: Path, count: int, outcomes: NDArray[Any] | None = None) -> None:
        self.cells = cells(count)
        self.outcomes = right() if outcomes is None else outcomes
        self.store = Store(folder, "toy")
        for cell in self.cells:
            save(self.store, cell, self.outcomes)
        self.baseline: Baseline = take_baseline("toy", self.cells, self.store)

    def judged(self) -> Gate:
        return judge_all(self.baseline, self.store)

    def verdicts(self) -> list[str]:
        return [judged.verdict for judged in self.judged().cells]
