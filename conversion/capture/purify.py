"""An exported graph in pure operations: rewritten node by node where that is safe, traced again by torch where not.

torch's own way, `run_decompositions({})`, runs the network twice more on symbolic shapes, which takes two to four times
as long as the export itself. Most networks need none of it: an operation that overwrites what nobody else reads, a
dropout that does nothing, a batch norm that goes by another name. An operation's schema says whether it is pure.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from conversion.capture.effects import declares_views, require_function, storages
from conversion.capture.roles import packet

aten = torch.ops.aten
# A batch norm of fixed statistics, as a second trace calls it.
NORM = aten._native_batch_norm_legit_no_training
# Views, and operations that may give the tensor itself, which a second trace records much as they are.
VIEWS = {
    aten.view, aten.reshape, aten.flatten, aten.transpose, aten.permute, aten.t, aten.unsqueeze, aten.squeeze,
    aten.unflatten, aten.expand, aten.slice, aten.select, aten.chunk, aten.split, aten.split_with_sizes, aten.unbind,
    aten.contiguous, aten.pad, aten.constant_pad_nd, aten.pixel_unshuffle,
}  # fmt: skip
# Each with its probability and whether it is active as second and third arguments.
DROPOUTS = {
    aten.dropout, aten.dropout_, aten.alpha_dropout, aten.alpha_dropout_, aten.feature_dropout, aten.feature_dropout_,
    aten.feature_alpha_dropout, aten.feature_alpha_dropout_,
}  # fmt: skip
# Tagged as if they changed statistics or drew random numbers; other rules see to it that they do not.
CONDITIONALLY_PURE = {aten.batch_norm, aten.scaled_dot_product_attention}
# Numbers that sizes are computed from, and one of several results.
NUMBERS = {aten.sym_size, operator.getitem, operator.add, operator.sub, operator.mul, operator.floordiv}
# Whatever their schemas say, these may give the tensor itself, or fall away in a second trace.
UNCERTAIN = {aten.type_as, aten.lift_fresh_copy, aten._assert_tensor_metadata}


def pure_module(program: ExportedProgram) -> fx.GraphModule:
    """The module of an exported program, without in-place operations, dropout or batch norms of several kinds.

    Raises:
        UnsupportedOp: the network is no function of its input (`effects.require_function`).
    """
    module = _module(program)
    require_function(module)
    if all(_is_plain(node) for node in module.graph.nodes if node.op == "call_function"):
        _rewrite(module)
        return module
    with torch.no_grad():
        # An empty table decomposes nothing; it rewrites in-place operations to pure ones.
        return _module(program.run_decompositions({}))


def _module(program: ExportedProgram) -> fx.GraphModule:
    module = program.module(check_guards=False)
    assert isinstance(module, fx.GraphModule)
    return module


def _is_plain(node: fx.Node) -> bool:
    """Whether an operation is pure, does nothing, or overwrites a tensor that only it reads."""
    op = packet(node)
    if op in DROPOUTS:
        return node.args[2] is False
    if op is aten.batch_norm:
        return node.args[5] is False
    if _pure_form(node) is not None:
        source = node.args[0]
        # Nobody sees that it is overwritten: it is no view of another tensor, and its only reader is this operation.
        if not isinstance(source, fx.Node) or len(source.users) > 1 or not _keeps_its_type(node):
            return False
        return _is_fresh(source) or _pure_form(source) is not None
    return op in VIEWS or op in NUMBERS or _is_fresh(node)


def _is_fresh(node: fx.Node) -> bool:
    """Whether an operation makes a tensor of its own, changes none that it reads and draws no random numbers."""
    op, target = packet(node), node.target
    if op in CONDITIONALLY_PURE:
        return True
    if op in VIEWS or op in UNCERTAIN or not isinstance(target, torch._ops.OpOverload):
        return False
    # What the schema does not say shows in the memory.
    aliases = declares_views(target) or bool(storages(node) & storages(node.all_input_nodes))
    impure = {torch.Tag.maybe_aliasing_or_mutating, torch.Tag.nondeterministic_seeded} & set(target.tags)
    return bool(target._schema.returns) and not aliases and not impure


def _pure_form(node: fx.Node) -> Any:
    """The operation that computes what one in place does, as aten.add.Tensor of aten.add_.Tensor; None of any other."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or not target._schema.is_mutable or target.namespace != "aten":
        return None
    name = target.overloadpacket.__name__
    packet_of_pure = getattr(aten, name.removesuffix("_"), None) if name.endswith("_") else None
    pure = getattr(packet_of_pure, target._overloadname, None)
    first, *others = [argument.is_write for argument in target._schema.arguments]
    # Overloads of one name need not be of one function: aten.pow.Scalar is a number to the power of a tensor.
    same = pure is not None and _parameters(pure) == _parameters(target)
    return pure if same and first and not any(others) else None


def _parameters(target: torch._ops.OpOverload) -> list[tuple[str, str]]:
    return [(argument.name, str(argument.type)) for argument in target._schema.arguments]


def _keeps_its_type(node: fx.Node) -> bool:
    """Whether the pure form of an operation in place gives the shape and type of the tensor that it overwrites.

    It gives a wider type where it reads one, and truth values where it compares; or it takes the memory of another.
    """
    before, after = node.args[0].meta["val"], node.meta["val"]  # type: ignore[union-attr]
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda read: read.meta["val"])
    found = _pure_form(node)(*args, **kwargs)
    same_memory = before.untyped_storage()._cdata == after.untyped_storage()._cdata
    return bool(found.dtype == after.dtype and found.shape == after.shape and same_memory)


def _rewrite(module: fx.GraphModule) -> None:
    """Copies the graph with a pure operation for each, named and counted as in a second trace."""
    graph = fx.Graph()
    made: dict[fx.Node, fx.Node] = {}
    for node in module.graph.nodes:
        made[node] = _pure(graph, node, made) if node.op == "call_function" else graph.node_copy(node, made.__getitem__)
    graph.set_codegen(module.graph._codegen)
    module.graph = graph


def _pure(graph: fx.Graph, node: fx.Node, made: dict[fx.Node, fx.Node]) -> fx.Node:
    args: Any = fx.node.map_arg(node.args, made.__getitem__)
    op = packet(node)
    if op in DROPOUTS:
        source: fx.Node = args[0]
        return source
    if op is aten.batch_norm:
        norm = graph.create_node("call_function", NORM.default, (*args[:5], *args[6:8]), name=NORM.__name__)
        norm.meta = {**node.meta, "val": (node.meta["val"],)}
        made_node = graph.call_function(operator.getitem, (norm, 0))
    else:
        target = _pure_form(node) or node.target
        op = getattr(target, "overloadpacket", target)
        kwargs = fx.node.map_arg(node.kwargs, made.__getitem__)
        name = "view" if op in (aten.flatten, aten.reshape) else op.__name__
        made_node = graph.create_node("call_function", target, args, kwargs, name=name)
    made_node.meta = dict(node.meta)
    return made_node
