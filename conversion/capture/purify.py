"""An exported graph in pure operations: rewritten node by node where that is safe, traced again by torch where not.

torch's own way, `run_decompositions({})`, runs the network twice more on symbolic shapes, which takes two to four times
as long as the export itself. Common networks need none of it: an activation that overwrites what nobody else reads, a
dropout that does nothing, a batch norm that goes by another name.
"""

from __future__ import annotations

import operator
from typing import Any, cast

import torch
from torch import fx
from torch.export import ExportedProgram

from conversion.capture.qcfs import QCFS
from conversion.capture.roles import SYNAPSES, packet

aten = torch.ops.aten
# A batch norm of fixed statistics, as a second trace calls it.
NORM = aten._native_batch_norm_legit_no_training
# Operations that a second trace records as they are. These make a tensor of their own;
FRESH = {
    *SYNAPSES, aten.batch_norm, aten.add, aten.mul, aten.cat, aten.matmul, aten.relu, aten.hardtanh, aten.leaky_relu,
    aten.silu, aten.max_pool2d, aten.avg_pool2d, aten.adaptive_avg_pool2d, aten.upsample_nearest2d,
    aten.upsample_bilinear2d, aten.mean, aten.amax, aten.softmax, aten.eye, QCFS,
}  # fmt: skip
# these may give a view of what they read.
VIEWS = {
    aten.flatten, aten.view, aten.transpose, aten.unsqueeze, aten.slice, aten.pad, aten.pixel_unshuffle, aten.sym_size,
}  # fmt: skip
# Operations that overwrite what they read.
IN_PLACE = {
    aten.add_: aten.add, aten.relu_: aten.relu, aten.hardtanh_: aten.hardtanh, aten.leaky_relu_: aten.leaky_relu,
    aten.silu_: aten.silu,
}  # fmt: skip


def pure_module(program: ExportedProgram) -> fx.GraphModule:
    """The module of an exported program, without in-place operations, dropout or batch norms of several kinds."""
    module = _module(program)
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
    if op in IN_PLACE:
        source = node.args[0]
        # Nobody sees that it is overwritten: it is no view of another tensor, and its only reader is this operation.
        if not isinstance(source, fx.Node) or len(source.users) > 1:
            return False
        return packet(source) in FRESH or packet(source) in IN_PLACE
    if op is aten.dropout:
        return node.args[2] is False
    if op is aten.batch_norm:
        return node.args[5] is False
    return op in FRESH or op in VIEWS


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
    op, target = packet(node), cast(Any, node.target)
    if op is aten.dropout:
        source: fx.Node = args[0]
        return source
    if op is aten.batch_norm:
        norm = graph.create_node("call_function", NORM.default, (*args[:5], *args[6:8]), name=NORM.__name__)
        norm.meta = {**node.meta, "val": (node.meta["val"],)}
        made_node = graph.call_function(operator.getitem, (norm, 0))
    else:
        if op in IN_PLACE:
            op = IN_PLACE[op]
            target = getattr(op, target._overloadname)
        kwargs = fx.node.map_arg(node.kwargs, made.__getitem__)
        name = "view" if op is aten.flatten else op.__name__
        made_node = graph.create_node("call_function", target, args, kwargs, name=name)
    made_node.meta = dict(node.meta)
    return made_node
