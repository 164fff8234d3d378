"""The table of ONNX operators: for each the function that computes it in PyTorch's operations.

A rule is a function of a node and of its inputs, in their order in ONNX; an optional input that is left out is None.
Inputs that the rule lists as `known` (shapes, axes, bounds) come as arrays: they are known before the network's input
is, but for the size of the batch, which an array of objects may hold as a symbol of torch.export. All others are
tensors. To support another operator, add a function here or in code of your own:

    @rule("Relu6")
    def relu6(node: OnnxNode, x: Tensor) -> Tensor:
        return F.relu6(x)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conversion.capture.onnx.reading import OnnxNode
from conversion.errors import UnsupportedOp

# What torch and numpy raise where sizes do not go together.
FAILURES = (RuntimeError, ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError, MemoryError)
Known = np.ndarray[Any, Any]
Result = Tensor | tuple[Tensor, ...]
Computes = Callable[..., Result]


@dataclass(frozen=True)
class Rule:
    """A row of the table.

    Attributes:
        function: computes the outputs of a node from its inputs.
        inputs: the names of the inputs; the last stands for any number of them where `variadic`.
        known: those that have to be known before the network's input is.
    """

    function: Computes
    inputs: tuple[str, ...]
    known: frozenset[str]
    variadic: bool

    def input_name(self, position: int) -> str:
        """The name of an input; of many of one kind each has a number."""
        if self.variadic and position >= len(self.inputs) - 1:
            return f"{self.inputs[-1]}_{position}"
        return self.inputs[position]


RULES: dict[str, Rule] = {}


def rule(*operators: str, known: Sequence[str] = ()) -> Callable[[Computes], Computes]:
    """Decorator that files a function as the rule of operators."""

    def file(function: Computes) -> Computes:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        variadic = bool(parameters) and parameters[-1].kind is inspect.Parameter.VAR_POSITIONAL
        made = Rule(function, tuple(parameter.name for parameter in parameters), frozenset(known), variadic)
        RULES.update(dict.fromkeys(operators, made))
        return function

    return file


def rule_for(node: OnnxNode) -> Rule:
    """The rule of a node.

    Raises:
        UnsupportedOp: there is none, or the node has more inputs than its operator.
    """
    found = RULES.get(node.op)
    if found is None:
        raise node.refusal(
            "has no rule. Write one, a function decorated with rule in conversion/capture/onnx/rules.py, or replace "
            "the operator in the network and export it again."
        )
    if len(node.inputs) > len(found.inputs) and not found.variadic:
        raise node.refusal(f"has {len(node.inputs)} inputs, and its operator {len(found.inputs)} at most.")
    return found


# What rules read of their nodes.


def whole(node: OnnxNode, name: str, default: int) -> int:
    """An attribute that is a whole number."""
    value = node.attributes.get(name, default)
    if not isinstance(value, int):
        raise _odd(node, name)
    return value


def real(node: OnnxNode, name: str, default: float) -> float:
    """An attribute that is a real number."""
    value = node.attributes.get(name, default)
    if not isinstance(value, int | float):
        raise _odd(node, name)
    return float(value)


def listed(node: OnnxNode, name: str) -> list[int] | None:
    """An attribute that is a list of whole numbers; None where it is left out."""
    value = node.attributes.get(name)
    if value is not None and not (isinstance(value, list) and all(isinstance(each, int) for each in value)):
        raise _odd(node, name)
    return value


def word(node: OnnxNode, name: str, default: str) -> str:
    """An attribute that is a text."""
    value = node.attributes.get(name, default)
    if not isinstance(value, str):
        raise _odd(node, name)
    return value


def demand(node: OnnxNode, **wanted: Any) -> None:
    """Refuses a node with an attribute that has another than its only supported value."""
    for name, value in wanted.items():
        given = node.attributes.get(name, value)
        if given != value:
            raise node.refusal(f"has {name} = {given!r}, for which it has no rule; export it with {value!r}.")


def numbers(known: Known) -> list[Any]:
    """What is known as a list: whole numbers, or symbols that stand for the size of the batch."""
    flat = known.reshape(-1)
    return list(flat) if flat.dtype == object else flat.tolist()


def number(node: OnnxNode, known: Known | None, default: Any = None) -> Any:
    """What is known as one number."""
    if known is None or not known.size:
        return default
    if known.size != 1:
        raise node.refusal(f"has {known.size} numbers where its operator takes one.")
    return numbers(known)[0]


def axes_of(node: OnnxNode, known: Known | None) -> list[int] | None:
    """Axes, which are an input in newer operators and an attribute in older ones; None where they are left out."""
    return listed(node, "axes") if known is None else numbers(known)


def is_known_size(size: Any) -> bool:
    """Whether a size is a number, and no symbol for that of the batch."""
    return isinstance(size, int)


def like(value: Tensor, known: Known) -> Tensor:
    """What is known as a tensor, in the type and on the device of another where it is of real numbers."""
    made = torch.as_tensor(known)
    return made.to(value.device, value.dtype if made.is_floating_point() and value.is_floating_point() else made.dtype)


def _odd(node: OnnxNode, name: str) -> UnsupportedOp:
    return node.refusal(f"has {name} = {node.attributes[name]!r}, which is of another type than the operator's.")
