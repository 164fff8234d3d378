"""The code that a result depends on: all that its method, task and network reach, and nothing else (closure.py)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.freshness.closure import Closure, digest
from conversion.errors import InvalidInput

ROOT = Path(__file__).parents[2]
PACKAGES = ("conversion", "tasks", "adapters", "benchmarks")
# Packages that are never followed, although bases of classes come from them.
FOREIGN = sys.stdlib_module_names | {"pydantic", "torch", "torchvision"}
# The code as this process, or the one that it was forked from, imported it; files may change later.
IMPORTED = {file: file.read_text(encoding="utf-8") for package in PACKAGES for file in (ROOT / package).rglob("*.py")}


class Sources:
    """The code of the benchmark and of plug-ins.

    Args:
        folder: folder of the benchmark's own packages.
    """

    def __init__(self, folder: Path = ROOT) -> None:
        self._folder = folder
        self._closures: dict[frozenset[str], Closure] = {}
        self._reached: dict[tuple[Any, ...], dict[str, str]] = {}
        self._combined: dict[int, str] = {}

    def of(self, *roots: Callable[..., Any]) -> dict[str, str]:
        """Digests of the code that classes, functions and the classes of other objects reach, by module.

        It follows the benchmark's own packages and those of the roots and of their bases.

        Raises:
            InvalidInput: a root is not in a file.
        """
        parts = tuple(dict.fromkeys(part for root in roots for part in _parts(root)))
        if parts not in self._reached:
            closure = self._closure({part.__module__ for part in parts})
            names = []
            for part in parts:
                name = part.__module__, part.__qualname__.partition(".")[0]
                if closure.binds(name):
                    names.append(name)
                elif part in roots:
                    raise InvalidInput(
                        f"The source of {name[0]}.{part.__qualname__} cannot be found, so it is not known when results "
                        "of it are out of date; put it into a file."
                    )
            self._reached[parts] = closure.of(names)
        return self._reached[parts]

    def combined(self, *roots: Callable[..., Any]) -> str:
        """One digest of all code that roots reach, see `of`; cells share theirs, so that it is made once."""
        reached = self.of(*roots)  # Which is kept, so that no other has its address.
        if id(reached) not in self._combined:
            self._combined[id(reached)] = combined(reached)
        return self._combined[id(reached)]

    def _closure(self, modules: set[str]) -> Closure:
        """The closure for roots in these modules, made once for each set of plug-ins."""
        plugins = frozenset(module for module in modules if module.partition(".")[0] not in PACKAGES)
        if not plugins and self._folder == ROOT:
            return _of_the_benchmark(tuple(IMPORTED.items()))
        if plugins not in self._closures:
            folders, files = dict.fromkeys(PACKAGES, self._folder), {}
            for module in plugins:
                file = getattr(sys.modules.get(module), "__file__", None)
                if file is not None:
                    files[module] = Path(file)
                    up = module.count(".") + (files[module].stem == "__init__")
                    folders[module.partition(".")[0]] = files[module].parents[up]
            self._closures[plugins] = Closure(folders, files, IMPORTED)
        return self._closures[plugins]


@lru_cache(maxsize=1)
def _of_the_benchmark(texts: tuple[tuple[Path, str], ...]) -> Closure:
    """The closure of the benchmark's own packages, made once in a process for the texts that it has imported."""
    return Closure(dict.fromkeys(PACKAGES, ROOT), {}, dict(texts))


def _parts(root: Callable[..., Any]) -> Iterator[Any]:
    """A class with its bases, a function, or the class of any other object."""
    if not hasattr(root, "__qualname__"):
        root = type(root)
    for part in root.__mro__ if isinstance(root, type) else (root,):
        if part.__module__.partition(".")[0] not in FOREIGN:
            yield part


def combined(sources: Mapping[str, str]) -> str:
    """One digest of the digests of modules."""
    return digest(repr(sorted(sources.items())))[:16]
