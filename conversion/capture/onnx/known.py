"""Values that are known before a network's input is: constants, and what is computed from shapes.

They are arrays of numpy. Shapes may hold the size of the batch, which is a symbol while torch.export records a network;
such arrays are of objects. What is computed here never becomes an operation of the captured graph.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import reduce, wraps
from typing import Any

import numpy as np

from conversion.capture.onnx.reading import DTYPES, OnnxNode
from conversion.capture.onnx.rules import Known, axes_of, demand, listed, number, numbers, whole

LARGEST = 2**26
"""The most numbers of an array that is made of few: a network of honest size has no constant that is larger."""
KNOWN: dict[str, Callable[..., Known | None]] = {}


def known(*operators: str) -> Callable[[Callable[..., Known | None]], Callable[..., Known | None]]:
    """Decorator that files a function of a node and its known inputs; None says that it cannot be known by numpy.

    What it gives is whole numbers again where no symbol is left.
    """

    def file(function: Callable[..., Known | None]) -> Callable[..., Known | None]:
        @wraps(function)
        def settled(*args: Any) -> Known | None:
            found = function(*args)
            if found is None or found.dtype != object:
                return found
            return as_known(list(found.reshape(-1)), found.shape)

        KNOWN.update(dict.fromkeys(operators, settled))
        return settled

    return file


def as_known(values: list[Any], shape: tuple[int, ...] | None = None) -> Known:
    """Whole numbers, or symbols for some of them, as an array."""
    exact = all(isinstance(value, int) for value in values)
    made = np.array(values, dtype=np.int64 if exact else object)
    return made if shape is None else made.reshape(shape)


def check_size(node: OnnxNode, sizes: Sequence[Any], *of: Known) -> None:
    """Refuses to make an array that is larger than any in an honest network and than those that it is made of."""
    count = math.prod(size for size in sizes if isinstance(size, int))
    if count > max(LARGEST, sum(array.size for array in of)) or any(
        isinstance(size, int) and size < 0 for size in sizes
    ):
        raise node.refusal(
            f"makes a constant of shape {list(sizes)}, negative or of more than the {LARGEST:,} numbers that one may "
            "have."
        )


def _elementwise(function: Callable[..., Any], exact: Callable[..., Any]) -> Callable[..., Known]:
    """By numpy for numbers, and one by one where there are symbols."""

    def compute(node: OnnxNode, *inputs: Known) -> Known:
        check_size(node, np.broadcast_shapes(*(array.shape for array in inputs)), *inputs)
        if all(array.dtype != object for array in inputs):
            return np.asarray(function(*inputs))
        return np.asarray(np.frompyfunc(exact, len(inputs), 1)(*inputs), dtype=object)

    return compute


def _divide(a: Known, b: Known) -> Known:
    # Whole numbers are divided towards zero.
    return a / b if a.dtype.kind == "f" else np.abs(a) // np.abs(b) * np.sign(a) * np.sign(b)


for _name, _function, _exact in (
    ("Add", np.add, operator.add), ("Sub", np.subtract, operator.sub), ("Mul", np.multiply, operator.mul),
    ("Div", _divide, operator.floordiv), ("Max", lambda *each: reduce(np.maximum, each), max),
    ("Min", lambda *each: reduce(np.minimum, each), min),
    ("Equal", np.equal, operator.eq), ("Greater", np.greater, operator.gt), ("Less", np.less, operator.lt),
    ("GreaterOrEqual", np.greater_equal, operator.ge), ("LessOrEqual", np.less_equal, operator.le),
    ("And", np.logical_and, operator.and_), ("Or", np.logical_or, operator.or_), ("Not", np.logical_not, operator.not_),
    ("Neg", np.negative, operator.neg), ("Abs", np.abs, abs), ("Floor", np.floor, lambda size: size),
    ("Ceil", np.ceil, lambda size: size), ("Sqrt", np.sqrt, lambda size: size**0.5),
    ("Identity", lambda value: value, lambda size: size),
):  # fmt: skip
    known(_name)(_elementwise(_function, _exact))


@known("Mod")
def modulo(node: OnnxNode, a: Known, b: Known) -> Known:
    """The rest has the sign of the divisor, or with fmod = 1 that of the dividend, as in C."""
    cut = bool(whole(node, "fmod", 0))
    return _elementwise(np.fmod if cut else np.mod, math.fmod if cut else operator.mod)(node, a, b)


@known("Where")
def where(node: OnnxNode, condition: Known, a: Known, b: Known) -> Known:
    check_size(node, np.broadcast_shapes(condition.shape, a.shape, b.shape), condition, a, b)
    return np.where(condition.astype(bool), a, b)


@known("Cast")
def cast(node: OnnxNode, value: Known) -> Known | None:
    dtype = DTYPES.get(whole(node, "to", 0))
    if value.dtype == object:
        return value  # Sizes stay what they are.
    # By name: while a network is recorded, torch makes no arrays.
    name = str(dtype).removeprefix("torch.")
    return None if dtype is None or name == "bfloat16" else value.astype(name)


@known("Shape")
def shape(node: OnnxNode, value: Any) -> Known:
    sizes = list(value.shape)
    return as_known(sizes[whole(node, "start", 0) : whole(node, "end", len(sizes))])


@known("Size")
def size(node: OnnxNode, value: Any) -> Known:
    return as_known([math.prod(value.shape)], ())


@known("Gather")
def gather(node: OnnxNode, value: Known, indices: Known) -> Known:
    axis = whole(node, "axis", 0) % max(1, value.ndim)
    check_size(node, [*value.shape[:axis], *indices.shape, *value.shape[axis + 1 :]], value)
    return np.asarray(np.take(value, indices.astype(np.int64), axis=whole(node, "axis", 0)), dtype=value.dtype)


@known("Concat")
def concat(node: OnnxNode, *values: Known) -> Known:
    # Each of them may be large, but the same ones may be joined again and again.
    check_size(node, [sum(value.size for value in values)], *{id(value): value for value in values}.values())
    return np.concatenate(values, axis=whole(node, "axis", 0))


@known("Slice")
def cut(
    node: OnnxNode, value: Known, starts: Known, ends: Known, axes: Known | None = None, steps: Known | None = None
) -> Known:
    where_cut = [slice(None)] * value.ndim
    along = range(value.ndim) if axes is None else numbers(axes)
    by = [1] * starts.size if steps is None else numbers(steps)
    for axis, start, end, step in zip(along, numbers(starts), numbers(ends), by, strict=False):
        # Running backwards, an end before the beginning is none.
        where_cut[axis] = slice(start, None if step < 0 and end < -value.shape[axis] else end, step)
    return value[tuple(where_cut)]


@known("Squeeze")
def squeeze(node: OnnxNode, value: Known, axes: Known | None = None) -> Known:
    found = axes_of(node, axes)
    return np.squeeze(value, None if found is None else tuple(found))


@known("Unsqueeze")
def unsqueeze(node: OnnxNode, value: Known, axes: Known | None = None) -> Known:
    return np.expand_dims(value, tuple(axes_of(node, axes) or ()))


@known("Reshape")
def reshape(node: OnnxNode, value: Known, target: Known) -> Known | None:
    sizes = [value.shape[at] if size == 0 and not whole(node, "allowzero", 0) else size
             for at, size in enumerate(numbers(target))]  # fmt: skip
    return value.reshape(sizes) if all(isinstance(size, int) for size in sizes) else None


@known("Transpose")
def transpose(node: OnnxNode, value: Known) -> Known:
    return np.transpose(value, listed(node, "perm"))


@known("Range")
def arange(node: OnnxNode, start: Known, limit: Known, delta: Known) -> Known | None:
    first, last, step = (number(node, end) for end in (start, limit, delta))
    if not all(isinstance(value, int | float) for value in (first, last, step)):
        return None
    if not step:
        raise node.refusal("counts in steps of zero.")
    check_size(node, [max(0, math.ceil((last - first) / step))])
    return np.arange(first, last, step).astype(start.dtype if start.dtype != object else np.int64)


def filling(node: OnnxNode) -> Known:
    """The number that a ConstantOfShape is full of, with its type."""
    value = node.attributes.get("value", np.zeros(1, dtype=np.float32))
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise node.refusal("is full of something other than one number.")
    return value.reshape(())


@known("ConstantOfShape")
def constant_of_shape(node: OnnxNode, target: Known) -> Known | None:
    value = filling(node)
    sizes = numbers(target)
    if not all(isinstance(size, int) for size in sizes):
        return None
    check_size(node, sizes)
    return np.full(sizes, value)


@known("Expand")
def expand(node: OnnxNode, value: Known, target: Known) -> Known | None:
    sizes = numbers(target)
    if not all(isinstance(size, int) for size in sizes):
        return None
    reached = list(np.broadcast_shapes(value.shape, tuple(sizes)))
    check_size(node, reached)
    return np.broadcast_to(value, reached).copy()


@known("Tile")
def tile(node: OnnxNode, value: Known, repeats: Known) -> Known | None:
    counts = numbers(repeats)
    if not all(isinstance(count, int) for count in counts):
        return None
    check_size(node, [size * count for size, count in zip(value.shape, counts, strict=False)])
    return np.tile(value, counts)


@known("ScatterND")
def scatter(node: OnnxNode, value: Known, indices: Known, updates: Known) -> Known:
    demand(node, reduction="none")
    found = value.copy()
    found[tuple(np.moveaxis(indices, -1, 0))] = updates
    return found


@known("ReduceProd")
def product(node: OnnxNode, value: Known, axes: Known | None = None) -> Known:
    if value.dtype == object and value.ndim == 1:
        return as_known([math.prod(numbers(value))], (1,) if whole(node, "keepdims", 1) else ())
    found = axes_of(node, axes)
    along = None if found is None else tuple(found)
    return np.asarray(np.prod(value, axis=along, keepdims=bool(whole(node, "keepdims", 1))))
