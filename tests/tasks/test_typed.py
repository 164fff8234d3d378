"""Records of foreign files: what their types take, and what an error says of a field."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pytest
from pydantic import Field, model_validator

from conversion.errors import DataMissing, InvalidInput
from tasks.typed import FileName, Number, Place, Record, Whole, WrittenNumber, WrittenWhole


class Point(Record):
    x: WrittenNumber = Field(description="a number")
    y: WrittenNumber = Field(description="a number")


class Shape(Record):
    name: FileName = Field(description="a name")
    points: list[Point] = Field(description="a list of points")
    scale: list[Number] | None = Field(default=None, description="numbers")
    parts: Whole = Field(default=1, alias="class", description="a whole number")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.points:
            raise ValueError("it has no points")
        return self


class Row(Record):
    expected = "a name and a number"
    error = DataMissing
    name: str = Field(description="a name")
    number: WrittenWhole = Field(description="a whole number")


GOOD: dict[str, Any] = {"name": "a/b.txt", "points": [{"x": "1", "y": "-.5e-1"}], "scale": [2, 0.5], "other": object()}


def test_a_record_has_what_the_entry_says() -> None:
    shape = Shape.of(GOOD | {"class": 3}, "a.json")
    assert shape.points[0] == Point(x="1", y="-0.05")  # type: ignore[arg-type]
    assert (shape.name, shape.scale, shape.parts) == ("a/b.txt", [2, 0.5], 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": 5}, "a.json: name is 5; it has to be a name."),
        ({"name": "../b"}, "a.json: name '../b' leads out of the dataset's folder."),
        ({"name": "a\0"}, r"a.json: name 'a\x00' is no name of a file."),
        ({"scale": [1, float("inf")]}, "a.json: scale is [1, inf]; it has to be numbers."),
        ({"scale": [True]}, "a.json: scale is [True]; it has to be numbers."),
        ({"scale": ["1"]}, "a.json: scale is ['1']; it has to be numbers."),
        ({"scale": [2**53 + 2]}, "a.json: scale is [9007199254740994]; it has to be numbers."),
        ({"class": 1.0}, "a.json: class is 1.0; it has to be a whole number."),
        ({"class": np.zeros((2, 2))}, "a.json: class is an array of shape (2, 2); it has to be a whole number."),
        ({"points": {}}, "a.json: points is {}; it has to be a list of points."),
        ({"points": []}, "a.json: it has no points."),
        ({"points": [GOOD["points"][0], {"x": "1"}]}, "a.json: points[1].y is missing; it has to be a number."),
        ({"points": [{"x": "1_0", "y": "1"}]}, "a.json: points[0].x is '1_0'; it has to be a number."),
        ({"points": [{"x": "1", "y": "nan"}]}, "a.json: points[0].y is 'nan'; it has to be a number."),
        ({"points": [{"x": "1", "y": "\u0661"}]}, "a.json: points[0].y is '\u0661'; it has to be a number."),
        ({"points": [{"x": "1", "y": "9" * 400}]}, f"a.json: points[0].y is '{'9' * 59}; it has to be a number."),
        ({"points": [{"x": 1, "y": "1"}]}, "a.json: points[0].x is 1; it has to be a number."),
    ],
)
def test_what_is_wrong_is_said_of_the_field(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Shape.of(GOOD | change, "a.json")
    assert str(caught.value) == said


def test_an_entry_without_fields_is_none() -> None:
    with pytest.raises(InvalidInput, match=r"^entry 3 is 'x'; it has to be an object\.$"):
        Shape.of("x", "entry 3")


def test_a_place_may_be_a_line() -> None:
    """A caller that knows where the fields are says so; the name begins in the entry that is there."""

    def line(place: Place) -> str:
        assert place == ("points", 1, "y")
        return "a.xml, line 7"

    with pytest.raises(InvalidInput, match=r"^a\.xml, line 7: y is missing; it has to be a number\.$"):
        Shape.of(GOOD | {"points": [GOOD["points"][0], {"x": "1"}]}, line)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (["a"], "b.txt, line 1: 'a' is not a name and a number; that is name, number."),
        (["a", "1", "2"], "b.txt, line 1: 'a 1 2' is not a name and a number; that is name, number."),
        (["a", "-1"], "b.txt, line 1: number is '-1'; it has to be a whole number."),
        (["a", "1" * 19], "b.txt, line 1: number is '1111111111111111111'; it has to be a whole number."),
    ],
)
def test_a_line_has_as_many_fields_as_the_record(fields: list[str], said: str) -> None:
    assert Row.of_row([" a", " 07 "], "b.txt, line 1").number == 7
    with pytest.raises(DataMissing) as caught:
        Row.of_row(fields, "b.txt, line 1")
    assert str(caught.value) == said
