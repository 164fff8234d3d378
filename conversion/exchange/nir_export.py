"""Converted networks as NIR graphs (Pedersen et al., Nature Communications 2024).

Thresholds are folded into weights, those before a layer and those behind it, so that every neuron fires at 1 and sends
1. Half a threshold and the calibration's bias are in the bias before the neurons. A sum is several edges into one node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from conversion.capture.graph import Values
from conversion.capture.roles import MOVES, SCALES, Role, aten, packet
from conversion.errors import UnsupportedOp
from conversion.exchange.contract import GraphContract, NeuronContract, NodeContract
from conversion.exchange.libraries import library
from conversion.exchange.limits import refused, require_expressible
from conversion.exchange.signals import Signal, by_channel, one
from conversion.report.naming import module_name
from conversion.simulation.network import SpikingNetwork

if TYPE_CHECKING:
    import nir

INPUT, OUTPUT = "input", "output"


def export_nir(network: SpikingNetwork) -> nir.NIRGraph:
    """A converted network as a NIR graph.

    Nodes are called as in the captured graph, the ends "input" and "output". Weights are in float64. Every node carries
    what a simulator has to keep to for the same spikes (`conversion.exchange.contract`).

    Args:
        network: neurons send one spike per step at most, none negative, and start from zero (start="shift").

    Raises:
        InvalidInput: NIR cannot describe the neurons; the message says what would be lost, and what to convert with.
        UnsupportedOp: NIR has no primitive for an operation, which the message names with its source line.
    """
    library("nir", "nir")
    require_expressible(network)
    return _Export(network).graph()


@dataclass(eq=False)
class _Part:
    """A NIR node that is being made.

    Attributes:
        kind: the name of the primitive.
        fields: what it is made with; tensors in float64.
        shape: of one sample of its output.
        sources: the nodes whose outputs it sums.
        origin: the operation that it is; None where it was put in between.
    """

    kind: str
    fields: dict[str, Any]
    shape: tuple[int, ...]
    sources: Sequence[str] = ()
    origin: fx.Node | None = None


class _Export:
    def __init__(self, network: SpikingNetwork) -> None:
        self.network = network
        self.parts: dict[str, _Part] = {}
        self.constants: Values = network.start(network.graph.example)
        self.signals: dict[fx.Node, Signal] = {}

    def graph(self) -> nir.NIRGraph:
        network, graph = self.network, self.network.graph
        self.signals[graph.input] = self._add(INPUT, "Input", {}, _shape(graph.input))
        for node in graph.body:
            self.signals[node] = self._operation(node)
        signal = self.signals[graph.output.all_input_nodes[0]]
        keys = self._carried(signal) if signal.offset is not None else self._summed(signal)
        self._add(OUTPUT, "Output", {}, signal.shape, keys)
        shifted = any(neuron.start == "shift" for neuron in network.neurons.values())
        last = network.T if network.readout_end is None else network.readout_end
        return self._written(GraphContract(network.T, network.readout_start + 1, last, shifted))

    def _operation(self, node: fx.Node) -> Signal:
        if node in self.network.neurons:
            return self._neurons(node)
        op = packet(node)
        if op in _RULES:
            return _RULES[op](self, node)
        if op in SCALES or self.network.graph.rules[node].role is Role.OUTPUT_ENCODER:
            return self._input(node)
        if op in MOVES and _shape(node) in (self._input(node).shape, (_size(self._input(node).shape),)):
            return self._reshaped(node)
        raise refused(self.network, node)

    def _input(self, node: fx.Node) -> Signal:
        """The one signal that an operation reads."""
        sources = [source for source in node.all_input_nodes if source in self.signals]
        if len(sources) != 1:
            raise refused(self.network, node)
        return self.signals[sources[0]]

    # ----------------------------------------------------------------------------------------- operations with weights

    def convolution(self, node: fx.Node) -> Signal:
        given, signal = _arguments(node), self._input(node)
        weight, groups = self._value(given["weight"]), int(given["groups"])
        dims = weight.dim() - 2
        bias = torch.zeros(len(weight), dtype=torch.float64) if given["bias"] is None else self._value(given["bias"])
        padding = given["padding"] if isinstance(given["padding"], str) else _sizes(given["padding"], dims)
        if signal.offset is not None:
            raise refused(self.network, node, "NIR cannot add a constant to the input of a convolution")
        keys, factor = self._with_common_factor(signal, channels_only=True)
        # Input channels of a group lie on axis 1, the groups are blocks of axis 0.
        per_input = factor.expand(signal.shape[0], *[1] * dims).reshape(groups, 1, -1, *[1] * dims)
        weight = (weight.unflatten(0, (groups, -1)) * per_input).flatten(0, 1)
        fields: dict[str, Any] = {
            "input_shape": signal.shape[1:], "weight": weight, "bias": bias, "stride": _sizes(given["stride"], dims),
            "padding": padding, "dilation": _sizes(given["dilation"], dims), "groups": groups,
        }  # fmt: skip
        if dims == 1:
            fields |= {name: fields[name][0] for name in ("input_shape", "stride", "dilation")}
            fields["padding"] = padding if isinstance(padding, str) else padding[0]
        return self._add(node.name, f"Conv{dims}d", fields, _shape(node), keys, node)

    def linear(self, node: fx.Node) -> Signal:
        given, signal = _arguments(node), self._input(node)
        weight = self._value(given["weight"])
        return self._affine(node, signal, weight, None if given["bias"] is None else self._value(given["bias"]))

    def addmm(self, node: fx.Node) -> Signal:
        given, signal = _arguments(node), self._input(node)
        if given["mat1"] not in self.signals or float(given["alpha"]) != 1 or float(given["beta"]) != 1:
            raise refused(self.network, node)
        return self._affine(node, signal, self._value(given["mat2"]).T, self._value(given["self"]))

    def _affine(self, node: fx.Node, signal: Signal, weight: Tensor, bias: Tensor | None) -> Signal:
        if len(signal.shape) != 1:
            raise refused(self.network, node, "A linear layer of NIR takes one vector for each sample")
        bias = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.expand(len(weight))
        if signal.offset is not None:
            bias = bias + weight @ signal.offset.expand(signal.shape)
        keys, factor = self._with_common_factor(signal)
        fields = {"weight": weight * factor.expand(signal.shape), "bias": bias}
        return self._add(node.name, "Affine", fields, _shape(node), keys, node)

    # -------------------------------------------------------------------------------------- operations without weights

    def average(self, node: fx.Node) -> Signal:
        given, signal = _arguments(node), self._input(node)
        padding = _sizes(given["padding"], 2)
        odd = given["ceil_mode"] or given["divisor_override"] is not None
        if odd or (any(padding) and not given["count_include_pad"]):
            raise refused(
                self.network, node, "NIR's AvgPool2d divides by the size of its window, and rounds sizes down"
            )
        kernel = _sizes(given["kernel_size"], 2)
        return self._pooled(node, signal, kernel, _sizes(given["stride"] or kernel, 2), padding)

    def adaptive_average(self, node: fx.Node) -> Signal:
        signal, target = self._input(node), _shape(node)[1:]
        if any(size % wanted for size, wanted in zip(signal.shape[1:], target, strict=True)):
            raise refused(self.network, node, "NIR's AvgPool2d has windows of one size")
        kernel = tuple(size // wanted for size, wanted in zip(signal.shape[1:], target, strict=True))
        return self._pooled(node, signal, kernel, kernel, (0, 0))

    def mean(self, node: fx.Node) -> Signal:
        given, signal = _arguments(node), self._input(node)
        axes = sorted(axis % (len(signal.shape) + 1) for axis in given["dim"] or ())
        if len(signal.shape) != 3 or axes != [2, 3]:
            raise refused(self.network, node, "NIR averages over the height and width of images alone")
        pooled = self._pooled(node, signal, signal.shape[1:], signal.shape[1:], (0, 0))
        return pooled if given["keepdim"] else self._flat(pooled)

    def _pooled(
        self, node: fx.Node, signal: Signal, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> Signal:
        if signal.offset is not None and any(padding):
            raise refused(self.network, node, "NIR cannot add a constant to the input of a padded pooling")
        keys, factor = self._with_common_factor(signal, channels_only=True)
        channels = signal.shape[0]
        sizes = (
            (size + 2 * pad - window) // step + 1
            for size, window, step, pad in zip(signal.shape[1:], kernel, stride, padding, strict=True)
        )
        fields = {"kernel_size": kernel, "stride": stride, "padding": padding}
        pooled = self._add(node.name, "AvgPool2d", fields, (channels, *sizes), keys).times(factor)
        if signal.offset is None:
            return pooled
        if not by_channel(signal.offset):
            raise refused(self.network, node, "NIR cannot add a constant of its own to every position")
        return pooled.shifted(signal.offset)

    def _reshaped(self, node: fx.Node) -> Signal:
        signal = self._input(node)
        return signal if _shape(node) == signal.shape else self._flat(signal)

    def _flat(self, signal: Signal) -> Signal:
        """The signal behind Flatten nodes, one for each of its terms."""
        terms = {}
        for key, factor in signal.terms.items():
            flat = f"{key}_flat"
            if flat not in self.parts:
                fields = {"input_type": signal.shape, "start_dim": 0, "end_dim": -1}
                self._add(flat, "Flatten", fields, (_size(signal.shape),), [key])
            terms[flat] = factor
        return Signal(signal.shape, terms, signal.offset).flattened()

    def sum(self, node: fx.Node) -> Signal:
        given = _arguments(node)
        first, second, alpha = given["self"], given["other"], float(given["alpha"])
        signs = {aten.add: (1.0, alpha), aten.sub: (1.0, -alpha), aten.rsub: (-alpha, 1.0)}[packet(node)]
        parts: list[Signal | Tensor] = []
        for value, sign in zip((first, second), signs, strict=True):
            if isinstance(value, fx.Node) and value in self.signals:
                parts.append(self.signals[value].times(torch.tensor(sign, dtype=torch.float64)))
            else:
                parts.append(sign * self._constant(node, value))
        left, right = sorted(parts, key=lambda part: isinstance(part, Tensor))
        if not isinstance(left, Signal) or left.shape != _shape(node):
            raise refused(self.network, node, "NIR adds signals of one shape")
        if isinstance(right, Tensor):
            return left.shifted(right)
        if right.shape != left.shape:
            raise refused(self.network, node, "NIR adds signals of one shape")
        return left.plus(right)

    def product(self, node: fx.Node) -> Signal:
        given, signal = _arguments(node), self._input(node)
        first, second = given["self"], given["other"]
        if signal.shape != _shape(node):
            raise refused(self.network, node, "NIR scales signals and keeps their shape")
        factor = self._constant(node, second if first in self.signals else first)
        return signal.times(factor if packet(node) is aten.mul else 1 / factor)

    def negative(self, node: fx.Node) -> Signal:
        return self._input(node).times(torch.tensor(-1.0, dtype=torch.float64))

    def _constant(self, node: fx.Node, value: Any) -> Tensor:
        """A constant in as many dimensions as one sample of a node's value."""
        tensor = self._value(value)
        shape = _shape(node)
        if tensor.dim() > len(shape):
            if tensor.shape[0] != 1:
                raise refused(self.network, node)
            tensor = tensor[0]
        return tensor.reshape(*[1] * (len(shape) - tensor.dim()), *tensor.shape)

    # --------------------------------------------------------------------------------------------------------- neurons

    def _neurons(self, node: fx.Node) -> Signal:
        neuron, signal = self.network.neurons[node], self._input(node)
        shape, axis = signal.shape, self.network.graph.channel_axis(node)
        if axis != 1:
            raise refused(self.network, node, "NIR has channels on the first axis of a sample")

        def of_sample(values: Tensor) -> Tensor:
            values = values.double().cpu()
            return values if values.dim() > 1 else values.reshape(-1, *[1] * (len(shape) - 1))

        threshold = of_sample(neuron.threshold)
        # A threshold for each neuron cannot go into the weights of a convolution.
        unit = threshold if by_channel(threshold) or len(shape) == 1 else one(shape)
        added = of_sample(neuron.bias)
        if neuron.start == "shift":
            added = added + threshold / (2 * self.network.T)
        current = signal.shifted(added).times(1 / unit)
        if not bool((added != 0).any()) and signal.offset is None:
            current = Signal(shape, current.terms)
        keys = self._fold(node, current)
        fields = {"r": one(shape).expand(shape), "v_threshold": (threshold / unit).expand(shape),
                  "v_reset": torch.zeros(shape, dtype=torch.float64)}  # fmt: skip
        spikes = self._add(node.name, "IF", fields, shape, keys, node)
        return spikes.times(threshold)

    def _fold(self, node: fx.Node, current: Signal) -> list[str]:
        """The nodes whose outputs add up to a layer's current: weights before it take up factors and biases."""
        keys, offset = [], current.offset
        for key, factor in current.terms.items():
            part = self.parts[key]
            if part.origin is None or "weight" not in part.fields or not _only_for(part.origin, node):
                continue
            if not by_channel(factor):
                continue
            if part.kind != "Affine" and not (offset is None or by_channel(offset)):
                continue
            scale = factor.reshape(-1)
            part.fields["weight"] = part.fields["weight"] * scale.reshape(-1, *[1] * (part.fields["weight"].dim() - 1))
            part.fields["bias"] = part.fields["bias"] * scale + (0 if offset is None else offset.reshape(-1))
            offset = None
            keys.append(key)
        rest = {key: factor for key, factor in current.terms.items() if key not in keys}
        if rest:
            remaining = Signal(current.shape, rest, offset)
            keys += self._carried(remaining) if offset is not None else self._summed(remaining)
        return keys

    # -------------------------------------------------------------------------------------------------- terms to edges

    def _summed(self, signal: Signal) -> list[str]:
        """The nodes whose outputs add up to a signal without an offset."""
        return [self._scale(key, factor, signal.shape) for key, factor in signal.terms.items()]

    def _carried(self, signal: Signal) -> list[str]:
        """The nodes whose outputs add up to a signal with an offset, which NIR adds in layers of weights alone."""
        assert signal.offset is not None
        (key, factor), *others = signal.terms.items()
        keys = self._summed(Signal(signal.shape, dict(others)))
        channels, name = signal.shape[0], self._name(f"{key}_shifted")
        offset = signal.offset
        if len(signal.shape) == 1:
            fields: dict[str, Any] = {"weight": torch.diag(factor.expand(channels)), "bias": offset.expand(channels)}
            self._add(name, "Affine", fields, signal.shape, [key])
        else:
            if len(signal.shape) != 3 or not (by_channel(factor) and by_channel(offset)):
                raise UnsupportedOp(
                    f"NIR adds constants to whole channels of an image alone, and behind '{key}' another one is added; "
                    "convert with one threshold for each channel."
                )
            weight = factor.expand(channels, 1, 1).reshape(channels, 1, 1, 1)
            fields = {"input_shape": signal.shape[1:], "weight": weight, "bias": offset.reshape(-1).expand(channels),
                      "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": channels}  # fmt: skip
            self._add(name, "Conv2d", fields, signal.shape, [key])
        return [*keys, name]

    def _with_common_factor(self, signal: Signal, channels_only: bool = False) -> tuple[list[str], Tensor]:
        """The nodes that a signal sums, and the factor of the sum."""
        factor = signal.common
        if factor is not None and (not channels_only or by_channel(factor)):
            return [*signal.terms], factor
        return self._summed(signal), one(signal.shape)

    def _scale(self, key: str, factor: Tensor, shape: tuple[int, ...]) -> str:
        if bool((factor == 1).all()):
            return key
        name = self._name(f"{key}_scaled")
        self._add(name, "Scale", {"scale": factor.expand(shape)}, shape, [key])
        return name

    # --------------------------------------------------------------------------------------------------------- writing

    def _name(self, wanted: str) -> str:
        names = (wanted, *(f"{wanted}_{number}" for number in range(2, len(self.parts) + 3)))
        return next(name for name in names if name not in self.parts)

    def _add(
        self, name: str, kind: str, fields: dict[str, Any], shape: tuple[int, ...], sources: Sequence[str] = (),
        origin: fx.Node | None = None,
    ) -> Signal:  # fmt: skip
        name = name if name in (INPUT, OUTPUT) else self._name(name)
        self.parts[name] = _Part(kind, fields, shape, sources, origin)
        return Signal.of(name, shape)

    def _value(self, argument: Any) -> Tensor:
        value = self.constants[argument] if isinstance(argument, fx.Node) else argument
        return torch.as_tensor(value).detach().cpu().double()

    def _written(self, contract: GraphContract) -> nir.NIRGraph:
        nir = library("nir", "nir")
        nodes, edges, typed = {}, [], True
        for order, (name, part) in enumerate(self.parts.items()):
            kind = NeuronContract if part.kind == "IF" else NodeContract
            module = "" if part.origin is None else module_name(part.origin)
            fields = {key: _array(part.kind, value) for key, value in part.fields.items()}
            if part.kind in ("Input", "Output"):
                fields[f"{part.kind.lower()}_type"] = _array("", part.shape)
            node = getattr(nir, part.kind)(**fields, metadata=kind(contract.T, order, module).metadata())
            if part.fields.get("groups", 1) != 1:
                # nir 1.0.8 takes the channels of one group for all of them when it checks types.
                typed = False
            nodes[name] = node
            edges += [(source, name) for source in part.sources]
        return nir.NIRGraph(nodes, edges, metadata=contract.metadata(), type_check=typed)


_RULES: Mapping[Any, Callable[[_Export, fx.Node], Signal]] = {
    aten.conv1d: _Export.convolution, aten.conv2d: _Export.convolution, aten.linear: _Export.linear,
    aten.addmm: _Export.addmm, aten.avg_pool2d: _Export.average, aten.adaptive_avg_pool2d: _Export.adaptive_average,
    aten.mean: _Export.mean, aten.add: _Export.sum, aten.sub: _Export.sum, aten.rsub: _Export.sum,
    aten.mul: _Export.product, aten.div: _Export.product, aten.neg: _Export.negative,
}  # fmt: skip


def _arguments(node: fx.Node) -> dict[str, Any]:
    """All arguments of an operation by their names in ATen's schema."""
    assert isinstance(node.target, torch._ops.OpOverload)
    listed = node.target._schema.arguments
    defaults = {argument.name: argument.default_value for argument in listed}
    return defaults | dict(zip(defaults, node.args, strict=False)) | node.kwargs


def _only_for(origin: fx.Node, reader: fx.Node) -> bool:
    """Whether the value of an operation goes to one layer of neurons and nowhere else."""
    node = origin
    while node is not reader:
        if len(node.users) != 1:
            return False
        (node,) = node.users
    return True


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(int(size) for size in node.meta["val"].shape[1:])


def _size(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def _sizes(value: Any, dims: int) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in value) if isinstance(value, Sequence) else (int(value),)
    return sizes * dims if len(sizes) == 1 else sizes


def _array(kind: str, value: Any) -> Any:
    import numpy as np

    if isinstance(value, Tensor):
        return np.ascontiguousarray(value.numpy())
    return np.array(value) if isinstance(value, tuple) and not kind.startswith("Conv") else value
