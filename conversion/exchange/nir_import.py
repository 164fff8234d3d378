"""NIR graphs of integrate-and-fire neurons as spiking networks of ours, which are simulated, counted and priced."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from conversion.capture.export import capture
from conversion.errors import BenchmarkError, InvalidInput
from conversion.exchange.contract import GraphContract, breaks
from conversion.exchange.hdf5 import read_graph
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron

if TYPE_CHECKING:
    import nir

LARGEST_SIGNAL = 2**28
"""Numbers of one sample in a value of a network: two gibibytes in float64."""
KNOWN = ("Input", "Output", "Affine", "Linear", "Scale", "Conv1d", "Conv2d", "AvgPool2d", "SumPool2d", "Flatten", "IF")


@dataclass(frozen=True, eq=False)
class FromNIR:
    """A spiking network that was read from NIR.

    Attributes:
        network: in float64.
        layers: its layers of neurons, by the names of their nodes in NIR.
        contract: what the file says of time; None where it was not ours.
    """

    network: SpikingNetwork
    layers: Mapping[str, fx.Node]
    contract: GraphContract | None


def import_nir(source: nir.NIRGraph | str | Path, T: int | None = None) -> FromNIR:
    """Reads a NIR graph of integrate-and-fire neurons without feedback.

    Its neurons become ours: one spike per step at most, fired at the threshold, which is subtracted. A file of ours
    says that this is meant; of another file it is what most simulators do with an IF whose reset is at zero.

    Args:
        source: a graph, or a file in NIR's HDF5 format.
        T: number of steps; a file of ours says its own.

    Raises:
        InvalidInput: the file is damaged, too large or points out of itself; a node is of a kind that has no place
            here; the graph has feedback; or nothing says T. The message names the file or the node.
    """
    try:
        return _imported(source, T)
    except InvalidInput as error:
        raise InvalidInput(" ".join(str(error).split())) from error  # Names of nodes are anyone's.


def _imported(source: nir.NIRGraph | str | Path, T: int | None) -> FromNIR:
    where = "The NIR graph" if not isinstance(source, (str, Path)) else f"The NIR file {source}"
    graph = read_graph(Path(source)) if isinstance(source, (str, Path)) else source
    contract = GraphContract.read(graph.metadata, where)
    if T is None and contract is None:
        raise InvalidInput(f"{where} does not say for how many steps it is meant; give T.")
    steps = contract.T if T is None and contract is not None else T
    if contract is not None and contract.half_threshold and steps != contract.T:
        raise InvalidInput(
            f"{where} is for T = {contract.T}: its biases contain half a threshold spread over as many steps. Leave T "
            "out."
        )
    module = _Module(graph, where)
    try:
        captured = capture(module.double().eval(), torch.zeros(1, *module.shape, dtype=torch.float64))
    except (BenchmarkError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InvalidInput(f"{where} describes no network that can be computed: {reason}") from error
    layers = dict(zip(module.layers, captured.firing, strict=True))
    assert steps is not None
    network = SpikingNetwork(captured, steps)
    if contract is not None:
        last = None if contract.last == steps else contract.last
        network = replace(network, readout_start=contract.first - 1, readout_end=last)
    # A spike of NIR is 1: thresholds have gone into the currents.
    unit = torch.ones(1, dtype=torch.float64)
    neurons = {node: Neuron(unit, 1, torch.zeros_like(unit), start="none") for node in layers.values()}
    return FromNIR(network.with_neurons(neurons), MappingProxyType(layers), contract)


class _Module(nn.Module):
    """The ANN in which rectifiers stand for the neurons of a NIR graph.

    Attributes:
        shape: that of one sample of the input.
        layers: names of the nodes that are neurons, in execution order.
    """

    def __init__(self, graph: nir.NIRGraph, where: str) -> None:
        super().__init__()
        self.where = where
        nodes, edges = graph.nodes, [(str(before), str(behind)) for before, behind in graph.edges]
        for name, node in nodes.items():
            if type(node).__name__ not in KNOWN:
                raise InvalidInput(
                    f"{where} has the node '{name}' of the kind {type(node).__name__}, which has no counterpart here; "
                    f"there are {', '.join(KNOWN)}."
                )
        if stray := [name for edge in edges for name in edge if name not in nodes]:
            raise InvalidInput(f"{where} has an edge to the node '{stray[0]}', which it does not have.")
        if repeated := [edge for edge, count in Counter(edges).items() if count > 1]:
            raise InvalidInput(
                f"{where} has the edge from '{repeated[0][0]}' to '{repeated[0][1]}' more than once, and simulators "
                "do not agree whether it counts twice."
            )
        self.order = _order(nodes, edges, where)
        self.sources: dict[str, list[str]] = {name: [] for name in self.order}
        for before, behind in edges:
            self.sources[behind].append(before)
        self.ends = {
            kind: [name for name in self.order if type(nodes[name]).__name__ == kind] for kind in ("Input", "Output")
        }
        for kind, found in self.ends.items():
            if len(found) != 1:
                raise InvalidInput(f"{where} has {len(found)} nodes of the kind {kind}; networks here have one.")
        if unfed := [name for name in self.order if not self.sources[name] and name != self.ends["Input"][0]]:
            raise InvalidInput(f"{where} has the node '{unfed[0]}', into which no edge leads.")
        self.shape = tuple(int(size) for size in nodes[self.ends["Input"][0]].input_type["input"])
        if not self.shape or min(self.shape) < 1 or math.prod(self.shape) > LARGEST_SIGNAL:
            raise InvalidInput(f"{where} has an input of shape {self.shape}, which is none of a sample.")
        self.layers: list[str] = []
        self.operations: dict[str, Any] = {}
        for number, name in enumerate(self.order):
            try:
                self.operations[name] = self._operation(name, nodes[name], f"node{number}")
            except (TypeError, ValueError, IndexError, KeyError, AttributeError, RuntimeError) as error:
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                raise InvalidInput(f"{where} has a node '{name}' that cannot be read: {reason}") from error
        if not self.layers:
            raise InvalidInput(f"{where} has no neurons (IF).")

    def forward(self, x: Tensor) -> Tensor:
        values = {self.ends["Input"][0]: x}
        for name in self.order:
            if name in values:
                continue
            first, *others = (values[source] for source in self.sources[name])
            for other in others:
                if other.shape[1:] != first.shape[1:]:
                    raise InvalidInput(
                        f"{self.where} sums, at the node '{name}', signals of shapes {tuple(first.shape[1:])} and "
                        f"{tuple(other.shape[1:])}."
                    )
                first = first + other
            values[name] = self.operations[name](first)
            if math.prod(values[name].shape[1:]) > LARGEST_SIGNAL:
                raise InvalidInput(f"{self.where} has a node '{name}' whose output has too many numbers for a sample.")
        return values[self.ends["Output"][0]]

    def _operation(self, name: str, node: Any, own: str) -> Any:
        """The function of a node; its parameters become buffers called `own`_..."""
        kind = type(node).__name__
        if kind in ("Input", "Output"):
            return nn.Identity()
        if kind == "IF":
            return self._neurons(name, node, own)

        def held(field: str) -> str:
            key = f"{own}_{field}"
            self.register_buffer(key, _finite(getattr(node, field), f"{self.where} has in '{name}' a {field}"))
            return key

        if kind == "Scale":
            scale = held("scale")
            return lambda x: x * self._fitting(name, x, getattr(self, scale))
        if kind in ("Affine", "Linear"):
            weight, bias = held("weight"), held("bias") if kind == "Affine" else None
            return lambda x: F.linear(x, getattr(self, weight), None if bias is None else getattr(self, bias))
        if kind in ("Conv1d", "Conv2d"):
            dims = int(kind[4])
            weight, bias = held("weight"), held("bias")
            convolve = F.conv1d if dims == 1 else F.conv2d
            stride, dilation = _numbers(node.stride, dims), _numbers(node.dilation, dims)
            raw = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
            padding = raw if isinstance(raw, str) else _numbers(raw, dims)
            groups = int(node.groups)
            return lambda x: convolve(x, getattr(self, weight), getattr(self, bias), stride, padding, dilation, groups)
        if kind == "Flatten":
            start, end = int(node.start_dim), int(node.end_dim)
            # NIR counts the axes of one sample.
            return lambda x: x.flatten(start + 1 if start >= 0 else start, end + 1 if end >= 0 else end)
        kernel, stride, padding = (_numbers(getattr(node, field), 2) for field in ("kernel_size", "stride", "padding"))
        divisor = 1 if kind == "SumPool2d" else None
        return lambda x: F.avg_pool2d(x, kernel, stride, padding, divisor_override=divisor)

    def _neurons(self, name: str, node: Any, own: str) -> Any:
        if (asked := breaks(node.metadata)) is not None:
            raise InvalidInput(f"{self.where} asks of the neurons '{name}' for {asked}, which ours do not do.")
        resistance, threshold, reset = (
            _finite(getattr(node, field), f"{self.where} has in '{name}' a {field}")
            for field in ("r", "v_threshold", "v_reset")
        )
        if bool((reset != 0).any()):
            raise InvalidInput(
                f"{self.where} has neurons '{name}' that are reset to other potentials than zero; ours subtract the "
                "threshold."
            )
        if not bool((threshold > 0).all()):
            raise InvalidInput(f"{self.where} has neurons '{name}' with a threshold that is not positive.")
        self.layers.append(name)
        gain = resistance / threshold
        self.register_buffer(f"{own}_gain", gain)
        plain = bool((gain == 1).all())

        def neurons(x: Tensor) -> Tensor:
            fitting = self._fitting(name, x, getattr(self, f"{own}_gain"))
            return torch.relu(x if plain else x * fitting)

        return neurons

    def _fitting(self, name: str, x: Tensor, values: Tensor) -> Tensor:
        """Parameters that broadcast to a sample; others would make more neurons of it, or mix it with the batch."""
        if values.numel() == 1:
            return values.reshape(())
        if torch.broadcast_shapes(values.shape, x.shape[1:]) != x.shape[1:]:
            raise InvalidInput(
                f"{self.where} has in '{name}' parameters of shape {tuple(values.shape)} for a signal of shape "
                f"{tuple(x.shape[1:])}."
            )
        return values


def _order(nodes: Mapping[str, Any], edges: list[tuple[str, str]], where: str) -> list[str]:
    """The nodes in execution order: as the contract says, or else any in which what is read comes first.

    Raises:
        InvalidInput: there is none, since the graph has feedback.
    """
    by_contract = sorted(nodes, key=lambda name: _position(nodes[name]))
    places = {name: place for place, name in enumerate(by_contract)}
    readers: dict[str, list[str]] = {name: [] for name in by_contract}
    for before, behind in edges:
        readers[before].append(behind)
    waits = Counter(behind for _, behind in edges)
    ready = [places[name] for name in by_contract if not waits[name]]  # Sorted, so it is a heap.
    order: list[str] = []
    while ready:
        order.append(by_contract[heapq.heappop(ready)])
        for behind in readers[order[-1]]:
            waits[behind] -= 1
            if not waits[behind]:
                heapq.heappush(ready, places[behind])
    if len(order) < len(by_contract):
        left = next(name for name in by_contract if waits[name])
        raise InvalidInput(f"{where} has feedback at the node '{left}'; networks here have none.")
    return order


def _position(node: Any) -> int:
    metadata = node.metadata if isinstance(node.metadata, Mapping) else {}
    try:
        return int(metadata.get("order", 0))
    except (TypeError, ValueError):
        return 0


def _finite(value: Any, what: str) -> Tensor:
    tensor = torch.as_tensor(value, dtype=torch.float64)
    if not bool(torch.isfinite(tensor).all()):
        raise InvalidInput(f"{what} that is not finite.")
    return tensor


def _numbers(value: Any, dims: int) -> tuple[int, ...]:
    given = torch.as_tensor(value).reshape(-1)
    found = tuple(int(number) for number in given)
    if list(found) != given.tolist() or len(found) not in (1, dims):
        raise ValueError(f"{given.tolist()} where {dims} whole numbers are meant")
    return found * dims if len(found) == 1 else found
