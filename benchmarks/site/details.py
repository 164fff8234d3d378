"""What the page shows of one record: figures, layers, exits, provenance, and the command that measures it again."""

from __future__ import annotations

import glob
import math
import shlex
from functools import cache
from typing import Any

from adapters import NETWORKS
from adapters.weights import SHIPPED
from benchmarks.records.record import Record
from benchmarks.site.rows import Measured
from benchmarks.site.sources import LIMITED, Source
from benchmarks.suites.cell import Cell
from benchmarks.suites.shipped import suite_names
from conversion.report.errors import PARTS
from tasks import TASKS

LAYER = (
    "name", "source", "role", "neurons", "code", "wait", "phi", "rho", "threshold_low", "threshold_high", "rate",
    "silent", *PARTS, "total", "spikes", "synops",
)  # fmt: skip
"""The columns of a layer on the page. Errors are RMS in percent of the RMS of the ANN's activation."""


def details(measured: Measured) -> dict[str, Any]:
    """A record as plain values, with 4 digits; metrics with 6."""
    record, cell, totals = measured.record, measured.record.cell, measured.record.totals
    assert totals is not None
    return {
        "cell": cell.id, "suite": measured.source.name, "others": list(measured.others), "method": cell.recipe.label,
        "task": cell.task, "network": cell.network, "T": cell.T, "seed": cell.seed, "profile": cell.profile,
        "calibration": cell.calibration, "primary": record.primary_metric,
        "metrics": [[name, *map(six, (value.value, value.ci_low, value.ci_high)), value.n]
                    for name, value in record.metrics.items()],
        "curve": [[step, six(value)] for step, value in record.curve.items()],
        "exits": [four(share) for share in record.exits],
        "activity": [four(spikes) for spikes in record.activity],
        "totals": {name: four(value) for name, value in totals.model_dump().items() if value is not None},
        "layers": layers(record),
        "provenance": record.provenance, "fingerprint": record.fingerprint, "departures": record.departures,
        "verified": verdict(measured), "seconds": [four(record.convert_s), four(record.evaluate_s)],
        "commands": commands(cell, measured.source, record.fingerprint.get("precision", "float32")),
    }  # fmt: skip


def layers(record: Record) -> list[list[Any]]:
    """The layers in the order of the network, see `LAYER`; what was not counted or explained of one is None.

    The report names layers by the user's modules, counts by nodes of the graph; both are in the order of the network.
    """
    counted = list(record.layers)
    explained = [layer for layer in record.report if layer.role != "analog"]
    if explained and len(explained) != len(counted):
        counted = []  # They cannot be told which is which; the totals are there.
    rows: list[list[Any]] = []
    if not record.report:
        return [[layer.name, "", "", layer.neurons, record.code, record.wait, layer.phi, *[None] * 10,
                 four(layer.spikes), four(layer.synops_unary)] for layer in counted]  # fmt: skip
    places = iter(counted)
    for layer in record.report:
        low, high = (None, None) if layer.threshold is None else map(four, layer.threshold)
        of = None if layer.role == "analog" else next(places, None)
        errors = [None] * 5 if layer.errors is None else [
            four(100 * getattr(layer.errors, part).rms) for part in (*PARTS, "total")
        ]  # fmt: skip
        rows.append([
            layer.name, layer.source, layer.role, layer.neurons, layer.code, layer.wait, layer.phi, four(layer.rho),
            low, high, four(layer.rate), four(layer.silent), *errors,
            *([None, None] if of is None else [four(of.spikes), four(of.synops_unary)]),
        ])  # fmt: skip
    return rows


def commands(cell: Cell, source: Source, precision: str) -> list[str]:
    """The commands that measure a cell again, in their order: training where it needs weights that nobody publishes."""
    limited = LIMITED.fullmatch(source.name)
    suite, limit = (limited[1], limited[2]) if limited and limited[1] in suite_names() else (source.name, None)
    words = ["--suite", suite if suite in suite_names() else f"{suite}.yaml", "--task", cell.task, "--network",
             glob.escape(cell.network), "--method", glob.escape(cell.recipe.label)]  # fmt: skip
    if cell.T is not None:
        words += ["--T", str(cell.T), "--seed", str(cell.seed)]
    if limit is not None:
        words += ["--limit", limit]
    needs = cell.task not in TASKS or TASKS[cell.task]().missing() is not None
    data = ["--data-root", "DATA", "--weights", "DATA"] if needs else []
    exact = [] if precision in ("", "float32") else ["--precision", precision]
    run = shlex.join(["python", "run_all.py", "run", *words, *exact, *data])
    return [*([_training(cell.task, cell.network, needs)] if not _has_weights(cell.task, cell.network) else []), run]


def _training(task: str, network: str, needs: bool) -> str:
    data = ["--data-root", "DATA", "--weights", "DATA"] if needs else []
    return shlex.join(["python", "run_all.py", "train", "--task", task, "--network", network, *data])


@cache
def _has_weights(task: str, network: str) -> bool:
    """Whether trained weights ship with the benchmark or are published by others."""
    if task not in TASKS or network not in NETWORKS:  # A plug-in's may not be installed here.
        return True
    name = network.rpartition("/")[2]
    published = NETWORKS[network].info.published(TASKS[task].label_set, name)
    return bool(published) or any(SHIPPED.glob(f"{glob.escape(name)}_{glob.escape(task)}*"))


def verdict(measured: Measured) -> str:
    """What the last verification of the cell said, with its day; "" where it was not measured again."""
    manifest = getattr(measured.source.store, "manifest", None)
    for entry in reversed(manifest.verified if manifest is not None else []):
        if (said := entry.cells.get(measured.record.cell.id)) is not None:
            return f"{said}, measured again on {entry.date}"
    return ""


def four(value: float | None) -> float | None:
    """A figure with 4 digits, as many as are shown; None of one that is not finite, which JSON does not hold."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")


def six(value: float) -> float:
    """A figure with 6 digits, as in results.csv."""
    return float(f"{value:.6g}")
