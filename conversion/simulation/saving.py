"""Converted networks as files: what conversion added to a captured ANN, not the ANN itself.

A file is in the safetensors format: the neurons' parameters and tuned weights, and everything else as JSON in its
metadata. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import Tensor, fx

from conversion.capture.between import encode_between
from conversion.capture.graph import ConversionGraph
from conversion.codes import CODES, Code
from conversion.errors import CheckpointError, InvalidInput
from conversion.files import writable, write_atomically
from conversion.simulation.exit_rules import ConfidenceRule, EntropyRule, ExitRule, SettledRule
from conversion.simulation.network import Nonlinear, SpikingNetwork, require_spiking
from conversion.simulation.neuron import Neuron, Start, TakesBack
from conversion.simulation.trial import Trial

ENTRY = "spiking network"


class _Code(BaseModel):
    """A code: its name, and the fields of its class."""

    model_config = ConfigDict(extra="forbid")
    name: str
    fields: dict[str, bool | int | float | str]


class _Trial(BaseModel):
    """What neurons try before they run."""

    model_config = ConfigDict(extra="forbid")
    steps: int
    then: Literal["silence", "shift"]


class _Layer(BaseModel):
    """The parameters of a layer of neurons that are no tensors. Files without a code are of rates."""

    model_config = ConfigDict(extra="forbid")
    phi: int
    start: Start
    signed: bool
    slope: float | tuple[float, ...]
    rho: float
    takes_back: TakesBack = "eagerly"
    code: _Code | None = None
    wait: int = 0
    ceiling: float = math.inf
    in_binary: bool = False
    trial: _Trial | None = None


class _Exit(BaseModel):
    """An exit rule: `alpha` of `EntropyRule`, `probability` of `ConfidenceRule`, or `bar`, the largest change of
    `SettledRule`."""

    model_config = ConfigDict(extra="forbid")
    alpha: list[float] | None = None
    probability: float | None = None
    bar: float = 0.0


class _Header(BaseModel):
    """Everything of a network but its tensors.

    Attributes:
        activations: shape of one sample's, by name, of the ANN that was converted.
        dtype: type of its parameters; `parameters` is their digest.
        neurons: by the name of the activation that they stand for, in execution order.
        between: whether the graph has encoders between linear layers.
    """

    model_config = ConfigDict(extra="forbid")
    version: Literal[1] = 1
    activations: dict[str, list[int]]
    dtype: str
    parameters: str
    T: int
    nonlinear: Nonlinear
    readout_start: int = 0
    readout_end: int | None = None
    exit: _Exit | None
    neurons: dict[str, _Layer]
    weights: list[str]
    between: bool = False


def save(network: SpikingNetwork, path: str | Path) -> None:
    """Writes a converted network, whole or not at all; `load` reads it.

    The file holds what conversion added. The ANN has to be kept as it always is, as a checkpoint.

    Raises:
        InvalidInput: this is no converted network, or there is no such folder.
    """
    require_spiking(network)
    path = writable(path)
    graph = network.graph
    header = _Header(
        activations=_activations(graph), dtype=str(graph.dtype), parameters=_parameters(graph), T=network.T,
        nonlinear=network.nonlinear, readout_start=network.readout_start, readout_end=network.readout_end,
        exit=_exit_entry(network.exit),
        neurons={
            node.name: _Layer(phi=neuron.phi, start=neuron.start, signed=neuron.signed, slope=neuron.slope,
                              rho=neuron.rho, takes_back=neuron.takes_back, code=_code_entry(neuron.code),
                              wait=neuron.wait, ceiling=neuron.ceiling, in_binary=neuron.in_binary,
                              trial=None if neuron.trial is None else _Trial(**asdict(neuron.trial)))
            for node, neuron in network.neurons.items()
        },
        weights=[node.name for node in network.weights], between=graph.plain is not None,
    )  # fmt: skip
    found: dict[str, Tensor | None] = {f"weights/{node.name}": weight for node, weight in network.weights.items()}
    for node, neuron in network.neurons.items():
        for part in ("threshold", "bias", "potential", "gain"):
            found[f"neurons/{node.name}/{part}"] = getattr(neuron, part)
    # Clones, because safetensors refuses tensors that share memory.
    tensors = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
               for name, value in found.items() if value is not None}  # fmt: skip
    # Python writes infinity, for which the JSON standard has no name. The order of the layers is kept.
    text = json.dumps(header.model_dump())
    # One entry of the metadata: safetensors orders several differently in every process.
    entry = json.dumps({"digest": _digest(tensors, text), "network": text})
    write_atomically(path, serialised(tensors, {ENTRY: entry}))


def load(graph: ConversionGraph, path: str | Path) -> SpikingNetwork:
    """Reads a converted network from a file that `save` wrote.

    Args:
        graph: the same trained ANN, captured again; the network takes its device and precision.
        path: the file.

    Raises:
        CheckpointError: the file is missing, damaged, or does not fit the graph; the message names it.
    """
    path = Path(path)
    header, tensors = _read(path)
    graph = encode_between(graph) if header.between else graph.origin
    _check_fit(header, graph, path)
    nodes = {node.name: node for node in graph.rules}
    device = graph.example.device
    own = graph.start(graph.example)
    try:
        neurons = {nodes[name]: _neuron(name, layer, tensors, path) for name, layer in header.neurons.items()}
        # In the memory order of the ANN's own, which decides how a convolution rounds.
        weights: dict[fx.Node, Tensor] = {
            nodes[name]: torch.empty_like(own[nodes[name]]).copy_(tensors[f"weights/{name}"]) for name in header.weights
        }
        return SpikingNetwork(
            graph, header.T, MappingProxyType({node: neuron.to(device) for node, neuron in neurons.items()}),
            MappingProxyType(weights), _exit_rule(header.exit), header.nonlinear,
            header.readout_start, header.readout_end,
        )  # fmt: skip
    except (KeyError, RuntimeError, InvalidInput, TypeError) as error:
        raise CheckpointError(f"The converted network {path} is damaged: {error}") from error


def _code_entry(code: Code | None) -> _Code | None:
    if code is None:
        return None
    if code.name not in CODES or CODES[code.name] is not type(code):
        raise InvalidInput(
            f"The code {type(code).__name__} cannot be written, since a file says it by name; register it as "
            "conversion.codes.CODES does."
        )
    return _Code(name=code.name, fields=asdict(code))


def _code(entry: _Code | None, path: Path) -> Code | None:
    if entry is None:
        return None
    if entry.name not in CODES:
        raise CheckpointError(
            f"The converted network {path} has neurons in the code '{entry.name}', which is not known here. Known are "
            f"{', '.join(CODES)}; install the plug-in that it comes from."
        )
    return CODES[entry.name](**entry.fields)


def _exit_entry(rule: ExitRule | None) -> _Exit | None:
    if rule is None:
        return None
    if isinstance(rule, EntropyRule):
        return _Exit(alpha=list(rule.alpha))
    if isinstance(rule, ConfidenceRule):
        return _Exit(probability=rule.probability)
    if isinstance(rule, SettledRule):
        return _Exit(bar=rule.max_change)
    raise InvalidInput(
        f"The exit rule is a {type(rule).__name__}, which cannot be written; files hold "
        "EntropyRule, ConfidenceRule and SettledRule."
    )


def _exit_rule(entry: _Exit | None) -> ExitRule | None:
    if entry is None:
        return None
    if entry.probability is not None:
        return ConfidenceRule(entry.probability)
    return SettledRule(entry.bar) if entry.alpha is None else EntropyRule(tuple(entry.alpha))


def _read(path: Path) -> tuple[_Header, dict[str, Tensor]]:
    try:
        path.open("rb").close()  # Of a missing file safetensors does not say why.
        with safe_open(path, "pt") as file:
            entry = json.loads((file.metadata() or {})[ENTRY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if entry["digest"] != _digest(tensors, entry["network"]):
            raise CheckpointError(f"The converted network {path} is damaged: its content is not what was written.")
        return _Header.model_validate(json.loads(entry["network"])), tensors
    except OSError as error:
        raise CheckpointError(f"The converted network {path} cannot be read: {error.strerror}.") from error
    except (SafetensorError, ValidationError, ValueError, KeyError, TypeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckpointError(f"The file {path} is damaged or no converted network: {reason}") from error


def _check_fit(header: _Header, graph: ConversionGraph, path: Path) -> None:
    found = _activations(graph)
    for name, shape in header.activations.items():
        if found.get(name) != shape:
            other = f"of shape {found[name]}" if name in found else "not at all"
            raise CheckpointError(
                f"The converted network {path} is that of another ANN: it has the activation {name} of shape {shape}, "
                f"this graph has it {other}."
            )
    surplus = [name for name in found if name not in header.activations]
    if surplus:
        raise CheckpointError(
            f"The converted network {path} is that of another ANN: it lacks the activation {surplus[0]} of this graph."
        )
    # In another precision parameters cannot be compared.
    if header.dtype == str(graph.dtype) and header.parameters != _parameters(graph):
        raise CheckpointError(
            f"The converted network {path} is that of an ANN with other weights; load it onto the one it was made from."
        )


def _neuron(name: str, layer: _Layer, tensors: Mapping[str, Tensor], path: Path) -> Neuron:
    threshold, bias = (tensors[f"neurons/{name}/{part}"] for part in ("threshold", "bias"))
    return Neuron(threshold, layer.phi, bias, layer.start, layer.signed, layer.slope, layer.rho,
                  tensors.get(f"neurons/{name}/potential"), layer.takes_back, _code(layer.code, path), layer.wait,
                  layer.ceiling, layer.in_binary, tensors.get(f"neurons/{name}/gain"),
                  None if layer.trial is None else Trial(layer.trial.steps, layer.trial.then))  # fmt: skip


def _activations(graph: ConversionGraph) -> dict[str, list[int]]:
    return {node.name: [int(size) for size in node.meta["val"].shape[1:]] for node in graph.firing}


def _parameters(graph: ConversionGraph) -> str:
    return _digest(graph.module.state_dict(), "")


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 of tensors, their names and types, and a text."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
