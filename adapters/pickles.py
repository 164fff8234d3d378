"""Pickles read as data: no class or function that one names is ever imported, let alone called.

A pickle is a programme for a stack machine, and Python's own machine calls what it is told to. This one has the same
instructions, which `pickletools` decodes, but a name stays a name and a call stays a note of what would have been
called. What comes out are containers, numbers, texts and such notes.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from conversion.errors import InvalidInput

LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
})  # fmt: skip
"""Instructions that push the value that they carry."""
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
Key = str | int | float | bytes | None


@dataclass(frozen=True)
class Name:
    """The name of a class or function, with the module that it is said to be in."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Noted:
    """An object of a class, or the result of a call, that a pickle asks for and that nobody made.

    Attributes:
        of: the class or function.
        args: what it would have been called with.
        state: what the object's attributes would have been set to.
        items: what would have been stored in it by key.
        members: what would have been appended or added to it.
    """

    of: Name
    args: tuple[Any, ...]
    state: Any = None
    items: dict[Key, Any] = field(default_factory=dict)
    members: list[Any] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Persistent:
    """A reference to something outside of the pickle; torch refers so to the numbers of a tensor."""

    identity: Any


class Damaged(InvalidInput):
    """The bytes are no pickle, or no file that holds one."""


def unpickled(stream: BytesIO) -> Any:
    """The value of the pickle that begins at the position of a stream, which is left behind it.

    Keys of mappings and members of sets that are no plain values are left out.

    Raises:
        Damaged: the bytes are no pickle, or of one that uses registered extensions or buffers outside of it.
    """
    machine = _Machine()
    try:
        for instruction, argument, _ in pickletools.genops(stream):
            if instruction.name == "STOP":
                break
            machine.step(instruction.name, argument)
    except (ValueError, IndexError) as error:  # pickletools' for bytes that are no pickle; the stack ran empty.
        raise Damaged(f"its pickle breaks off or is no pickle: {error}") from error
    return machine.pop()


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        """Stacks under the marks that are set."""
        self.memory: dict[int, Any] = {}

    def pop(self) -> Any:
        if not self.stack:
            raise Damaged("its pickle takes a value where there is none")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        """Takes what was pushed since the last mark."""
        if not self.below:
            raise Damaged("its pickle looks for a mark where there is none")
        values, self.stack = self.stack, self.below.pop()
        return values

    def step(self, name: str, argument: Any) -> None:
        """Executes one instruction."""
        push = self.stack.append
        if name in LITERALS:
            push(argument)
        elif name in CONSTANTS:
            push(CONSTANTS[name])
        elif name in EMPTY:
            push(EMPTY[name]())
        elif name in TUPLES:
            push(tuple(reversed([self.pop() for _ in range(TUPLES[name])])))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memory[len(self.memory) if name == "MEMOIZE" else argument] = self.top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            if argument not in self.memory:
                raise Damaged(f"its pickle recalls value {argument}, which it never kept")
            push(self.memory[argument])
        elif name not in ("PROTO", "FRAME"):
            self.structure(name, argument)

    def top(self) -> Any:
        self.stack.append(self.pop())
        return self.stack[-1]

    def structure(self, name: str, argument: Any) -> None:
        """Executes an instruction about containers, names or calls."""
        match name:
            case "MARK":
                self.below.append(self.stack)
                self.stack = []
            case "POP":
                self.pop() if self.stack else self.since_mark()
            case "POP_MARK":
                self.since_mark()
            case "DUP":
                self.stack.append(self.top())
            case "TUPLE" | "LIST" | "FROZENSET" | "DICT":
                values = self.since_mark()
                made: Any = tuple(values) if name == "TUPLE" else values
                if name == "FROZENSET":
                    made = frozenset(value for value in values if _plain(value))
                elif name == "DICT":
                    made = dict(_pairs(values))
                self.stack.append(made)
            case "APPEND":
                value = self.pop()
                self.extend([value])
            case "APPENDS" | "ADDITEMS":
                self.extend(self.since_mark())
            case "SETITEM":
                value, key = self.pop(), self.pop()
                self.store([key, value])
            case "SETITEMS":
                self.store(self.since_mark())
            case "GLOBAL":
                module, _, own = argument.partition(" ")
                self.stack.append(Name(module, own))
            case "STACK_GLOBAL":
                own, module = self.pop(), self.pop()
                if not (isinstance(module, str) and isinstance(own, str)):
                    raise Damaged("its pickle names a class by something other than text")
                self.stack.append(Name(module, own))
            case "PERSID" | "BINPERSID":
                self.stack.append(Persistent(argument if name == "PERSID" else self.pop()))
            case _:
                self.call(name, argument)

    def call(self, name: str, argument: Any) -> None:
        """Notes a call, or the making of an object, in place of doing it."""
        match name:
            case "REDUCE" | "NEWOBJ":
                args, of = self.pop(), self.pop()
            case "NEWOBJ_EX":
                _, args, of = self.pop(), self.pop(), self.pop()
            case "INST":
                module, _, own = argument.partition(" ")
                args, of = tuple(self.since_mark()), Name(module, own)
            case "OBJ":
                of, *rest = self.since_mark() or [None]
                args = tuple(rest)
            case "BUILD":
                state, made = self.pop(), self.top()
                if isinstance(made, Noted):
                    made.state = state
                return
            case _:
                raise Damaged(f"its pickle has the instruction {name}, which weights do not need")
        if isinstance(of, Persistent) and isinstance(of.identity, tuple) and len(of.identity) > 1:
            of = of.identity[1]  # Before version 1.6, torch refers so to the class of a module and its source.
        of = of.of if isinstance(of, Noted) else of
        if not isinstance(of, Name):
            raise Damaged(f"its pickle calls {type(of).__name__}, which is no class")
        self.stack.append(Noted(of, args if isinstance(args, tuple) else ()))

    def extend(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, set):
            target.update(value for value in values if _plain(value))
        elif isinstance(target, Noted):
            target.members.extend(values)
        else:
            raise Damaged(f"its pickle appends to {type(target).__name__}")

    def store(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, Noted):
            target = target.items
        if not isinstance(target, dict):
            raise Damaged(f"its pickle stores items in {type(target).__name__}")
        target.update(_pairs(values))


def _plain(value: Any) -> bool:
    """Whether a value can be a key: tuples could nest, and their hash take forever."""
    return value is None or isinstance(value, (str, int, float, bytes))


def _pairs(values: list[Any]) -> list[tuple[Any, Any]]:
    if len(values) % 2:
        raise Damaged("its pickle stores a key without a value")
    return [(key, value) for key, value in zip(values[::2], values[1::2], strict=True) if _plain(key)]
