"""Files for others: a NIR graph with its golden trace beside it, a quantised twin in ONNX."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from conversion.errors import InvalidInput
from conversion.exchange.libraries import library
from conversion.exchange.nir_export import export_nir
from conversion.exchange.nir_import import import_nir
from conversion.exchange.onnx_twin import export_onnx
from conversion.exchange.trace import as_data, run_in_double
from conversion.files import writable, write_atomically
from conversion.simulation.network import SpikingNetwork, require_spiking


@dataclass(frozen=True)
class Replay:
    """A NIR file, read again and simulated beside the network that it was written from, in float64.

    Attributes:
        spikes: number of spikes in the trace.
        differing: number of neurons and steps at which the two differ. None, where the export is right.
        margin: how near a potential came to a threshold, in thresholds: a simulator with larger rounding errors than
            this may give other spikes.
    """

    samples: int
    T: int
    spikes: int
    differing: int
    margin: float

    def __str__(self) -> str:
        return (
            f"{self.samples} samples over {self.T} steps: {self.spikes:,} spikes, {self.differing} of them other when "
            f"the file is read again; no potential comes nearer to its threshold than {self.margin:.1e} of it"
        )


def trace_path(path: Path) -> Path:
    """The golden trace beside a NIR file: net.trace.nir of net.nir."""
    return path.with_name(f"{path.stem}.trace{path.suffix}")


def save_nir(network: SpikingNetwork, path: str | Path, inputs: Tensor) -> Replay:
    """Writes a network as NIR and, beside it, the spikes of some inputs as its golden trace; reads both again.

    Args:
        network: as `export_nir` takes it.
        path: the file; it is replaced whole or not at all. The trace's name is that of `trace_path`.
        inputs: shape (N, ...); few are enough, as all spikes of all neurons are kept.

    Raises:
        InvalidInput, UnsupportedOp: as `export_nir`; there is no such folder, or inputs are of another shape.
    """
    require_spiking(network)
    path, nir = writable(path), library("nir", "nir")
    expected = tuple(network.graph.example.shape[1:])
    if tuple(inputs.shape[1:]) != expected:
        raise InvalidInput(
            f"The inputs of the trace have shape {tuple(inputs.shape)}; the network takes (N, *{expected})."
        )
    graph, run = export_nir(network), run_in_double(network, inputs)
    for target, write, content in (
        (trace_path(path), nir.write_data, as_data(run, network.graph.cast(inputs))),
        (path, nir.write, graph),
    ):
        buffer = io.BytesIO()
        write(buffer, content)
        write_atomically(target, buffer.getvalue())
    back = import_nir(path)
    again = run_in_double(back.network, inputs, {node: name for name, node in back.layers.items()})
    differing = sum(int((again.spikes[name] != fired).sum()) for name, fired in run.spikes.items())
    spikes = sum(int(fired.sum()) for fired in run.spikes.values())
    return Replay(len(inputs), network.T, spikes, differing, run.margin)


def save_onnx(network: SpikingNetwork, path: str | Path) -> None:
    """Writes a quantised twin as an ONNX model, whole or not at all.

    Raises:
        InvalidInput, UnsupportedOp: as `export_onnx`; there is no such folder.
    """
    require_spiking(network)
    write_atomically(writable(path), export_onnx(network).SerializeToString())
