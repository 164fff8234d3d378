"""`export`: a converted network in a format that other tools read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from benchmarks.choices import ExportFormat
from benchmarks.execution.workbench import Workbench
from benchmarks.references.released import named_method, released_network
from benchmarks.suites.cell import Cell
from benchmarks.suites.plugins import load_plugins
from conversion import SpikingNetwork, load
from conversion.errors import BenchmarkError
from conversion.exchange import compare, save_nir, save_onnx
from conversion.exchange.chips import reasons_against
from conversion.exchange.files import trace_path
from conversion.methods import METHODS

# What each format is for, and how many test samples are traced or compared.
METHOD = {"nir": "calibration", "onnx": "quantised_ann"}
SAMPLES = {"nir": 16, "onnx": 1000}
BATCH = 50


def export(
    format: ExportFormat, output: Path, bench: Workbench, *, task: str, network: str, method: str | None,
    T: int | None, converted: Path | None, seed: int, calibration: int, samples: int | None,
) -> None:  # fmt: skip
    """Writes a network of a task, converted by a method or read from a file, and says how it compares.

    Args:
        output: the file; a golden trace lies beside a file of NIR.
        task, network: names as registered.
        method: with options as in "burst:phi=1,start=shift"; the format's own when left out.
        converted: a file of `convert --save`, in place of a method and T.
        samples: number of test samples that are traced (nir) or compared (onnx).

    Raises:
        BenchmarkError: the format cannot hold the network, options contradict each other, or a folder is missing.
    """
    if not output.parent.is_dir():
        raise BenchmarkError(f"There is no folder {output.parent} for --output; make it first.")
    if (converted is None) == (T is None):
        raise BenchmarkError("Give --T, and --method if you like; or --converted with a file of convert --save.")
    if converted is not None and method is not None:
        raise BenchmarkError("The file of --converted says how it was converted; leave --method out.")
    load_plugins()
    name, options = named_method(method or METHOD[format])
    cell = Cell(
        task=task, network=released_network(task, network), method=name, options=options,
        T=T if METHODS[name].timed else None, seed=seed, limit=None, calibration=calibration,
    )  # fmt: skip
    snn = _converted(cell, bench, converted)
    inputs = _test_inputs(cell, bench, SAMPLES[format] if samples is None else samples)
    if format == "nir":
        replay = save_nir(snn, output, torch.cat([*inputs]))
        print(f"{output} and its trace {trace_path(output).name}\n{replay}")
        _print_mapping(snn)
    else:
        save_onnx(snn, output)
        print(f"{output}\n{compare(snn, inputs)}")


def _print_mapping(snn: SpikingNetwork) -> None:
    """Why the network does not fit a chip of convolution cores, as a table."""
    reasons = reasons_against(snn)
    if not reasons:
        print("On Speck: nothing is against it by its layers; memory and 8-bit weights are for the chip's own tools.")
        return
    table = Table("layer", "needs", "Speck has")
    for reason in reasons:
        table.add_row(escape(reason.layer), escape(reason.needs), escape(reason.limit))
    Console().print(table)


def _converted(cell: Cell, bench: Workbench, converted: Path | None) -> SpikingNetwork:
    if converted is not None:
        return load(bench.network(cell.task, cell.network).graph, converted)
    print(f"Converting {cell.label}", file=sys.stderr)
    return bench.convert(cell).network


def _test_inputs(cell: Cell, bench: Workbench, count: int) -> Iterator[Tensor]:
    prepared = bench.network(cell.task, cell.network)
    for batch in prepared.task.test(BATCH, count):
        inputs = prepared.adapter.spiking_input(batch.inputs.to(prepared.graph.example.device))
        if not isinstance(inputs, Tensor):
            raise BenchmarkError(
                f"The input of '{cell.task}' changes from step to step, which no file of these formats says; export a "
                "network of still inputs."
            )
        yield inputs
