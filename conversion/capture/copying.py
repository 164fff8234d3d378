"""A captured graph as plain data, so that it can be copied and pickled.

Nodes of `torch.fx` and the fake tensors that export leaves in them can be neither. What a conversion reads of them is
kept: operations by name, arguments, roles, shapes, types, source lines, layouts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from conversion.capture.roles import OpRule

# What is kept of a node's meta data, besides the shape of its value and the modules that it came from.
KEPT = ("signal", "layout", "channel_axis", "output_encoder", "stack_trace")


@dataclass(frozen=True)
class PackedGraph:
    """A captured graph without objects of `torch.fx`.

    Attributes:
        nodes: every node, in execution order.
        tensors: parameters and buffers by name.
        transient: names of buffers that are not part of the state of the module.
    """

    nodes: tuple[_Node, ...]
    tensors: dict[str, Tensor]
    transient: frozenset[str]


@dataclass(frozen=True)
class _Node:
    op: str
    name: str
    target: Any
    args: Any
    kwargs: Any
    meta: dict[str, Any]
    rule: OpRule


@dataclass(frozen=True)
class _Reference:
    """A node as an argument of another."""

    name: str


@dataclass(frozen=True)
class _Operation:
    """An operation of ATen or of this package: "aten::add" and "Tensor"."""

    name: str
    overload: str


@dataclass(frozen=True)
class _Shape:
    """Shape and type of a value; symbolic sizes are those of two samples."""

    sizes: tuple[int, ...]
    dtype: torch.dtype


def pack(module: fx.GraphModule, rules: dict[fx.Node, OpRule]) -> PackedGraph:
    """The graph of a module, whose nodes have these roles, as plain data that shares its tensors."""
    nodes = tuple(
        _Node(node.op, node.name, _packed_target(node.target), _packed(node.args), _packed(node.kwargs), _kept(node),
              rules[node])
        for node in module.graph.nodes
    )  # fmt: skip
    tensors = dict([*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)])
    return PackedGraph(nodes, tensors, frozenset(tensors) - frozenset(module.state_dict()))


def unpack(packed: PackedGraph) -> tuple[fx.GraphModule, dict[fx.Node, OpRule]]:
    """A module and the roles of its nodes from plain data; it shares the tensors."""
    module = fx.GraphModule(nn.Module(), fx.Graph())
    for name, tensor in packed.tensors.items():
        _assign(module, name, tensor, persistent=name not in packed.transient)
    graph = fx.Graph(module)
    made: dict[str, fx.Node] = {}
    rules: dict[fx.Node, OpRule] = {}

    def looked_up(argument: Any) -> Any:
        return made[argument.name] if isinstance(argument, _Reference) else argument

    for node in packed.nodes:
        args, kwargs = (pytree.tree_map(looked_up, part) for part in (node.args, node.kwargs))
        fresh = graph.create_node(node.op, _unpacked_target(node.target), tuple(args), kwargs, name=node.name)
        fresh.meta = {**node.meta, "val": pytree.tree_map(_meta_tensor, node.meta["val"])}
        made[node.name] = fresh
        rules[fresh] = node.rule
    module.graph = graph
    return module, rules


def _packed_target(target: Any) -> Any:
    if isinstance(target, torch._ops.OpOverload):
        return _Operation(target._schema.name, target._overloadname)
    return target


def _unpacked_target(target: Any) -> Any:
    if not isinstance(target, _Operation):
        return target
    library, _, name = target.name.partition("::")
    return getattr(getattr(getattr(torch.ops, library), name), target.overload)


def _packed(arguments: Any) -> Any:
    """Arguments in plain containers."""
    if isinstance(arguments, fx.Node):
        return _Reference(arguments.name)
    if isinstance(arguments, dict):
        return {name: _packed(value) for name, value in arguments.items()}
    if isinstance(arguments, (tuple, list)):
        return (tuple if isinstance(arguments, tuple) else list)(_packed(value) for value in arguments)
    if isinstance(arguments, slice):
        return slice(_packed(arguments.start), _packed(arguments.stop), _packed(arguments.step))
    return arguments


def _kept(node: fx.Node) -> dict[str, Any]:
    kept = {key: node.meta[key] for key in KEPT if key in node.meta}
    modules = node.meta.get("nn_module_stack") or {}
    kept["nn_module_stack"] = {key: (path, str(kind)) for key, (path, kind) in modules.items()}
    kept["val"] = pytree.tree_map(_shape, node.meta.get("val"))
    return kept


def _shape(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _Shape(tuple(int(size) for size in value.shape), value.dtype)
    return int(value) if isinstance(value, torch.SymInt) else value


def _meta_tensor(value: Any) -> Any:
    return torch.empty(value.sizes, dtype=value.dtype, device="meta") if isinstance(value, _Shape) else value


def _assign(module: nn.Module, name: str, tensor: Tensor, *, persistent: bool) -> None:
    *path, last = name.split(".")
    for part in path:
        if part not in dict(module.named_children()):
            module.add_module(part, nn.Module())
        module = module.get_submodule(part)
    if isinstance(tensor, nn.Parameter):
        module.register_parameter(last, tensor)
    else:
        module.register_buffer(last, tensor, persistent=persistent)
