"""Names to classes: how methods, tasks and networks make themselves known."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast

from conversion.errors import NameTaken, UnknownName


class Named(Protocol):
    """The interface of registered classes: they have a name."""

    name: ClassVar[str]


T = TypeVar("T", bound="type[Named]")


class Registry(Generic[T]):
    """A dictionary of classes by name, filled by a decorator.

    Args:
        kind: noun for the entries in error messages ("method", "task", "network").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}
        self._resolvers: dict[str, Callable[[str], T]] = {}
        self._resolved: dict[str, T] = {}

    def register(self, *names: str) -> Callable[[T], T]:
        """Decorator that files a class under one or more names, the first of which becomes its attribute `name`.

        Raises:
            NameTaken: another class has the name already.
        """

        def file(entry: T) -> T:
            for name in names:
                if name in self._entries:
                    raise NameTaken(self.kind, name, _place(self._entries[name]), _place(entry))
                self._entries[name] = entry
            if "name" not in vars(entry):  # An inherited name is that of another class.
                entry.name = names[0]
            return entry

        return file

    def variant(self, base: T, name: str, doc: str, **attributes: object) -> T:
        """Makes and registers a subclass that differs from its base by class attributes only.

        It is an attribute of its base, where pickle finds it by reference and freshness the code that it reaches: the
        base's, and the statement or decorator that calls this. A plug-in varies a class of its own, therefore.

        Args:
            base: in a module, at its top level.
            name: to register under.
            doc: sentences on the difference, appended to the docstring of the base.
            attributes: attributes of the new class.

        Raises:
            NameTaken: another class has the name already.
        """
        return _kept(base, self.register(name)(_subclass(base, name, doc, attributes)))

    def derived(self, base: T, name: str, doc: str, **attributes: object) -> T:
        """Makes the same subclass without registering it."""
        return _kept(base, _subclass(base, name, doc, attributes))

    def resolver(self, prefix: str) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
        """Decorator of a function that makes the classes of names with a prefix, each when it is first asked for.

        Such names are not listed: there may be thousands. A registered name comes first.
        """

        def file(resolve: Callable[[str], T]) -> Callable[[str], T]:
            self._resolvers[prefix] = resolve
            return resolve

        return file

    def resolves(self, name: str) -> bool:
        """Whether a name has the prefix of a resolver, which may still not know it; globs have none."""
        return name not in self._entries and "*" not in name and name.startswith(tuple(self._resolvers))

    def __getitem__(self, name: str) -> T:
        if name in self._entries:
            return self._entries[name]
        if name not in self._resolved:
            resolve = next((made for prefix, made in self._resolvers.items() if name.startswith(prefix)), None)
            if resolve is None:
                raise UnknownName(self.kind, name, self._entries)
            self._resolved[name] = resolve(name)
        return self._resolved[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._resolved


def import_modules(package: str, folders: Iterable[str]) -> None:
    """Imports every module of a package and of the packages in it, so that a file with a registered class is enough.

    Args:
        package: its dotted name.
        folders: its `__path__`.

    Raises:
        ImportError: a module cannot be imported; names it and says why.
    """
    for module in pkgutil.iter_modules(folders):
        name = f"{package}.{module.name}"
        try:
            imported = importlib.import_module(name)
        except Exception as error:  # Whatever a module does while it is imported.
            raise ImportError(f"The module {name} cannot be imported: {type(error).__name__}: {error}") from error
        if module.ispkg:
            import_modules(name, imported.__path__)


def _subclass(base: T, name: str, doc: str, attributes: Mapping[str, object]) -> T:
    about = {
        "__doc__": f"{inspect.getdoc(base)}\n\n{doc}",
        "__module__": base.__module__,
        "__qualname__": f"{base.__qualname__}.{_attribute(name)}",
        "name": name,
        **attributes,
    }
    return cast(T, type(_attribute(name), (base,), about))


def _kept(base: T, made: T) -> T:
    """The subclass as an attribute of its base."""
    setattr(base, _attribute(made.name), made)
    return made


def _attribute(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _place(entry: Any) -> str:
    return f"{entry.__module__}.{entry.__qualname__}"
