"""Names to classes: how methods, tasks and networks make themselves known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from conversion.errors import UnknownName

T = TypeVar("T")


class Registry(Generic[T]):
    """A dictionary of classes by name, filled by a decorator.

    Args:
        kind: what the entries are, for error messages ("method", "task", "network").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, *names: str) -> Callable[[T], T]:
        """Decorator that files a class under one or more names; a name can be taken only once."""

        def file(entry: T) -> T:
            for name in names:
                if name in self._entries:
                    raise ValueError(f"The {self.kind} '{name}' is registered twice.")
                self._entries[name] = entry
            return entry

        return file

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise UnknownName(self.kind, name, self._entries)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
