"""Types of the arguments of the library, and their check: what does not fit is a sentence, not a traceback."""

from __future__ import annotations

import inspect
import re
import reprlib
from collections.abc import Callable, Iterable
from functools import wraps
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError, validate_call
from pydantic_core import PydanticCustomError

from conversion.errors import BenchmarkError, InvalidInput, UnknownName

P = ParamSpec("P")
R = TypeVar("R")
STRICT = ConfigDict(strict=True)


def listed(given: Any) -> list[Any]:
    """A list of the names or numbers given, also where there is only one; empty for None, which selects all."""
    if given is None:
        return []
    return [given] if isinstance(given, str | int) else list(given)


def _python_integer(value: Any) -> Any:
    """Integers of numpy as Python's."""
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


def _several(kind: Any, noun: str) -> PlainValidator:
    """The check of an argument that is one value, several, or None for all; gives a list, or None."""
    items = TypeAdapter(list[kind], config=STRICT)

    def read(given: Any) -> list[Any] | None:
        if given is None:
            return None
        try:
            values = listed(_python_integer(given))
        except TypeError:
            raise PydanticCustomError("several", f"Input should be {noun} or several") from None
        if not values:
            raise PydanticCustomError("several", f"Input should hold {noun}; leave it out to select all")
        return items.validate_python(values)

    return PlainValidator(read)


Integer = Annotated[int, BeforeValidator(_python_integer)]
Positive = Annotated[int, BeforeValidator(_python_integer), Field(ge=1)]
Share = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Folder = str | Path
Names = Annotated[str | Iterable[str] | None, _several(str, "a name")]
"""One name or glob, or several; None for all."""
Numbers = Annotated[int | Iterable[int] | None, _several(Integer, "an integer")]
"""One number, or several; None for all."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator that checks the arguments of a call against their annotations, by pydantic and without conversions.

    The decorated function raises InvalidInput or UnknownName, which name the first argument that does not fit. An
    argument that it does not have is Python's TypeError.
    """
    signature = inspect.signature(function)
    validated: Callable[..., R] = validate_call(config=STRICT)(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        named = signature.bind(*args, **kwargs).arguments  # By name, for the sentence.
        try:
            return validated(**named)
        except ValidationError as error:
            if error.title != function.__name__:  # Raised by the function itself.
                raise
            raise _refusal(error) from None

    return call


def _refusal(error: ValidationError) -> BenchmarkError:
    """The sentence on the first argument that does not fit; alternatives of its type are joined."""
    first, *others = error.errors()
    name, value = str(first["loc"][0]), first["input"]
    if first["type"] == "literal_error" and isinstance(value, str):
        return UnknownName(name, value, re.findall(r"'([^']*)'", first["ctx"]["expected"]))
    same = [first, *(other for other in others if other["loc"][0] == name and other["loc"][1:2] != first["loc"][1:2])]
    wanted = " or ".join(dict.fromkeys(found["msg"].removeprefix("Input should ") for found in same))
    holds = "has" if any(isinstance(place, int) for place in first["loc"]) else "is"
    return InvalidInput(f"{name} {holds} {reprlib.repr(value)}; it should {wanted.replace(' or be ', ' or ')}.")
