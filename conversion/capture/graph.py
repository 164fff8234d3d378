"""The captured network: an executable graph whose nodes know their role in time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from conversion.capture.copying import PackedGraph, pack, unpack
from conversion.capture.roles import Activation, OpRule, Role, activation_of

Values = dict[fx.Node, Any]
# Sees a node and its activation; a tensor that it returns goes on in its place.
Observer = Callable[[fx.Node, Tensor], Tensor | None]


@dataclass(eq=False, repr=False)
class ConversionGraph:
    """A captured network: topologically ordered, batch-norm folded, each node with its role.

    It can be copied and pickled; a copy has parameters and nodes of its own.

    Attributes:
        module: the graph with its parameters.
        rules: role of every node, in execution order.
        example: input of one sample, shape (1, ...); it fixes all sizes but that of the batch.
        out_spec: structure of the network's output.
        plain: the graph that this one is with encoders between linear layers (`encode_between`); None of any other.
        encoded: this graph with such encoders, once it was asked for.
    """

    module: fx.GraphModule
    rules: dict[fx.Node, OpRule]
    example: Tensor
    out_spec: pytree.TreeSpec
    plain: ConversionGraph | None = None
    encoded: ConversionGraph | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self.plain is not None:
            return _encoded, (self.plain,)
        return _unpacked, (pack(self.module, self.rules), self.example, self.out_spec)

    def __repr__(self) -> str:
        kinds = Counter(self.rules[node].role for node in self.body if node not in self.output_encoders)
        parts = ", ".join(f"{number} {role}" for role, number in kinds.items())
        shape = ", ".join(["N", *map(str, self.example.shape[1:])])
        numbers = sum(parameter.numel() for parameter in self.module.state_dict().values())
        dtype = str(self.dtype).removeprefix("torch.")
        return (
            f"ConversionGraph of an input of shape ({shape}) in {dtype}:\n"
            f"  {sum(kinds.values())} operations ({parts}), {numbers:,} parameters"
        )

    @cached_property
    def firing(self) -> tuple[fx.Node, ...]:
        """The activations that can become layers of neurons, in execution order."""
        return tuple(node for node, rule in self.rules.items() if rule.role is Role.FIRING)

    @cached_property
    def output_encoders(self) -> tuple[fx.Node, ...]:
        """The identities before the output, where a method may put neurons: then the last layer spikes too."""
        return tuple(node for node, rule in self.rules.items() if rule.role is Role.OUTPUT_ENCODER)

    @cached_property
    def input(self) -> fx.Node:
        return next(node for node, rule in self.rules.items() if rule.role is Role.INPUT)

    @cached_property
    def output(self) -> fx.Node:
        return next(node for node, rule in self.rules.items() if rule.role is Role.OUTPUT)

    @cached_property
    def body(self) -> tuple[fx.Node, ...]:
        """The nodes that compute on signals, in execution order: all but input, output and constants."""
        computing = (Role.LINEAR, Role.FIRING, Role.NONLINEAR, Role.OUTPUT_ENCODER)
        return tuple(node for node, rule in self.rules.items() if rule.role in computing)

    @property
    def dtype(self) -> torch.dtype:
        return self.example.dtype

    @property
    def origin(self) -> ConversionGraph:
        """The graph as it was captured, without encoders between linear layers."""
        return self if self.plain is None else self.plain

    def activation(self, node: fx.Node) -> Activation:
        """The function that a firing node computes in the ANN."""
        activation = activation_of(node)
        assert activation is not None, f"{node.name} is no firing node"
        if activation.levels is None:
            return activation
        return replace(activation, ceiling=float(self.constant(node.args[1])))

    @torch.no_grad()
    def constant(self, node: Any) -> Any:
        """The value of a node that depends on parameters alone."""
        if node.op == "get_attr":
            return attribute(self.module, node).detach()
        return evaluate(node, {source: self.constant(source) for source in node.all_input_nodes})

    def channel_axis(self, node: fx.Node) -> int:
        """The channel axis of the value of a firing node or an output encoder."""
        return int(node.meta["channel_axis"])

    def channels(self, node: fx.Node) -> int:
        """Number of channels of a firing node or an output encoder."""
        return int(node.meta["val"].shape[self.channel_axis(node)])

    def downstream(self, origins: Collection[fx.Node]) -> frozenset[fx.Node]:
        """The given nodes and all nodes computed from them."""
        found: set[fx.Node] = set()
        for node in self.body:
            if node in origins or not found.isdisjoint(node.all_input_nodes):
                found.add(node)
        return frozenset(found)

    def upstream(self, targets: Collection[fx.Node]) -> frozenset[fx.Node]:
        """The given nodes and all nodes that they are computed from."""
        found: set[fx.Node] = set()
        for node in reversed(self.body):
            if node in targets or not found.isdisjoint(node.users):
                found.add(node)
        return frozenset(found)

    def start(self, inputs: Tensor, weights: Mapping[fx.Node, Tensor] | None = None) -> Values:
        """Values of the input and of all nodes that do not depend on it.

        `weights` replace the module's own parameters, by the node that holds each.
        """
        values: Values = {self.input: inputs, **(weights or {})}
        for node, rule in self.rules.items():
            if rule.role is Role.CONSTANT and node not in values:
                values[node] = attribute(self.module, node) if node.op == "get_attr" else evaluate(node, values)
        return values

    def finish(self, values: Values) -> Any:
        """The network's output, in its own structure, from the values of the nodes that feed it."""
        flat = pytree.tree_leaves(fx.node.map_arg(self.output.args[0], values.__getitem__))
        return pytree.tree_unflatten(flat, self.out_spec)

    @torch.no_grad()
    def run(self, inputs: Tensor, observe: Observer | None = None, also: Collection[fx.Node] = ()) -> Any:
        """The ANN's output for a batch.

        `observe` is called with every firing node and its activation, and with the nodes in `also`; a tensor that it
        returns goes on in place of the value.
        """
        values = self.start(self.cast(inputs))
        last_use = last_uses(self.body, keep=self.output.all_input_nodes)
        for node in self.body:
            values[node] = evaluate(node, values)
            if observe is not None and (self.rules[node].role is Role.FIRING or node in also):
                replaced = observe(node, values[node])
                values[node] = values[node] if replaced is None else replaced
            for done in last_use.get(node, ()):
                del values[done]
        return self.finish(values)

    def cast(self, inputs: Tensor) -> Tensor:
        """Inputs on the graph's device, in its precision, images in channels-last order."""
        inputs = inputs.to(self.example.device, self.dtype)
        return inputs.contiguous(memory_format=torch.channels_last) if inputs.dim() == 4 else inputs

    def to(self, target: torch.device | torch.dtype | str) -> Self:
        """Moves parameters to a device or casts them to a floating-point type, in place; returns self."""
        for graph in (self.origin, self.origin.encoded):
            if graph is not None:
                graph.module.to(target)
                graph.example = graph.example.to(target)
        return self


def _encoded(plain: ConversionGraph) -> ConversionGraph:
    from conversion.capture.between import encode_between  # Which is written in terms of this module.

    return encode_between(plain)


def _unpacked(packed: PackedGraph, example: Tensor, out_spec: pytree.TreeSpec) -> ConversionGraph:
    return ConversionGraph(*unpack(packed), example, out_spec)


def evaluate(node: fx.Node, values: Values) -> Any:
    """Computes a node's value from those of its inputs."""
    args = fx.node.map_arg(node.args, values.__getitem__)
    kwargs = fx.node.map_arg(node.kwargs, values.__getitem__) if node.kwargs else {}
    return node.target(*args, **kwargs)  # type: ignore[operator]


def last_uses(nodes: Sequence[fx.Node], keep: Collection[fx.Node]) -> dict[fx.Node, list[fx.Node]]:
    """By node, the values among `nodes` that no later node reads, so that their memory can be freed there.

    Values in `keep` are never freed.
    """
    reader: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        reader.update({source: node for source in node.all_input_nodes})
    uses: dict[fx.Node, list[fx.Node]] = {}
    for value in nodes:
        if value in reader and value not in keep:
            uses.setdefault(reader[value], []).append(value)
    return uses


def source_line(node: fx.Node) -> str:
    """The line of the user's code that a node came from, as torch.export recorded it."""
    path, kind = next(reversed((node.meta.get("nn_module_stack") or {}).values()), ("", ""))
    if str(kind).startswith("conversion.capture.onnx."):
        return f"the ONNX node '{path}'"
    trace = str(node.meta.get("stack_trace", ""))
    frames = re.findall(r'File "([^"]+)", line (\d+), in (\w+)\n\s*(.*)', trace)
    own = [frame for frame in frames if "/torch/nn/modules/" not in frame[0]] or frames
    if not own:
        return f"node '{node.name}' (no source line was recorded)"
    path, line, function, code = own[-1]
    return f"{path}:{line} in {function}: {code.strip()}"


def attribute(module: Any, node: fx.Node) -> Any:
    """The parameter or buffer that a node of a module's graph gets."""
    for name in str(node.target).split("."):
        module = getattr(module, name)
    return module
