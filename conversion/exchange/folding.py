"""A network as parts with weights, thresholds folded into them: what the formats of others are written from.

Neurons of others send 1 where ours send a threshold. Thresholds of a layer go into the weights behind it, their inverse
and the biases of calibration into the weights before it; where no weights are in reach, a part is put in between. A sum
is several sources of one part.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from conversion.capture.graph import Values
from conversion.capture.roles import SCALES, Role, arguments, aten, packet
from conversion.exchange.parts import INPUT, OUTPUT, Part, sample_shape, size, sizes
from conversion.exchange.signals import Signal, by_channel, one
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Neuron

# Operations on shapes that keep all values in their order.
RESHAPES = (
    aten.view, aten._unsafe_view, aten.reshape, aten.flatten, aten.unflatten, aten.squeeze, aten.unsqueeze,
)  # fmt: skip


class Folding(ABC):
    """Makes the parts of a network, in execution order."""

    def __init__(self, network: SpikingNetwork) -> None:
        self.network = network
        self.parts: dict[str, Part] = {}
        self.constants: Values = network.start(network.graph.example)
        self.signals: dict[fx.Node, Signal] = {}
        self._selections: set[str] = set()

    @abstractmethod
    def beyond(self, node: fx.Node, why: str | None = None) -> Signal:
        """An operation that is not among the kinds of parts, or why it is not as it stands."""

    @abstractmethod
    def carried(self, key: str, factor: Tensor, offset: Tensor, shape: tuple[int, ...]) -> str:
        """A part that gives another one's output times a factor plus an offset."""

    @abstractmethod
    def added(self, neuron: Neuron, of_sample: Callable[[Tensor], Tensor]) -> Tensor:
        """What is added to the current of a layer of neurons, in the units of its thresholds."""

    def fold(self) -> dict[str, Part]:
        """The parts by their names, from the input to the output."""
        graph = self.network.graph
        self.signals[graph.input] = self.add(INPUT, "Input", {}, sample_shape(graph.input))
        for node in graph.body:
            self.signals[node] = self._operation(node)
        signal = self.signals[graph.output.all_input_nodes[0]]
        self.add(OUTPUT, "Output", {}, signal.shape, self.summed(signal))
        return self.parts

    def _operation(self, node: fx.Node) -> Signal:
        if node in self.network.neurons:
            return self._neurons(node)
        if any(source in self.signals for source in node.all_input_nodes):
            rule = _RULES.get(packet(node))
            if rule is not None:
                return rule(self, node)
            source = self._input(node)
            passes = packet(node) in SCALES or self.network.graph.rules[node].role is Role.OUTPUT_ENCODER
            if source is not None and passes:
                return source
            if source is not None and packet(node) in RESHAPES and sample_shape(node) == source.shape:
                return source
            if source is not None and packet(node) in RESHAPES and sample_shape(node) == (size(source.shape),):
                return self.flat(source)
        return self.beyond(node)

    def _input(self, node: fx.Node) -> Signal | None:
        """The one signal that an operation reads; None where there are several."""
        sources = [source for source in node.all_input_nodes if source in self.signals]
        return self.signals[sources[0]] if len(sources) == 1 else None

    # ------------------------------------------------------------------------------------------------------ weights

    def convolution(self, node: fx.Node) -> Signal:
        given, signal = arguments(node), self._input(node)
        if signal is None or (isinstance(given["bias"], fx.Node) and given["bias"] in self.signals):
            return self.beyond(node)
        weight, groups = self.value(given["weight"]), int(given["groups"])
        dims = weight.dim() - 2
        bias = torch.zeros(len(weight), dtype=torch.float64) if given["bias"] is None else self.value(given["bias"])
        padding = given["padding"] if isinstance(given["padding"], str) else sizes(given["padding"], dims)
        keys, factor = self.with_common_factor(signal)
        # Input channels of a group lie on axis 1, the groups are blocks of axis 0.
        per_input = factor.expand(signal.shape[0], *[1] * dims).reshape(groups, 1, -1, *[1] * dims)
        weight = (weight.unflatten(0, (groups, -1)) * per_input).flatten(0, 1)
        fields = {
            "input_shape": signal.shape[1:], "weight": weight, "bias": bias, "stride": sizes(given["stride"], dims),
            "padding": padding, "dilation": sizes(given["dilation"], dims), "groups": groups,
        }  # fmt: skip
        return self.add(node.name, "Conv", fields, sample_shape(node), keys, node)

    def linear(self, node: fx.Node) -> Signal:
        given = arguments(node)
        return self._affine(node, given["weight"], given["bias"], transposed=False)

    def addmm(self, node: fx.Node) -> Signal:
        given = arguments(node)
        if given["mat1"] not in self.signals or float(given["alpha"]) != 1 or float(given["beta"]) != 1:
            return self.beyond(node)
        return self._affine(node, given["mat2"], given["self"], transposed=True)

    def _affine(self, node: fx.Node, weight_node: Any, bias_node: Any, transposed: bool) -> Signal:
        signal = self._input(node)
        if signal is None or len(signal.shape) != 1:
            return self.beyond(node, "it takes more than one vector for each sample")
        weight = self.value(weight_node)
        weight = weight.T if transposed else weight
        bias = torch.zeros(1, dtype=torch.float64) if bias_node is None else self.value(bias_node)
        if signal.offset is not None:
            bias = bias + weight @ signal.offset.expand(signal.shape)
            signal = Signal(signal.shape, signal.terms)
        keys, factor = self.with_common_factor(signal)
        fields = {"weight": weight * factor.expand(signal.shape), "bias": bias.expand(len(weight))}
        return self.add(node.name, "Affine", fields, sample_shape(node), keys, node)

    # --------------------------------------------------------------------------------------------------- no weights

    def average(self, node: fx.Node) -> Signal:
        given, signal = arguments(node), self._input(node)
        padding = sizes(given["padding"], 2)
        odd = given["ceil_mode"] or given["divisor_override"] is not None
        if signal is None or odd or (any(padding) and not given["count_include_pad"]):
            return self.beyond(node, "its windows are of several sizes, or not divided by their size")
        kernel = sizes(given["kernel_size"], 2)
        return self._pooled(node, signal, kernel, sizes(given["stride"] or kernel, 2), padding)

    def adaptive_average(self, node: fx.Node) -> Signal:
        signal, target = self._input(node), sample_shape(node)[1:]
        if signal is None or any(have % want for have, want in zip(signal.shape[1:], target, strict=True)):
            return self.beyond(node, "its windows are of several sizes")
        kernel = tuple(have // want for have, want in zip(signal.shape[1:], target, strict=True))
        return self._pooled(node, signal, kernel, kernel, (0, 0))

    def mean(self, node: fx.Node) -> Signal:
        given, signal = arguments(node), self._input(node)
        if signal is None or sorted(axis % (len(signal.shape) + 1) for axis in given["dim"] or ()) != [2, 3]:
            return self.beyond(node, "it is a mean over other axes than the height and width of images")
        if len(signal.shape) != 3:
            return self.beyond(node)
        pooled = self._pooled(node, signal, signal.shape[1:], signal.shape[1:], (0, 0))
        return pooled if given["keepdim"] else self.flat(pooled)

    def _pooled(
        self, node: fx.Node, signal: Signal, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> Signal:
        keys, factor = self.with_common_factor(signal)
        found = (
            (length + 2 * pad - window) // step + 1
            for length, window, step, pad in zip(signal.shape[1:], kernel, stride, padding, strict=True)
        )
        fields = {"kernel_size": kernel, "stride": stride, "padding": padding}
        return self.add(node.name, "AvgPool", fields, (signal.shape[0], *found), keys).times(factor)

    def flat(self, signal: Signal) -> Signal:
        """The signal behind flattening parts, one for each of its terms."""
        terms = {}
        for key, factor in signal.terms.items():
            name = f"{key}_flat"
            if name not in self.parts:
                self.add(name, "Flatten", {"input_shape": signal.shape}, (size(signal.shape),), [key])
            terms[name] = factor
        return Signal(signal.shape, terms, signal.offset).flattened()

    def slice(self, node: fx.Node) -> Signal:
        """Some channels, or every so many pixels: a 1 x 1 convolution whose weights are zeros and ones."""
        given, signal = arguments(node), self._input(node)
        axis, dims = int(given["dim"]), node.meta["val"].dim()
        axis, step, start = axis % dims, int(given["step"]), int(given["start"] or 0)
        whole = start == 0 and step == 1 and (given["end"] is None or int(given["end"]) >= 2**31)
        if signal is not None and whole:
            return signal
        if signal is None or dims != 4 or axis == 0 or (axis > 1 and start != 0):
            return self.beyond(node)
        length, kept = signal.shape[axis - 1], sample_shape(node)[axis - 1]
        every = torch.eye(signal.shape[0], dtype=torch.float64)
        if axis == 1:
            return self._selected(node, signal, every[start % length :: step][:kept], (1, 1))
        if kept != -(-length // step):
            return self.beyond(node)
        return self._selected(node, signal, every, (step, 1) if axis == 2 else (1, step))

    def pad(self, node: fx.Node) -> Signal:
        """Channels of zeros before and behind: the same, with rows of zeros."""
        given, signal = arguments(node), self._input(node)
        widths = [int(width) for width in given["pad"]]
        plain = given.get("mode", "constant") == "constant" and not given["value"]
        if signal is None or not plain or len(signal.shape) != 3 or len(widths) != 6 or any(widths[:4]):
            return self.beyond(node)
        if min(widths) < 0:
            return self.beyond(node)
        before, behind = widths[4:]
        rows = torch.zeros(before + signal.shape[0] + behind, signal.shape[0], dtype=torch.float64)
        rows[before : before + signal.shape[0]].fill_diagonal_(1)
        return self._selected(node, signal, rows, (1, 1))

    def _selected(self, node: fx.Node, signal: Signal, rows: Tensor, stride: tuple[int, int]) -> Signal:
        """A selection, together with the one before it where nobody else reads that."""
        keys, factor = self.with_common_factor(signal)
        rows = rows * factor.expand(signal.shape[0], 1, 1).reshape(-1)
        input_shape = signal.shape[1:]
        origin = self.parts[keys[0]].origin
        if len(keys) == 1 and keys[0] in self._selections and origin is not None and len(origin.users) == 1:
            before = self.parts.pop(keys[0])
            rows = rows @ before.fields["weight"][:, :, 0, 0]
            first = before.fields["stride"]
            stride = (stride[0] * first[0], stride[1] * first[1])
            keys, input_shape = [*before.sources], before.fields["input_shape"]
        fields = {
            "input_shape": input_shape, "weight": rows[:, :, None, None], "bias": torch.zeros(len(rows)).double(),
            "stride": stride, "padding": (0, 0), "dilation": (1, 1), "groups": 1,
        }  # fmt: skip
        made = self.add(node.name, "Conv", fields, sample_shape(node), keys, node)
        self._selections.update(made.terms)
        return made

    def sum(self, node: fx.Node) -> Signal:
        given = arguments(node)
        signs = {aten.add: (1.0, given["alpha"]), aten.sub: (1.0, -given["alpha"]), aten.rsub: (-given["alpha"], 1.0)}
        parts: list[Signal | Tensor] = []
        for value, sign in zip((given["self"], given["other"]), signs[packet(node)], strict=True):
            signed = torch.tensor(float(sign), dtype=torch.float64)
            if isinstance(value, fx.Node) and value in self.signals:
                parts.append(self.signals[value].times(signed))
            else:
                constant = self._constant(node, value)
                parts.append(torch.ones(()) if constant is None else signed * constant)
                if constant is None:
                    return self.beyond(node)
        left, right = sorted(parts, key=lambda part: isinstance(part, Tensor))
        shape = sample_shape(node)
        if not isinstance(left, Signal) or left.shape != shape or (isinstance(right, Signal) and right.shape != shape):
            return self.beyond(node, "it adds values of different shapes")
        return left.shifted(right) if isinstance(right, Tensor) else left.plus(right)

    def product(self, node: fx.Node) -> Signal:
        given, signal = arguments(node), self._input(node)
        if signal is None or signal.shape != sample_shape(node) or given.get("rounding_mode") is not None:
            return self.beyond(node)
        first, second = given["self"], given["other"]
        factor = self._constant(node, second if first in self.signals else first)
        if factor is None or (packet(node) is aten.div and first not in self.signals):
            return self.beyond(node)
        return signal.times(factor if packet(node) is aten.mul else 1 / factor)

    def negative(self, node: fx.Node) -> Signal:
        signal = self._input(node)
        assert signal is not None
        return signal.times(torch.tensor(-1.0, dtype=torch.float64))

    def _constant(self, node: fx.Node, value: Any) -> Tensor | None:
        """A constant in as many dimensions as one sample of a node's value; None where samples differ."""
        tensor, shape = self.value(value), sample_shape(node)
        if tensor.dim() > len(shape):
            if tensor.shape[0] != 1:
                return None
            tensor = tensor[0]
        return tensor.reshape(*[1] * (len(shape) - tensor.dim()), *tensor.shape)

    # ------------------------------------------------------------------------------------------------------ neurons

    def _neurons(self, node: fx.Node) -> Signal:
        neuron, signal = self.network.neurons[node], self._input(node)
        axis = self.network.graph.channel_axis(node)
        assert signal is not None
        shape = signal.shape

        def of_sample(values: Tensor) -> Tensor:
            values = values.double().cpu()
            if values.dim() > 1:
                return values
            dims = [1] * len(shape)
            dims[axis - 1] = -1
            return values.reshape(dims)

        threshold = of_sample(neuron.threshold)
        current = signal.times(1 / threshold)
        added = self.added(neuron, of_sample)
        if bool((added != 0).any()):
            current = current.shifted(added)
        spikes = self.add(node.name, "Neurons", {"neuron": neuron}, shape, self._fold(node, current), node)
        return spikes.times(threshold)

    def _fold(self, node: fx.Node, current: Signal) -> list[str]:
        """The parts whose outputs add up to a layer's current: weights before it take up factors and biases."""
        keys, offset = [], current.offset
        for key, factor in current.terms.items():
            part = self.parts[key]
            if part.origin is None or part.kind not in ("Conv", "Affine") or not _only_for(part.origin, node):
                continue
            takes = offset is not None and by_channel(offset)
            if not by_channel(factor):
                continue
            scale, weight = factor.reshape(-1), part.fields["weight"]
            part.fields["weight"] = weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
            part.fields["bias"] = part.fields["bias"] * scale
            if takes:
                assert offset is not None
                part.fields["bias"] = part.fields["bias"] + offset.reshape(-1)
                offset = None
            keys.append(key)
        terms = {key: one(current.shape) if key in keys else factor for key, factor in current.terms.items()}
        return self.summed(Signal(current.shape, terms, offset))

    # ------------------------------------------------------------------------------------------------------ signals

    def summed(self, signal: Signal) -> list[str]:
        """The parts whose outputs add up to a signal."""
        (first, factor), *others = signal.terms.items()
        keys = [self._scaled(key, other, signal.shape) for key, other in others]
        if signal.offset is None:
            return [self._scaled(first, factor, signal.shape), *keys]
        return [self.carried(first, factor, signal.offset, signal.shape), *keys]

    def with_common_factor(self, signal: Signal) -> tuple[list[str], Tensor]:
        """The parts that a signal sums, and a factor of the sum, the same for all values of a channel."""
        factor = signal.common
        if factor is not None and signal.offset is None and by_channel(factor):
            return [*signal.terms], factor
        return self.summed(signal), one(signal.shape)

    def _scaled(self, key: str, factor: Tensor, shape: tuple[int, ...]) -> str:
        if bool((factor == 1).all()):
            return key
        name = self.name(f"{key}_scaled")
        self.add(name, "Scale", {"scale": factor}, shape, [key])
        return name

    def name(self, wanted: str) -> str:
        names = (wanted, *(f"{wanted}_{number}" for number in range(2, len(self.parts) + 3)))
        return next(name for name in names if name not in self.parts)

    def add(
        self, name: str, kind: str, fields: dict[str, Any], shape: tuple[int, ...], sources: Sequence[str] = (),
        origin: fx.Node | None = None,
    ) -> Signal:  # fmt: skip
        name = self.name(name)
        self.parts[name] = Part(kind, fields, shape, sources, origin)
        return Signal.of(name, shape)

    def value(self, argument: Any) -> Tensor:
        """A constant of the network in float64."""
        value = self.constants[argument] if isinstance(argument, fx.Node) else argument
        return torch.as_tensor(value).detach().cpu().double()


_RULES: Mapping[Any, Callable[[Folding, fx.Node], Signal]] = {
    aten.conv1d: Folding.convolution, aten.conv2d: Folding.convolution, aten.linear: Folding.linear,
    aten.addmm: Folding.addmm, aten.avg_pool2d: Folding.average, aten.adaptive_avg_pool2d: Folding.adaptive_average,
    aten.mean: Folding.mean, aten.add: Folding.sum, aten.sub: Folding.sum, aten.rsub: Folding.sum,
    aten.mul: Folding.product, aten.div: Folding.product, aten.neg: Folding.negative,
    aten.slice: Folding.slice, aten.pad: Folding.pad, aten.constant_pad_nd: Folding.pad,
}  # fmt: skip


def _only_for(origin: fx.Node, reader: fx.Node) -> bool:
    """Whether the value of an operation goes to one layer of neurons and nowhere else."""
    node = origin
    while node is not reader:
        if len(node.users) != 1:
            return False
        (node,) = node.users
    return True
