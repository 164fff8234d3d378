"""A registry: names to classes, each class with its name, and variants of a class."""

from __future__ import annotations

import inspect
import pickle
import sys
from typing import ClassVar

import pytest

from conversion.errors import NameTaken
from conversion.registry import Registry


class One:
    """A one."""

    name: ClassVar[str]
    size: ClassVar[int] = 1


class Other(One): ...


class CallsItself(One):
    name = "itself"


@pytest.fixture
def registry() -> Registry[type[One]]:
    return Registry("thing")


def test_it_keeps_the_first_of_two(registry: Registry[type[One]]) -> None:
    registry.register("one", "other")(One)
    place = rf"{__name__}\.One"
    with pytest.raises(NameTaken, match=rf"The thing 'other' is registered twice, by {place} and by .*\.Other"):
        registry.register("other")(Other)
    assert registry["other"] is One
    assert "one" in registry and "third" not in registry


def test_a_class_is_called_by_its_first_name_and_not_by_that_of_its_base(registry: Registry[type[One]]) -> None:
    registry.register("one", "single")(One)
    registry.register("other")(Other)
    registry.register("sound")(CallsItself)
    assert [registry[name].name for name in ("one", "single", "other")] == ["one", "one", "other"]
    assert registry["sound"].name == "itself"  # What `check` then finds fault with.


def test_a_variant_is_a_subclass_that_pickle_finds(registry: Registry[type[One]]) -> None:
    made = registry.variant(Other, "series/other-2", "Twice as large.", size=2)
    assert registry["series/other-2"] is made and issubclass(made, Other)
    assert (made.name, made.size, Other.size) == ("series/other-2", 2, 1)
    assert inspect.getdoc(made) == "A one.\n\nTwice as large."
    assert (made.__module__, made.__qualname__) == (__name__, "Other.series_other_2")
    if __name__ in sys.modules:
        assert pickle.loads(pickle.dumps(made)) is made
    with pytest.raises(NameTaken):
        registry.variant(One, "series/other-2", "Again.")
