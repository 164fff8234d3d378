"""The normal form of an exported graph: what export records in several ways is written in one way.

Arguments stand where ATen's schema has them, nodes that nobody reads are gone, and a signal has one floating-point type
from the input to the output: casts in between say how exactly the ANN is computed, and a simulation has a precision of
its own.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from conversion.capture.graph import attribute, source_line
from conversion.capture.roles import CASTS, aten, packet
from conversion.capture.signals import LIKE_A_SIGNAL, is_tensor, mark_signals
from conversion.errors import UnsupportedOp

# Constants of the shape of a signal, and what makes the same of sizes.
MADE_ALIKE = {
    aten.zeros_like: aten.new_zeros.default, aten.ones_like: aten.new_ones.default,
    aten.full_like: aten.new_full.default, aten.empty_like: aten.new_empty.default,
}  # fmt: skip


def normalise(module: fx.GraphModule) -> None:
    """Rewrites operations that export records in several ways in one way, in place."""
    (inputs,) = module.graph.find_nodes(op="placeholder")
    _own_constants(module)
    _erase_unread(module)
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        _place_arguments(node)
        op = packet(node)
        if node.target in (aten.view.default, aten._unsafe_view.default):
            # A view recorded for one memory format fails on channels-last activations; a reshape never does.
            node.target = aten.reshape.default
        elif op in LIKE_A_SIGNAL:
            args = list(node.args)
            args[LIKE_A_SIGNAL[op]] = inputs
            node.args = tuple(args)
        elif op in MADE_ALIKE:
            _made_of_sizes(node, inputs)
        elif op is aten.copy:
            _without_copy(node, inputs)
        elif op in (aten.threshold, aten.rrelu):
            _plain_activation(node)
        elif node.target in (aten.max.dim, aten.min.dim):
            _only_values(module, node)
    _erase_unread(module)
    mark_signals(module)
    for node in module.graph.nodes:
        if node.meta["signal"] and packet(node) not in CASTS and is_tensor(node):
            _drop_type(node)


def _erase_unread(module: fx.GraphModule) -> None:
    """The graph is pure, so a node without readers does nothing: assertions about types, and what only they read."""
    for node in reversed(list(module.graph.nodes)):
        if node.op == "call_function" and not node.users:
            module.graph.erase_node(node)


def _own_constants(module: fx.GraphModule) -> None:
    """Makes buffers of tensors that forward functions bring along, so that they move, cast and copy with the graph."""
    owned = {name for name, _ in (*module.named_parameters(remove_duplicate=False), *module.named_buffers())}
    for node in module.graph.find_nodes(op="get_attr"):
        value = attribute(module, node)
        if node.target in owned or not isinstance(value, Tensor):
            continue
        path, _, name = str(node.target).rpartition(".")
        holder = module.get_submodule(path)
        delattr(holder, name)
        holder.register_buffer(name, value, persistent=False)
        owned.add(node.target)


def working_dtype(module: fx.GraphModule, example: Tensor) -> torch.dtype:
    """The floating-point type in which a network computes: the widest of its parameters.

    Without parameters it is the widest of its buffers, its input and its outputs.
    """
    types = [value.dtype for value in module.parameters()]
    if not types:
        (output,) = module.graph.find_nodes(op="output")
        outputs = [node.meta["val"] for node in output.all_input_nodes]
        types = [value.dtype for value in (*module.buffers(), example, *outputs) if isinstance(value, Tensor)]
    found = [dtype for dtype in types if dtype.is_floating_point]
    widest = found[0] if found else torch.get_default_dtype()
    for dtype in found[1:]:
        widest = torch.promote_types(widest, dtype)
    return widest


def unify_precision(module: fx.GraphModule, dtype: torch.dtype) -> None:
    """Gives parameters and signals one type, in place: casts of signals are dropped but for those of the output."""
    module.to(dtype)
    (output,) = module.graph.find_nodes(op="output")
    for node in list(module.graph.nodes):
        if not node.meta["signal"]:
            _narrow(node, dtype)
            continue
        if packet(node) in (aten.to, aten._to_copy):
            source: Any = node.args[0]
            node.replace_all_uses_with(source, delete_user_cb=lambda user: user is not output)
            value = node.meta["val"]
            if node.users and value.dtype != dtype:
                # Without a device: the graph may move to another.
                node.target, node.args, node.kwargs = aten._to_copy.default, (source,), {"dtype": value.dtype}
                continue
            node.replace_all_uses_with(source)
            module.graph.erase_node(node)
            continue
        node.meta["val"] = pytree.tree_map(
            lambda value: value.to(dtype) if isinstance(value, Tensor) and value.dtype != dtype else value,
            node.meta["val"],
        )
    module.recompile()


def _narrow(node: fx.Node, dtype: torch.dtype) -> None:
    """Casts a constant of another type to that of the input where signals meet it: they would take a wider one on."""
    value = node.meta.get("val")
    readers = [user for user in node.users if user.op == "call_function" and user.meta["signal"]]
    if node.op != "call_function" or not readers or not isinstance(value, Tensor) or not value.is_floating_point():
        return
    if value.dtype == dtype:
        return
    (inputs,) = node.graph.find_nodes(op="placeholder")
    # Constants may come before the input in the graph, and the first reader comes after both.
    with node.graph.inserting_before(min(readers)):
        cast = node.graph.call_function(aten.type_as.default, (node, inputs))
    cast.meta = {"val": value.to(dtype), "stack_trace": node.meta.get("stack_trace", ""), "signal": False}
    for reader in readers:
        reader.replace_input_with(node, cast)


def _made_of_sizes(node: fx.Node, inputs: fx.Node) -> None:
    """Makes a constant like a signal of its sizes instead, so that it reads no signal; its real type is the input's."""
    with node.graph.inserting_before(node):
        sizes = _sizes(node, inputs)
    if sizes is not None:
        dtype = node.meta["val"].dtype
        node.target, node.args = MADE_ALIKE[packet(node)], (inputs, sizes, *node.args[1:])
        node.kwargs = {} if dtype.is_floating_point else {"dtype": dtype}


def _without_copy(node: fx.Node, inputs: fx.Node) -> None:
    """Drops a copy that overwrites all of a tensor: what is copied, in its shape and type, takes its place."""
    source: Any = node.args[1]
    value = node.meta["val"]
    with node.graph.inserting_before(node):
        sizes = _sizes(node, inputs)
        if sizes is None:
            return
        for different, target, args, kwargs in (
            (_shape(source) != _shape(node), aten.expand.default, (sizes,), {}),
            (source.meta["val"].dtype != value.dtype, aten._to_copy.default, (), {"dtype": value.dtype}),
        ):
            if different:
                source = node.graph.call_function(target, (source, *args), kwargs)
                source.meta = dict(node.meta)
    node.replace_all_uses_with(source)


def _shape(node: fx.Node) -> list[str]:
    """The sizes of a node's value in words, which compares symbols without settling what they are."""
    return [str(size) for size in node.meta["val"].shape]


def _sizes(node: fx.Node, inputs: fx.Node) -> list[Any] | None:
    """The sizes of a node's value as arguments, that of the batch read from the input; None where it is in another."""
    batch, sizes = inputs.meta["val"].shape[0], list(node.meta["val"].shape)
    free = [at for at, size in enumerate(sizes) if isinstance(size, torch.SymInt)]
    if any(str(sizes[at]) != str(batch) for at in free):
        return None
    for at in free:
        samples = node.graph.call_function(aten.sym_size.int, (inputs, 0))
        samples.meta = {"val": batch, "stack_trace": node.meta.get("stack_trace", "")}
        sizes[at] = samples
    return sizes


def _plain_activation(node: fx.Node) -> None:
    """Names activations by what they compute: Threshold(0, 0) is a ReLU, RReLU in inference mode a leaky ReLU."""
    source, *bounds = node.args
    if packet(node) is aten.threshold:
        if tuple(bounds) == (0, 0):
            node.target, node.args = aten.relu.default, (source,)
        return
    lower, upper, training = (*bounds, *(1 / 8, 1 / 3, False)[len(bounds) :])[:3]
    if training is False:
        # PyTorch's mean slope.
        node.target, node.kwargs = aten.leaky_relu.default, {}
        node.args = (source, (lower + upper) / 2)  # type: ignore[operator]


def _place_arguments(node: fx.Node) -> None:
    """Puts arguments that were given by keyword in their places; keyword-only ones stay."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return
    places = [argument for argument in node.target._schema.arguments if not argument.kwarg_only]
    named = [argument.name for argument in places]
    last = max((named.index(name) for name in node.kwargs if name in named), default=-1)
    if last < len(node.args):
        return
    kwargs = dict(node.kwargs)
    added = [kwargs.pop(argument.name, argument.default_value) for argument in places[len(node.args) : last + 1]]
    node.args, node.kwargs = (*node.args, *added), kwargs


def _drop_type(node: fx.Node) -> None:
    """Drops the floating-point type in which an operation on signals is to be computed, as a softmax may say it."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return
    for place, argument in enumerate(node.target._schema.arguments):
        if argument.name == "dtype" and argument.has_default_value():
            if argument.name in node.kwargs and _floats(node.kwargs["dtype"]):
                node.kwargs = {name: value for name, value in node.kwargs.items() if name != "dtype"}
            elif place < len(node.args) and _floats(node.args[place]):
                node.args = (*node.args[:place], argument.default_value, *node.args[place + 1 :])


def _floats(dtype: Any) -> bool:
    return isinstance(dtype, torch.dtype) and dtype.is_floating_point


def _only_values(module: fx.GraphModule, node: fx.Node) -> None:
    """Replaces a maximum over a dimension by one without positions, which spikes cannot carry."""
    if any(user.target is not operator.getitem or user.args[1] != 0 for user in node.users):
        raise UnsupportedOp(
            f"The positions that {node.target} at {source_line(node)} finds are used, but only its values are a "
            "signal. Use the values, or take the positions from the network's output."
        )
    extremum = aten.amax.default if packet(node) is aten.max else aten.amin.default
    source, dim, *keepdim = node.args
    for part in list(node.users):
        with module.graph.inserting_before(part):
            values = module.graph.call_function(extremum, (source, [dim], *keepdim))
        values.meta = {key: part.meta[key] for key in ("val", "stack_trace") if key in part.meta}
        part.replace_all_uses_with(values)
        module.graph.erase_node(part)
    module.graph.erase_node(node)
