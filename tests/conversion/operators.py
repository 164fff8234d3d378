"""Torch's own database of operators, swept: what the role table makes of each, and whether its rule holds.

`python -m tests.conversion.operators docs/operations.md` writes the table of the page.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from conversion import InvalidInput, UnsupportedOp
from conversion.capture.assignment import assign_roles
from conversion.capture.folding import fold_batch_norm
from conversion.capture.graph import Values, attribute, evaluate
from conversion.capture.normal_form import normalise
from conversion.capture.roles import CASTS, HOMOGENEOUS, OpRule, Role, activation_of, packet
from conversion.simulation.neuron import slope_along

START, END = "<!-- operators: start -->", "<!-- operators: end -->"
SAMPLES = 3
"""Arguments that are tried of each operator; the database has a few to some hundred."""
# The role of an operator is that of the hardest of its nodes.
ORDER = (Role.LINEAR, Role.FIRING, Role.NONLINEAR)


@dataclass(frozen=True)
class Outcome:
    """What became of an operator with some arguments.

    Attributes:
        role: the role of the operator; None where it was refused.
        reason: why it was refused.
        fault: what its rule gets wrong.
    """

    role: Role | None = None
    reason: str = ""
    fault: str = ""


def operators(only: Collection[str] | None = None) -> Iterator[tuple[str, list[Outcome]]]:
    """Operators of the database by name, all of them or some, with what became of their samples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db

        # Importing it forbids the whole process to set flags of torch's backends, as other tests and compilers do.
        torch.backends.flags_frozen.__globals__["__allow_nonbracketed_mutation_flag"] = True
        for info in op_db:
            name = f"{info.name}.{info.variant_test_name}" if info.variant_test_name else info.name
            if only is not None and name not in only:
                continue
            if torch.float64 not in info.dtypes:
                yield name, [Outcome(reason="no operation on floating-point numbers")]
                continue
            torch.manual_seed(0)
            outcomes: list[Outcome] = []
            # Not `sample_inputs`, which looks through the sources of all callers for the name of its test.
            for sample in info.sample_inputs_func(info, "cpu", torch.float64, requires_grad=False):
                if len(outcomes) == SAMPLES:
                    break
                outcomes.append(_outcome(info.op, sample))
            yield name, outcomes


def _outcome(op: Callable[..., Any], sample: Any) -> Outcome:
    if not isinstance(sample.input, Tensor) or not sample.input.is_floating_point() or not sample.input.numel():
        if isinstance(sample.input, (list, tuple)) and sample.input and isinstance(sample.input[0], Tensor):
            # Of several tensors the first one is the signal.
            first, *rest = (value.detach() if isinstance(value, Tensor) else value for value in sample.input)
            return _outcome_of(lambda x: op([x, *rest], *sample.args, **sample.kwargs), first)
        return Outcome(reason="no floating-point tensor to operate on")
    return _outcome_of(lambda x: op(x, *sample.args, **sample.kwargs), sample.input.detach())


@torch.no_grad()
def _outcome_of(function: Callable[[Tensor], Any], x: Tensor) -> Outcome:
    try:
        expected = function(x.clone())
        # Dispatched as torch.export does: to ATen's operations as networks call them.
        module = make_fx(function, tracing_mode="fake", pre_dispatch=True, _allow_non_fake_inputs=True)(x.clone())
    except Exception as error:  # What torch cannot trace, capture refuses as such.
        return Outcome(reason=f"cannot be traced: {type(error).__name__}")
    if not all(isinstance(value, Tensor) for value in pytree.tree_leaves(expected)):
        return Outcome(reason="gives no tensors")
    try:
        normalise(module)
        fold_batch_norm(module)
        rules = assign_roles(module)
    except (UnsupportedOp, InvalidInput) as error:
        return Outcome(reason=str(error))
    except Exception as error:
        return Outcome(fault=f"{type(error).__name__}: {error}")
    found = {rules[node].role for node in rules}
    computing = [role for role in ORDER if role in found]
    if not computing:
        return Outcome(reason="gives a constant")
    return Outcome(computing[-1], fault=_fault(module, rules, x, expected))


def _fault(module: fx.GraphModule, rules: dict[fx.Node, OpRule], x: Tensor, expected: Any) -> str:
    """What is wrong with a graph: it computes something else, or a node is not what its role says; "" if nothing is."""
    values: Values = {}
    for node, rule in rules.items():
        if node.op == "placeholder":
            values[node] = x
        elif node.op == "get_attr":
            values[node] = attribute(module, node)
        elif node.op == "call_function":
            values[node] = evaluate(node, values)
            if rule.role is not Role.CONSTANT and (fault := _not_its_role(node, rule, values)):
                return f"{node.target}: {fault}"
        else:
            outputs = pytree.tree_leaves(fx.node.map_arg(node.args[0], values.__getitem__))
            for found, wanted in zip(outputs, pytree.tree_leaves(expected), strict=True):
                if not torch.allclose(found, wanted, rtol=1e-6, atol=1e-8, equal_nan=True):
                    return "the graph computes something else"
    return ""


def _not_its_role(node: fx.Node, rule: OpRule, values: Values) -> str:
    sources = [source for source in node.all_input_nodes if source.meta["signal"]]
    if not all(isinstance(values[source], Tensor) for source in sources):
        return ""  # Parts of a split, which was tested.
    generator = torch.Generator().manual_seed(1)

    def at(*inputs: dict[fx.Node, Tensor]) -> list[Tensor]:
        return [_first(evaluate(node, values | one)) for one in inputs]

    a, b = (
        {source: torch.randn(values[source].shape, generator=generator, dtype=torch.float64) for source in sources}
        for _ in range(2)
    )
    if rule.role is Role.LINEAR:
        both, zero = {s: a[s] + b[s] for s in sources}, {s: torch.zeros_like(a[s]) for s in sources}
        of_a, of_b, of_both, of_zero = at(a, b, both, zero)
        # Casts are linear up to the rounding of the shorter type, of which a graph keeps those of outputs alone.
        rounded = 2e-2 if packet(node) in CASTS else 0.0
        close = torch.allclose(of_a + of_b, of_both + of_zero, rtol=1e-6 + rounded, atol=1e-8 + rounded, equal_nan=True)
        return "" if close else "is linear by the table, but is not"
    if rule.role is Role.FIRING:
        activation = activation_of(node)
        assert activation is not None
        value = 5 * next(iter(a.values()))
        slope = slope_along(activation.slope, value, 1)
        curve = torch.where(value > 0, value, slope * value).clamp(max=activation.ceiling)
        (found,) = at({sources[0]: value})
        return "" if _close(found, curve) else "is another activation than the table says"
    again, once = at(a, a)
    if not _close(again, once):
        return "is random"
    if packet(node) in HOMOGENEOUS:
        (scaled,) = at({s: 3 * a[s] for s in sources})
        return "" if _close(scaled, 3 * once) else "is homogeneous by the table, but is not"
    return ""


def _first(value: Any) -> Tensor:
    """A tensor, the first of several, or the parts of a split, one after the other."""
    if isinstance(value, Tensor):
        return value
    parts = [part for part in value if part.is_floating_point()]
    return torch.cat([part.flatten() for part in parts])


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-6, atol=1e-8, equal_nan=True)


def table(found: dict[str, list[Outcome]]) -> str:
    """The operators by role, as the page shows them."""
    lines = ["| role | operators of torch's database |", "| --- | --- |"]
    for role in ORDER:
        names = sorted(name for name, outcomes in found.items() if role_of(outcomes) is role)
        lines.append(f"| {role} ({len(names)}) | {_listed(names)} |")
    refused = [name for name, outcomes in found.items() if role_of(outcomes) is None]
    layers = sorted(name for name in refused if name.startswith("nn.functional."))
    lines.append(f"| refused ({len(refused)}), of them of `nn.functional` ({len(layers)}) | {_listed(layers)} |")
    return "\n".join(lines)


def listed(text: str) -> dict[str, list[str]]:
    """The names of each row of a table that `table` wrote, by the first word of the row."""
    rows = [row.split(" | ") for row in text.strip().splitlines()[2:]]
    return {row[0].split()[1]: [_long(name) for name in row[1].rstrip(" |").split(", ")] for row in rows}


def role_of(outcomes: list[Outcome]) -> Role | None:
    """The role of an operator; with some arguments it may have another, or be refused."""
    roles = [outcome.role for outcome in outcomes if outcome.role is not None]
    return max(set(roles), key=lambda role: (roles.count(role), ORDER.index(role))) if roles else None


def _listed(names: list[str]) -> str:
    return ", ".join(name.replace("nn.functional.", "F.").replace("_", "\\_") for name in names)


def _long(name: str) -> str:
    return name.replace("\\_", "_").replace("F.", "nn.functional.")


def main(path: str) -> None:
    """Writes the table between its marks in a page."""
    page = Path(path)
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{START}\n{table(dict(operators()))}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
