"""Activations that exporters write as several nodes, as the one operator that they are.

A SiLU is written x * Sigmoid(x) before opset 24, a GELU x * (1 + Erf(x / sqrt(2))) / 2 before opset 20, a hard swish
x * Clip(x + 3, 0, 6) / 6 by Paddle. As one operation it is one running difference and not three, each with an encoder
behind it, and costs fewer operations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from conversion.capture.onnx.reading import OnnxNode


def fused(nodes: Sequence[OnnxNode], constants: Mapping[str, Tensor], outputs: Sequence[str]) -> list[OnnxNode]:
    """The nodes with every activation as one; those that nobody reads any more are gone."""
    known = dict(constants)
    for node in nodes:
        value = node.attributes.get("value") if node.op == "Constant" else None
        if isinstance(value, Tensor):
            known[node.outputs[0]] = value
    made = {name: node for node in nodes for name in node.outputs}
    found = [_activation(node, made, known) for node in nodes]
    return read_nodes(found, outputs)


def _activation(node: OnnxNode, made: Mapping[str, OnnxNode], known: Mapping[str, Tensor]) -> OnnxNode:
    if node.op == "Mul" and len(node.inputs) == 2:
        for x, other in (node.inputs, node.inputs[::-1]):
            gate = made.get(other)
            if gate is None or not gate.inputs or gate.inputs[0] != x:
                continue
            if gate.op == "Sigmoid":
                return replace(node, op="Silu", inputs=(x,), attributes={})
            if (
                gate.op == "HardSigmoid"
                and _is(gate.attributes.get("alpha", 0.2), 1 / 6)
                and (_is(gate.attributes.get("beta", 0.5), 0.5))
            ):
                return replace(node, op="HardSwish", inputs=(x,), attributes={})
        if (source := _of_gelu(node, made, known)) is not None:
            return replace(node, op="Gelu", inputs=(source,), attributes={})
    if node.op == "Div" and len(node.inputs) == 2 and _is(known.get(node.inputs[1]), 6):
        product = made.get(node.inputs[0])
        if product is not None and product.op == "Mul" and len(product.inputs) == 2:
            for x, other in (product.inputs, product.inputs[::-1]):
                if _is_gate(made.get(other), x, made, known):
                    return replace(node, op="HardSwish", inputs=(x,), attributes={})
    return node


def _of_gelu(node: OnnxNode, made: Mapping[str, OnnxNode], known: Mapping[str, Tensor]) -> str | None:
    """What a product is the GELU of: its factors are a value, (1 + Erf(value / sqrt(2))) and 1/2, in any order."""
    for one, other in (node.inputs, node.inputs[::-1]):
        for pair in _operands(other, "Mul", made):
            halves = [name for name in (one, *pair) if _is(known.get(name), 0.5)]
            rest = [name for name in (one, *pair) if name not in halves]
            if len(halves) != 1 or len(rest) != 2:
                continue
            for x, gate in (rest, rest[::-1]):
                if _is_erf_gate(gate, x, made, known):
                    return x
    return None


def _is_erf_gate(name: str, x: str, made: Mapping[str, OnnxNode], known: Mapping[str, Tensor]) -> bool:
    """Whether a value is 1 + Erf(x / sqrt(2))."""
    for pair in _operands(name, "Add", made):
        for one, erf in (pair, pair[::-1]):
            source = made.get(erf)
            if not _is(known.get(one), 1) or source is None or source.op != "Erf":
                continue
            scaled = source.inputs[0]
            divided = [root for read, root in _operands(scaled, "Div", made) if read == x]
            products = _operands(scaled, "Mul", made)
            factors = [factor for a, b in products for read, factor in ((a, b), (b, a)) if read == x]
            if any(_is(known.get(root), math.sqrt(2)) for root in divided):
                return True
            if any(_is(known.get(factor), math.sqrt(0.5)) for factor in factors):
                return True
    return False


def _operands(name: str, op: str, made: Mapping[str, OnnxNode]) -> list[tuple[str, str]]:
    """The two inputs of the operation of a kind that makes a value; nothing where another makes it."""
    node = made.get(name)
    return [(node.inputs[0], node.inputs[1])] if node is not None and node.op == op and len(node.inputs) == 2 else []


def _is_gate(clip: OnnxNode | None, x: str, made: Mapping[str, OnnxNode], known: Mapping[str, Tensor]) -> bool:
    """Whether a node is Clip(x + 3, 0, 6)."""
    if clip is None or clip.op != "Clip" or len(clip.inputs) != 3:
        return False
    shifted, low, high = clip.inputs
    if not (_is(known.get(low), 0) and _is(known.get(high), 6)):
        return False
    added = made.get(shifted)
    if added is None or added.op != "Add" or len(added.inputs) != 2:
        return False
    a, b = added.inputs
    return (a == x and _is(known.get(b), 3)) or (b == x and _is(known.get(a), 3))


def _is(value: object, wanted: float) -> bool:
    """Whether a value is one number, and this one."""
    if isinstance(value, Tensor):
        return value.numel() == 1 and _is(float(value), wanted)
    return isinstance(value, float | int) and math.isclose(value, wanted, rel_tol=1e-5)


def read_nodes(nodes: Sequence[OnnxNode], outputs: Sequence[str]) -> list[OnnxNode]:
    """Those of which somebody reads an output."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.outputs):
            wanted.update(name for name in node.inputs if name)
            kept.append(node)
    return kept[::-1]
