"""Side effects that an exported graph has, and that no graph of pure operations can have; and what a trace freezes.

Which tensors share memory is read from what torch.export computed on: schemas do not declare all of it (an einsum of
one tensor gives a view of it, and is declared to give a tensor of its own).
"""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from conversion.capture.graph import source_line
from conversion.capture.roles import aten, packet
from conversion.errors import UnsupportedOp

# Operations that give memory as it happens to be.
UNWRITTEN = {
    aten.empty, aten.empty_like, aten.empty_strided, aten.empty_permuted, aten.new_empty, aten.new_empty_strided,
}  # fmt: skip

# Operations that write into such memory, or take a part of it: what they give is looked at where it is read.
WRITING = {
    aten.slice, aten.select, aten.slice_scatter, aten.select_scatter, aten.index_put, aten.index_copy, aten.scatter,
    aten.fill,
}  # fmt: skip

# What such memory may hold, at even and odd places: comparisons and bounds give the same for many numbers.
FILLS = ((0.0, 0.0), (1.0, 1.0), (1e4, -1e4), (math.nan, math.nan))


@contextmanager
def no_numbers_drawn() -> Iterator[None]:
    """Refuses a trace in the block that draws from the generators of Python or NumPy, which a graph has as constants.

    Generators that a network makes for itself (`numpy.random.default_rng()`) are those of `changing_answer`.

    Raises:
        UnsupportedOp: one of the two has moved on.
    """
    before = _generators()
    yield
    for name, state in _generators().items():
        if state != before[name]:
            raise UnsupportedOp(
                f"The network draws random numbers of {name}, so that it gives another output in every call, and its "
                "graph would keep those of this one; draw them once, and keep them as a buffer, or leave them out in "
                "inference mode."
            )


@torch.no_grad()
def changing_answer(model: nn.Module, batch: Tensor) -> str | None:
    """Says of a network that answers a batch otherwise the second time, by a clock or a counter, that it does.

    Answers may differ by rounding, as they do on GPUs.
    """
    first, second = (pytree.tree_leaves(model(batch)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        if not isinstance(one, Tensor) or not one.is_floating_point():
            continue
        margin = 1e-3 * float(one.abs().nan_to_num(0, 0).max()) if one.numel() else 0.0
        if one.shape != other.shape or not torch.allclose(one, other, rtol=1e-3, atol=margin, equal_nan=True):
            return (
                "The network gives another output when it is called again with the same input, and its graph would "
                "keep that of one call. It overwrites its input, or has a number that changes from call to call "
                "(drawn, counted, of a clock): work on a copy of the input, and leave such a number out in inference "
                "mode, or keep it as a buffer."
            )
    return None


def _generators() -> dict[str, bytes]:
    states = {"Python's random": random.getstate(), "numpy.random": np.random.get_state(legacy=False)}
    return {name: pickle.dumps(state) for name, state in states.items()}


def require_initialised(module: fx.GraphModule, batch: Tensor) -> None:
    """Refuses a network that reads memory which nothing has written, as of torch.empty.

    All of it may be written later, by parts: the constants that signals are computed with are computed for memory that
    holds one thing and another.

    Args:
        module: in pure operations, of which signals are marked (`signals.mark_signals`).
        batch: inputs of the network.

    Raises:
        UnsupportedOp: they are not the same.
    """
    if not any(packet(node) in UNWRITTEN for node in module.graph.nodes):
        return
    first, *others = [_Filled(module, fill) for fill in FILLS]
    with torch.no_grad():
        for filled in (first, *others):
            filled.run(batch)
    for node, value in first.constants.items():
        same = all(torch.equal(value, other.constants[node]) for other in others)
        readers = [user for user in node.users if user.meta["signal"] and packet(user) not in WRITING]
        if not same and (readers or any(user.op == "output" for user in node.users)):
            raise UnsupportedOp(
                f"The constant {node.target} at {source_line(node)} reads memory that was never written, whose values "
                "are those that happen to be there; use torch.zeros, or write all of it first."
            )


def fill_unwritten(module: fx.GraphModule) -> None:
    """Puts zeros, in place, where a network reads memory that it writes later: no value then depends on chance."""
    for node in list(module.graph.nodes):
        if packet(node) in UNWRITTEN:
            with module.graph.inserting_after(node):
                zeros = module.graph.call_function(aten.zeros_like.default, (node,))
            zeros.meta = dict(node.meta)
            node.replace_all_uses_with(zeros, delete_user_cb=lambda user, own=zeros: user is not own)


class _Filled(fx.Interpreter):
    """Runs a graph in which memory that nothing has written is filled, and keeps the constants that it makes."""

    def __init__(self, module: nn.Module, fill: tuple[float, float]) -> None:
        super().__init__(module)
        self.fill = fill
        self.constants: dict[fx.Node, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        if packet(n) in UNWRITTEN:
            # Whole numbers may be indices: none but 0 and 1.
            fill = [value if found.is_floating_point() else float(value == 1) for value in self.fill]
            found.copy_(torch.tensor(fill).repeat(found.numel() // 2 + 1)[: found.numel()].reshape(found.shape))
        kept = not n.meta["signal"] or packet(n) in WRITING
        if n.op == "call_function" and kept and isinstance(found, Tensor):
            self.constants[n] = found.nan_to_num(nan=0.5)
        return found


def require_function(module: fx.GraphModule) -> None:
    """Refuses a network whose output is no function of its input, or of which torch loses that tensors share memory.

    Raises:
        UnsupportedOp: it changes a parameter or buffer that its output depends on; it overwrites a tensor through a
            view that is not declared to be one; or it assigns `.data`, which torch.export does not record.
    """
    for part in module.modules():
        if isinstance(part, fx.GraphModule):
            _check(part.graph)


def storages(nodes: fx.Node | Iterable[fx.Node]) -> set[int]:
    """Identities of the memory that the values of nodes lie in."""
    values = [node.meta.get("val") for node in ([nodes] if isinstance(nodes, fx.Node) else nodes)]
    return {leaf.untyped_storage()._cdata for leaf in pytree.tree_leaves(values) if isinstance(leaf, Tensor)}


def declares_views(target: torch._ops.OpOverload) -> bool:
    """Whether an operation may give, or overwrite, what it reads, by its schema."""
    return any(one.alias_info is not None for one in (*target._schema.arguments, *target._schema.returns))


def _check(graph: fx.Graph) -> None:
    writers = {memory: node for node in graph.nodes for memory in storages(_written(node))}
    read = _ancestors(graph)
    for node in graph.nodes:
        if node.target is aten._has_compatible_shallow_copy_type.default:
            raise UnsupportedOp(
                f"The network assigns to .data at {source_line(node)}, which torch.export does not record; assign the "
                "tensor itself."
            )
        changed = next((writers[memory] for memory in storages(node) if memory in writers), None)
        if changed is None or _is_literal(node):
            continue
        if node.op == "get_attr" and any(storages(node) & storages(other) for other in read):
            raise UnsupportedOp(
                f"The network changes its '{node.target}' at {source_line(changed)}, and its output depends on that: "
                "the same input gives another output in the next call. Compute with a copy (.clone()), or leave the "
                "change out in inference mode."
            )
        if _is_hidden_view(node):
            raise UnsupportedOp(
                f"The network overwrites, at {source_line(changed)}, what {node.target} at {source_line(node)} shares "
                "with the tensor that it reads, and torch.export loses that they share it. Overwrite a copy "
                "(.clone()), or compute a new tensor."
            )


def _is_literal(node: fx.Node) -> bool:
    """Whether it is a tensor written in the code, as torch.tensor([1, 2]): a new one in every call, but in a trace."""
    if packet(node) is aten.lift_fresh_copy:
        return True
    return node.op == "get_attr" and all(packet(user) is aten.lift_fresh_copy for user in node.users)


def _written(node: fx.Node) -> list[fx.Node]:
    """The tensors that an operation overwrites."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return []
    schema = node.target._schema.arguments
    given = [*zip(schema, node.args, strict=False), *((one, node.kwargs.get(one.name)) for one in schema)]
    found: list[fx.Node] = []
    fx.node.map_arg([value for argument, value in given if argument.is_write], found.append)
    return found


def _ancestors(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that the output is computed from."""
    waiting, found = list(graph.find_nodes(op="output")), set[fx.Node]()
    while waiting:
        for source in waiting.pop().all_input_nodes:
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


def _is_hidden_view(node: fx.Node) -> bool:
    """Whether an operation gives memory that it reads, and its schema does not say so.

    torch takes those apart that are tagged so when it traces again.
    """
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or torch.Tag.maybe_aliasing_or_mutating in target.tags:
        return False
    return not declares_views(target) and bool(storages(node) & storages(node.all_input_nodes))
