"""The quantised twin of a spiking network as an ONNX model with QuantizeLinear and DequantizeLinear.

Thresholds are folded into weights (`conversion.exchange.folding`), so that every layer of neurons is
Clip(0, levels) -> QuantizeLinear -> DequantizeLinear with a scale of 1 and a zero point of 0: whole numbers in uint8.
ONNX rounds ties to even numbers, the twin rounds them up; `compare` counts where that shows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, fx

from conversion.capture.channels import per_channel, per_neuron
from conversion.capture.graph import evaluate, source_line
from conversion.errors import InvalidInput, UnsupportedOp
from conversion.exchange.folding import Folding
from conversion.exchange.libraries import library
from conversion.exchange.onnx_operators import Operators
from conversion.exchange.parts import INPUT, OUTPUT, Part, sample_shape
from conversion.exchange.signals import Signal, one
from conversion.report.naming import layer_name, op_name
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.neuron import Layer, Neuron, leaky_relu, slope_along
from conversion.simulation.schedules import StepSchedule

if TYPE_CHECKING:
    import onnx

OPSET = 17
MOST_LEVELS = 255
NEAR = 1e-3
"""Distance from a tie, in levels, within which rounding errors of float32 may decide."""


def export_onnx(network: SpikingNetwork, *, levels_as_outputs: bool = False) -> onnx.ModelProto:
    """A quantised twin as an ONNX model in float32, with any batch size.

    Args:
        network: what method `quantised_ann` makes: one step, levels above zero alone, at most 255 of them.
        levels_as_outputs: whether the levels of every layer are outputs, too, called NODE_levels.

    Raises:
        InvalidInput: the network is no such twin; the message says what to convert with.
        UnsupportedOp: an operation has no rule, named with its source line.
    """
    library("onnx", "onnx")
    import onnx

    _require_twin(network)
    twin = _Twin(network)
    parts = twin.fold()
    writer = _Writer(onnx, twin)
    for name, part in parts.items():
        writer.write(name, part)
    kinds: Any = onnx.TensorProto
    info = onnx.helper.make_tensor_value_info
    ends = [info(name, kinds.FLOAT, ["N", *parts[name].shape]) for name in (INPUT, OUTPUT)]
    layers = [name for name, part in parts.items() if part.kind == "Neurons"] if levels_as_outputs else []
    outputs = [ends[1]]
    for name in layers:
        kind = kinds.INT8 if parts[name].fields["neuron"].leaky else kinds.UINT8
        outputs.append(info(f"{name}_levels", kind, ["N", *parts[name].shape]))
    graph = onnx.helper.make_graph(writer.nodes, "quantised_twin", [ends[0]], outputs, writer.constants)
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model: onnx.ModelProto = onnx.helper.make_model(
        graph, opset_imports=opset, producer_name="adaptive-calibration-bench", ir_version=8
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _require_twin(network: SpikingNetwork) -> None:
    instead = "Convert with quantised_ann, at the T and phi of the spiking network"
    if not network.neurons:
        raise InvalidInput(f"The network has no neurons and no levels to write. {instead}.")
    if network.T != 1 or network.holds or network.exit is not None:
        raise InvalidInput(
            f"ONNX has no time: of a network that spikes for {network.T} steps its quantised twin can be written. "
            f"{instead}."
        )
    for node, neuron in network.neurons.items():
        name = layer_name(network, node)
        kind, most = ("int8", MOST_LEVELS // 2) if neuron.leaky else ("uint8", MOST_LEVELS)
        if neuron.phi > most:
            raise InvalidInput(
                f"The layer '{name}' has {neuron.phi} levels above zero, and {kind} has {most}. {instead}, with "
                f"T times phi at most {most}."
            )
        if neuron.leaky and neuron.start == "none":
            raise InvalidInput(
                f"The layer '{name}' has negative levels that are rounded down, and QuantizeLinear rounds to the "
                f"nearest. {instead}, and start=potential."
            )
    if not network.graph.out_spec.is_leaf() or len(network.graph.output.all_input_nodes) != 1:
        raise InvalidInput("The network has several output tensors; export one that gives one.")


class _Twin(Folding):
    def beyond(self, node: fx.Node, why: str | None = None) -> Signal:
        """Any other operation reads whole values: each of its signals becomes one."""
        if not isinstance(node.meta["val"], Tensor):
            raise UnsupportedOp(f"There is no rule that writes '{op_name(node)}' to ONNX, at {source_line(node)}.")
        sources = []
        for source in node.all_input_nodes:
            if source in self.signals:
                signal = self.signals[source]
                keys = self.summed(signal)
                if len(keys) > 1:
                    keys = [self._whole(source, keys, signal.shape)]
                self.signals[source] = Signal(signal.shape, {keys[0]: one(signal.shape)})
                sources.append(keys[0])
        return self.add(node.name, "Operation", {"node": node}, sample_shape(node), sources, node)

    def _whole(self, source: fx.Node, keys: list[str], shape: tuple[int, ...]) -> str:
        name = self.name(f"{source.name}_sum")
        self.add(name, "Sum", {}, shape, keys)
        return name

    def carried(self, key: str, factor: Tensor, offset: Tensor, shape: tuple[int, ...]) -> str:
        name = self.name(f"{key}_shifted")
        self.add(name, "Shift", {"scale": factor, "offset": offset}, shape, [key])
        return name

    def added(self, neuron: Neuron, of_sample: Callable[[Tensor], Tensor]) -> Tensor:
        threshold = of_sample(neuron.threshold)
        added = of_sample(neuron.bias if neuron.bias.dim() == 1 else neuron.bias[0])
        if neuron.potential is not None:
            added = added + of_sample(neuron.potential)
        # QuantizeLinear rounds; a neuron that starts from zero rounds down.
        return added / threshold - (0.5 if neuron.start == "none" else 0.0)


class _Writer(Operators):
    """Parts as nodes of ONNX, which are called as the parts and as what they give."""

    def write(self, name: str, part: Part) -> None:
        if part.kind == "Input":
            return
        if part.kind == "Operation":
            self.operation(name, part)
            return
        source = self.summed(name, part)
        fields = part.fields
        if part.kind in ("Output", "Sum"):
            self.node("Identity", [source], name)
        elif part.kind == "Conv":
            self.convolution(name, source, fields)
        elif part.kind == "Affine":
            inputs = [source, *(self.constant(f"{name}_{key}", fields[key]) for key in ("weight", "bias"))]
            self.node("Gemm", inputs, name, transB=1)
        elif part.kind == "AvgPool":
            kernel, stride, padding = (list(fields[key]) for key in ("kernel_size", "stride", "padding"))
            pads = [*padding, *padding]
            self.node("AveragePool", [source], name, kernel_shape=kernel, strides=stride, pads=pads,
                      count_include_pad=1)  # fmt: skip
        elif part.kind == "Flatten":
            self.node("Flatten", [source], name, axis=1)
        elif part.kind == "Scale":
            self.node("Mul", [source, self.constant(f"{name}_scale", fields["scale"][None])], name)
        elif part.kind == "Shift":
            scaled = f"{name}_unshifted"
            self.node("Mul", [source, self.constant(f"{name}_scale", fields["scale"][None])], scaled)
            self.node("Add", [scaled, self.constant(f"{name}_offset", fields["offset"][None])], name)
        else:
            self.neurons(name, source, fields["neuron"], 1 + len(part.shape))

    def summed(self, name: str, part: Part) -> str:
        """The sum of a part's sources."""
        first, *others = part.sources
        for number, other in enumerate(others):
            total = f"{name}_in{number}"
            self.node("Add", [first, other], total)
            first = total
        return first

    def neurons(self, name: str, source: str, neuron: Neuron, dims: int) -> None:
        kind: Any = np.uint8
        if neuron.leaky:
            kind, leaky = np.int8, f"{name}_leaky"
            if isinstance(neuron.slope, tuple):
                slopes = torch.tensor(neuron.slope).view(-1, *[1] * (dims - 2))
                self.node("PRelu", [source, self.constant(f"{name}_slopes", slopes)], leaky)
            else:
                self.node("LeakyRelu", [source], leaky, alpha=neuron.slope)
            source = leaky
        least, most = (self.scalar(f"levels_{level}", float(level)) for level in (neuron.lowest, neuron.phi))
        scale, point = self.scalar("scale", 1.0), self.scalar(f"zero_{kind.__name__}", 0, kind)
        self.node("Clip", [source, least, most], f"{name}_clipped")
        self.node("QuantizeLinear", [f"{name}_clipped", scale, point], f"{name}_levels")
        self.node("DequantizeLinear", [f"{name}_levels", scale, point], name)


@dataclass(frozen=True)
class Comparison:
    """A twin here and in onnxruntime, on the same samples.

    Attributes:
        samples: how many.
        alike: how many have the same level in every neuron.
        at_ties: how many have other levels, the first of them in neurons within `NEAR` of a tie.
        unexplained: how many have other levels elsewhere. None, where the export is right.
        ties: neurons within `NEAR` of a tie that have another level, in the first layer of each sample that has any.
        largest: largest difference of outputs of the samples that are alike, relative to the largest output.
        same_answer: samples whose largest output is the same.
    """

    samples: int
    alike: int
    at_ties: int
    unexplained: int
    ties: int
    largest: float
    same_answer: int

    def __str__(self) -> str:
        return (
            f"{self.samples} samples: {self.alike} with the same level in every neuron (outputs within "
            f"{self.largest:.1e}), {self.at_ties} that differ from ties on ({self.ties} neurons), {self.unexplained} "
            f"that differ otherwise; {self.same_answer} with the same answer"
        )


@torch.no_grad()
def compare(network: SpikingNetwork, batches: Iterable[Tensor]) -> Comparison:
    """Compares a twin, simulated in float64, with its export in onnxruntime, neuron by neuron."""
    runtime = library("onnxruntime", "onnx")
    model = export_onnx(network, levels_as_outputs=True)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # As the model says: an optimiser may merge what should round.
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    double = copy.deepcopy(network).to(torch.float64)
    samples = alike = at_ties = unexplained = ties = same_answer = 0
    largest = 0.0
    for batch in batches:
        inputs = double.graph.cast(batch)
        output, *levels = session.run(None, {INPUT: inputs.float().contiguous().numpy()})
        own, expected = _levels(double, inputs)
        samples += len(inputs)
        for index in range(len(inputs)):
            differing = _first_difference(own, levels, index)
            if differing is None:
                alike += 1
                error = np.abs(output[index] - expected[index]).max() / max(np.abs(expected[index]).max(), 1e-12)
                largest = max(largest, float(error))
            elif bool((differing <= NEAR).all()):
                at_ties += 1
                ties += len(differing)
            else:
                unexplained += 1
            same_answer += int(output[index].reshape(-1).argmax() == expected[index].reshape(-1).argmax())
    return Comparison(samples, alike, at_ties, unexplained, ties, largest, same_answer)


def _levels(double: SpikingNetwork, inputs: Tensor) -> tuple[list[tuple[Any, Any]], Any]:
    """Level of every neuron and its distance from the nearest tie, in execution order of the layers; the output."""
    found: list[tuple[Any, Any]] = []

    def spike(node: fx.Node, current: Tensor) -> Tensor:
        neuron, axis = double.neurons[node], double.graph.channel_axis(node)
        layer = Layer(neuron, 1, axis)
        output, _ = layer.step(current)
        threshold = per_neuron(neuron.threshold.double(), axis, current.dim())
        bias = per_channel(neuron.bias.double().reshape(-1), axis, current.dim())
        received = current + bias
        if neuron.potential is not None:
            received = received + per_neuron(neuron.potential.double(), axis, current.dim())
        # A tie is where the quantiser jumps.
        slope = slope_along(neuron.slope, received, axis) if neuron.leaky else 1.0
        scaled = leaky_relu(received, slope) / threshold
        scaled = scaled + (0.5 if neuron.start != "none" else 0.0)
        found.append(((output / threshold).round().numpy(), (scaled - scaled.round()).abs().numpy()))
        return output

    values = double.start(inputs) | StepSchedule(double, [inputs], spike).advance()
    for node in double.head:
        values[node] = evaluate(node, values)
    return found, double.graph.finish(values).numpy()


def _first_difference(own: list[tuple[Any, Any]], levels: list[Any], index: int) -> Any:
    """The distances from ties of the neurons that differ, in the first layer where a sample's do; None where none does.

    What comes behind differs for their sake.
    """
    for (expected, distance), got in zip(own, levels, strict=True):
        odd = expected[index] != got[index]
        if odd.any():
            return distance[index][odd]
    return None
