"""Measured cells for loggers: a run for each, its curve step by step, and its row of the table of results."""

from __future__ import annotations

import pandas as pd

from adapters.loggers import Log
from benchmarks.pages.tables import collect_cells
from benchmarks.records.reading import Results
from benchmarks.suites.cell import Cell
from benchmarks.suites.suite import Suite


def log_cell(log: Log, suite: Suite, store: Results, cell: Cell) -> None:
    """Writes a cell that was measured; of one that could not be there are no figures, and nothing is written.

    Steps are those of the simulation: the primary metric and the spikes of a sample. Results have the names of
    results.csv, and each metric its own; the energy of the ANN is among them once that was measured.
    """
    record = store.load(cell)
    if record is None or record.status != "done":
        return
    same = (cell.task, cell.network, cell.profile)
    ann = [one for one in suite.cells() if one.method == "ann" and (one.task, one.network, one.profile) == same]
    frame = collect_cells([*ann, cell] if cell not in ann else [cell], store, suite.price_list)
    rows = frame[(frame["cell"] == cell.id) & (frame["status"] == "done")]
    settings = {"suite": suite.name, **cell.model_dump(exclude={"options"}), **cell.options}
    metric = record.primary_metric
    with log.run(f"{suite.name}/{cell.id}", settings) as row:
        for step in range(1, max([*record.curve, len(record.activity)], default=0) + 1):
            spikes = record.activity[step - 1] if step <= len(record.activity) else None
            log.add(step, {f"{metric} after the step": record.curve.get(step), "spikes of the step": spikes})
        row |= {str(one["metric"]): float(one["value"]) for _, one in rows.iterrows()}
        for _, primary in rows[rows["metric"] == metric].iterrows():
            own = ("ci_low", "ci_high", *(name for name in rows.columns if name.startswith(("energy_", "latency_"))))
            named = {name: primary[name] for name in (*own, "spikes", "mean_T")}
            row |= {name: float(value) for name, value in named.items() if not pd.isna(value)}
