"""The page of one conversion: its scores and costs, and the error that every layer adds (docs/report.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from torch import Tensor

from benchmarks.execution.workbench import Workbench
from benchmarks.pages.markdown import table
from benchmarks.records.record import Record
from benchmarks.suites.cell import Cell
from conversion.codes import RATE
from conversion.counting.prices import PRICES, Coding
from conversion.report.errors import PARTS
from conversion.report.layers import LayerReport, advice, worst
from conversion.report.roles import RoleGroup, roles

COLUMNS = ["layer", "threshold", "phi", "rho", "rate", "silent", *PARTS, "total"]
# Roles whose operations are listed by name.
NAMED = ("analog", "nonlinear")


class Conversion(BaseModel):
    """One conversion, measured and explained.

    Attributes:
        ann: the record of the ANN on the same samples.
        record: the record of the converted network; its report is that of the layers, on calibration samples.
        roles: the operations, grouped by their role in time.
        worst: a sentence that names the layer that adds most of the error.
    """

    model_config = ConfigDict(frozen=True)
    ann: Record
    record: Record
    roles: list[RoleGroup]
    worst: str


def measure_conversion(
    cell: Cell, bench: Workbench, advance: Callable[[int], None], say: Callable[[str], None] = lambda _: None
) -> Conversion:
    """Measures a cell and its ANN, and explains the conversion on calibration samples.

    Args:
        advance, say: called with the progress, see `Workbench.measure`.

    Raises:
        BenchmarkError: the method cannot be applied to the network, or the outputs are not finite.
    """
    record = bench.measure(cell, advance, say).record
    ann = bench.measure(cell.model_copy(update={"method": "ann", "options": {}, "T": None, "seed": 0}), advance).record
    network = bench.convert(cell).network
    inputs = bench.calibration(cell.task, cell.network, cell.calibration, cell.seed).inputs
    groups = roles(network, constant_input=isinstance(inputs, Tensor))
    return Conversion(ann=ann, record=record, roles=groups, worst=worst(record.report))


def print_conversion(found: Conversion, price_list: str, console: Console) -> None:
    """Prints a conversion: set for the screen on a terminal, its Markdown page elsewhere."""
    if console.is_terminal:
        console.print(Markdown("\n".join(_summary(found, price_list))), "", layer_grid(found.record.report))
        console.print(Markdown("\n".join(role_table(found.roles))))
    else:
        print(markdown(found, price_list))


def markdown(found: Conversion, price_list: str) -> str:
    """The page of a conversion."""
    lines = [*_summary(found, price_list), "", *layer_table(found.record.report), "", *role_table(found.roles), ""]
    return "\n".join(lines)


def _summary(found: Conversion, price_list: str) -> list[str]:
    prices = PRICES[price_list]
    totals, of_ann = found.record.totals, found.ann.totals
    assert totals is not None and of_ann is not None
    coded = found.record.code != RATE
    codings: Sequence[Coding] = ("unary", "smallest", "graded") if coded else ("unary", "graded")
    shares = [100 * prices.millijoules(totals, coding) / prices.millijoules(of_ann, "unary") for coding in codings]
    times = f"- first answer after {totals.latency_first:.4g} steps, final one after {totals.latency_final:.4g}"
    return [
        f"# {found.record.cell.label}",
        "",
        f"- {_score(found.record)}; ANN: {_score(found.ann)}",
        f"- {totals.spikes:.6g} spikes per sample in {totals.steps:.4g} steps",
        f"- energy {' / '.join(f'{share:.1f}' for share in shares)} % of the ANN's, {' / '.join(codings)}, by "
        f"`{price_list}`",
        *([f"- code {found.record.code}, wait {found.record.wait}", times] if coded else []),
        f"- {found.worst}",
        f"- {advice(found.record.report)}",
    ]


def layer_table(report: Sequence[LayerReport]) -> list[str]:
    """The layers as a Markdown table; errors as their RMS in percent of the activation's, with the mean in brackets."""
    rows = (_row(layer, True, _coded(report)) for layer in report)
    return table(_columns(_coded(report)), [[f"`{name}`", *figures] for name, *figures in rows])


def layer_grid(report: Sequence[LayerReport]) -> Table:
    """The layers as a table for a terminal; errors as their RMS in percent of the activation's."""
    grid = Table(box=None, padding=(0, 1, 0, 0))
    for column in _columns(_coded(report)):
        grid.add_column(column, justify="left" if column == "layer" else "right", overflow="fold")
    for layer in report:
        grid.add_row(*_row(layer, False, _coded(report)))
    return grid


def role_table(groups: Sequence[RoleGroup]) -> list[str]:
    """The roles of the operations as a Markdown table; it names those that stay analog between neurons."""
    rows = []
    for group in groups:
        operations = ", ".join(f"{count} {op}" for op, count in group.ops.items())
        rows.append([group.role, operations + (f" ({', '.join(group.names)})" if group.role in NAMED else "")])
    return table(["in time", "operations"], rows)


def _coded(report: Sequence[LayerReport]) -> bool:
    return any(layer.code != RATE for layer in report)


def _columns(coded: bool) -> list[str]:
    return [COLUMNS[0], "code", "wait", *COLUMNS[1:]] if coded else COLUMNS


def _row(layer: LayerReport, means: bool, coded: bool) -> list[str]:
    if layer.errors is None or layer.threshold is None:
        return [layer.name, layer.role, *[""] * (len(_columns(coded)) - 2)]
    low, high = (f"{value:.3g}" for value in layer.threshold)
    errors = [getattr(layer.errors, part) for part in (*PARTS, "total")]
    return [
        layer.name,
        *([layer.code, layer.wait] if coded else []),
        (low if low == high else f"{low} to {high}") + " (signed)" * (layer.role == "signed"),
        f"{layer.phi}",
        f"{layer.rho:g}",
        f"{layer.rate:.3f}",
        f"{layer.silent:.1%}",
        *[f"{100 * error.rms:.1f}" + f" ({100 * error.mean:+.1f})" * means for error in errors],
    ]


def _score(record: Record) -> str:
    value = record.metrics[record.primary_metric]
    return f"{record.primary_metric} {value.value:.2f} [{value.ci_low:.2f}, {value.ci_high:.2f}] on {value.n} samples"
