"""Typed records of files from outside, and sentences about fields that are not as they have to be.

A format has one model, a class derived from `Record`: the type of a field says what is taken, its description what an
error asks for. Numbers are finite, texts are no numbers and truth values neither; fields that the model does not have
are passed over, as readers of a format have to. Arrays are checked as arrays, where they are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import PureWindowsPath
from typing import Annotated, Any, ClassVar, Self, get_args

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from conversion.errors import BenchmarkError, InvalidInput

Place = tuple[str | int, ...]
"""A field by the names and numbers that lead to it."""
LARGEST = 2**53
"""The largest number in a file: whole numbers up to it are exact as floats."""


class Record(BaseModel):
    """An entry of a foreign file.

    Attributes:
        expected: what an entry has to be that has no fields at all.
        separator: stands between the names of fields that lie in each other.
        error: the error of entries that are not as they have to be.
    """

    model_config = ConfigDict(strict=True, frozen=True, defer_build=True, arbitrary_types_allowed=True)
    expected: ClassVar[str] = "an object"
    separator: ClassVar[str] = "."
    error: ClassVar[type[BenchmarkError]] = InvalidInput

    @classmethod
    def of(cls, entry: Any, where: str | Callable[[Place], str]) -> Self:
        """Makes a record of an entry.

        Args:
            where: file and line or id of the entry for the error message, or what gives them of a field at a place.

        Raises:
            InvalidInput: a field is missing or not of its type, or fields contradict each other; or `error`.
        """
        try:
            return cls.model_validate(entry)
        except ValidationError as error:
            place, said = _fault(cls, entry, error, within=isinstance(where, str))
            raise cls.error(f"{where if isinstance(where, str) else where(place)}{said}") from error

    @classmethod
    def of_row(cls, fields: Sequence[str], where: str) -> Self:
        """Makes a record of the fields of a line of text, in the model's order; errors as of `of`."""
        names = cls.names()
        if len(fields) != len(names):
            line = " ".join(fields)
            raise cls.error(f"{where}: '{line:.60}' is not {cls.expected}; that is {', '.join(names)}.")
        return cls.of(dict(zip(names, fields, strict=True)), where)

    @classmethod
    @cache
    def names(cls) -> tuple[str, ...]:
        """The names of its fields as files have them."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())


def _fault(model: type[Record], entry: Any, error: ValidationError, *, within: bool) -> tuple[Place, str]:
    """The first field that is not as it has to be, and the end of a sentence that says so.

    Args:
        within: whether the sentence says, too, in which item of a list the field is.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    place, expected = _blamed(model, first["loc"])
    item = max((depth for depth, step in enumerate(place, 1) if isinstance(step, int)), default=0)
    name = _spelt(place if within else place[item:], model.separator)
    there, value = _value(entry, place)
    if not there:
        return place, f": {name} is missing; it has to be {expected}."
    if first["type"] == "value_error":  # Of a rule of ours, which says what is wrong.
        said = str(first["ctx"]["error"])
        return place, f": {name} {_shown(value)} {said}." if name else f": {said}."
    return place, f"{f': {name}' if name else ''} is {_shown(value)}; it has to be {expected}."


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):  # How NumPy prints one is anyone's setting.
        return f"an array of shape {value.shape}"
    return re.sub(r"\s*\n\s*", " ", repr(value))[:60]


def _blamed(model: type[Record], place: Place) -> tuple[Place, str]:
    """The innermost field on the way to a place, and its description. An item of a list of numbers is no field."""
    found: Place = ()
    expected = model.expected
    at: type[Record] | None = model
    for depth, step in enumerate(place, 1):
        if at is None:
            break
        if isinstance(step, int):
            continue
        field = next((field for name, field in at.model_fields.items() if step in (name, field.alias)), None)
        if field is None:  # The name of a type, where there are several.
            break
        found, expected = place[:depth], field.description or "of another type"
        at = _record_in(field.annotation)
    return found, expected


def _record_in(annotation: Any) -> type[Record] | None:
    """The record that a field is, or is a list of."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return annotation
    found = [record for part in get_args(annotation) if (record := _record_in(part)) is not None]
    return found[0] if len(found) == 1 else None


def _spelt(place: Place, separator: str) -> str:
    parts = (f"[{step}]" if isinstance(step, int) else f"{separator}{step}" for step in place)
    return "".join(parts).removeprefix(separator)


def _value(entry: Any, place: Place) -> tuple[bool, Any]:
    """Whether something is at a place, and what."""
    for step in place:
        if not (step in entry if isinstance(entry, Mapping) else isinstance(step, int)):
            return False, None
        entry = entry[step]
    return True, entry


class Written:
    """Marks a number that a file has as text; a pattern says how, for Python and Rust take more than anyone means."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        number: CoreSchema = core_schema.int_schema(strict=False)
        if source is float:
            number = core_schema.float_schema(strict=False, allow_inf_nan=False)
        text = core_schema.str_schema(pattern=f"^(?:{self.pattern})$", strip_whitespace=True)
        return core_schema.chain_schema([text, number])


def unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, as the `object_pairs_hook` of `json.loads`. Raises ValueError if it has a key twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"an object has the key {name!r:.60} twice")
        found[name] = value
    return found


def name_fault(name: str) -> str | None:
    """Says why a name in a list or table is no name of a file below a folder; None where it is one."""
    if not name.strip() or not name.isprintable():  # Surrogates and control characters are not.
        return "is no name of a file"
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive or ".." in re.split(r"[/\\]", name):
        return "leads out of the dataset's folder"
    return None


def _file_name(name: str) -> str:
    fault = name_fault(name)
    if fault is not None:
        raise ValueError(fault)
    return name


Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Whole = Annotated[int, Field(strict=True, ge=-LARGEST, le=LARGEST)]
Positive = Annotated[int, Field(strict=True, ge=1, le=LARGEST)]
Flag = Annotated[int, Field(strict=True, ge=0, le=1)]
"""0 or 1; a `Literal` of numbers would take true and 1.0 for one."""
WrittenNumber = Annotated[float, Written(r"[+-]?([0-9]{1,30}(\.[0-9]{0,300})?|\.[0-9]{1,300})([eE][+-]?[0-9]{1,2})?")]
"""A number as text, of at most 130 digits before the point: finite."""
WrittenWhole = Annotated[int, Written(r"[0-9]{1,18}")]
"""A whole number of at least 0 as text."""
FileName = Annotated[str, AfterValidator(_file_name)]
"""The name of a file below a folder."""
