"""The code that definitions reach: every name in their text, followed from module to module.

Called names, annotations (on whose instances methods are called), bases, decorators, defaults and constants are all
references. Definitions that are reached are digested as syntax trees, so that comments, docstrings and formatting do
not count. A class is reached as a whole. The analysis is static: code that is chosen by `getattr` or `exec` is not
seen.

A table that is filled while modules are imported is reached with all code that fills it: statements such as TABLE[key]
= value, and functions whose decorator adds them. A `Registry` is reached without its entries: the entry that a cell
names is a root of its own.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from benchmarks.freshness.modules import Chain, Module, chain, chains

# Code without effect on figures: training of weights (which have a digest), errors, sources of data and weights, and
# ONNX files, which no network of a suite comes from.
LEFT_OUT = (
    "adapters.base.NetworkInfo", "adapters.base.Recipe", "adapters.initialisation", "adapters.training",
    "conversion.capture.onnx",
    "conversion.errors", "tasks.base.TaskInfo",
)  # fmt: skip
# Modules of tasks that store, check and draw predictions, without effect on figures.
SHOWING = ("samples", "target")
REGISTRY = ("conversion.registry", "Registry")

# A module and a name in it; without a name, all of the module.
Name = tuple[str, str]


@dataclass(frozen=True)
class Definition:
    """The digest of the statements that bind a name, and the names that they refer to."""

    digest: str
    reaches: frozenset[Name]


class Closure:
    """The definitions of some packages, each parsed once.

    Args:
        folders: the parent folder of each package that is followed.
        files: files of modules that are not where their name says, as scripts.
        texts: texts of files, in place of their present content.
    """

    def __init__(self, folders: Mapping[str, Path], files: Mapping[str, Path], texts: Mapping[Path, str]) -> None:
        self._folders, self._files, self._texts = folders, files, texts
        self._modules: dict[str, Module | None] = {}
        self._definitions: dict[Name, Definition] = {}
        self._statements: dict[Name, ast.stmt] = {}
        self._effects: dict[Name, set[Name]] | None = None

    def of(self, names: Collection[Name]) -> dict[str, str]:
        """Digests of all code that is reached from some definitions, by module."""
        found: dict[Name, str] = {}
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in found:
                definition = self._definition(name)
                found[name] = definition.digest
                pending += definition.reaches
        modules: dict[str, list[str]] = {}
        for (module, _), part in sorted(found.items()):
            modules.setdefault(module, []).append(part)
        return {module: digest("".join(parts))[:8] for module, parts in modules.items()}

    def binds(self, name: Name) -> bool:
        """Whether a module is found and has the name."""
        module = self._module(name[0])
        return module is not None and name[1] in module.bound

    def _module(self, name: str) -> Module | None:
        """A module of a followed package; None for others, and where there is none."""
        if name not in self._modules:
            self._modules[name] = self._parsed(name)
        return self._modules[name]

    def _parsed(self, name: str) -> Module | None:
        folder = self._folders.get(name.partition(".")[0])
        if folder is None:
            return None
        path = folder.joinpath(*name.split("."))
        candidates = [self._files.get(name), path.with_name(f"{path.name}.py"), path / "__init__.py"]
        file = next((file for file in candidates if file is not None and file.is_file()), None)
        if file is None:
            return _module(name, "", package=True) if path.is_dir() else None
        try:
            text = self._texts[file] if file in self._texts else file.read_text(encoding="utf-8")
            return _module(name, text, package=file.stem == "__init__")
        except (SyntaxError, UnicodeDecodeError):
            return None  # Nothing that runs refers to it.

    def _definition(self, name: Name) -> Definition:
        if name not in self._definitions:
            self._definitions[name] = self._defined(name)
        return self._definitions[name]

    def _defined(self, name: Name) -> Definition:
        module = self._module(name[0])
        assert module is not None
        if not name[1]:
            return Definition("", frozenset((module.name, bound) for bound in module.bound))
        statements = [self._statements[name]] if name in self._statements else module.bound[name[1]]
        parts: list[str] = []
        reaches: set[Name] = set()
        for statement in statements:
            content = module.content(self._relevant(module, statement))
            parts.append(content.text)
            for link in content.links:
                target = self._resolve(module.name, link, content.local)
                if target is None or _left_out(target):
                    continue
                if self._module(target[0]) is not None:
                    reaches.add(target)
                # Another function under the same name is another definition.
                parts.append(f"{'.'.join(link)} is {'.'.join(target)}")
        reaches |= self._effects_on(name)
        return Definition(digest("\n".join(parts)), frozenset(reaches - {name}))

    def _relevant(self, module: Module, statement: ast.stmt) -> ast.stmt:
        """A class without attributes whose value is an object of excluded code, such as a network's training recipe."""
        if not isinstance(statement, ast.ClassDef):
            return statement

        def counts(part: ast.stmt) -> bool:
            value = part.value if isinstance(part, (ast.Assign, ast.AnnAssign)) else None
            target = self._resolve(module.name, chain(value.func), {}) if isinstance(value, ast.Call) else None
            return target is None or not _left_out(target)

        body = [part for part in statement.body if counts(part)]
        if len(body) == len(statement.body):
            return statement
        kept = {field: getattr(statement, field) for field in statement._fields}
        return ast.ClassDef(**kept | {"body": body})

    def _resolve(self, module: str, link: Chain, local: Mapping[str, tuple[str, Chain]]) -> Name | None:
        """The module and name of the definition that a chain of names refers to; None for builtins and variables."""
        if link and link[0] in local:
            module, link = local[link[0]][0], local[link[0]][1] + link[1:]
        while link:
            found, (first, *others) = self._module(module), link
            rest = tuple(others)
            if found is None:
                return module, ".".join(link)
            if first in found.bound:
                return module, first
            # A package may import its own modules.
            if first in found.imported and found.imported[first] != (module, (first,)):
                module, link = found.imported[first][0], found.imported[first][1] + rest
            elif self._module(f"{module}.{first}") is not None:
                module, link = f"{module}.{first}", rest
            else:
                ways = (self._resolve(star, link, {}) for star in found.stars)
                return next((way for way in ways if way is not None), None)
        return module, ""

    def _effects_on(self, name: Name) -> set[Name]:
        """Definitions that act on a name while the packages are imported, and so are reached with it."""
        if self._effects is None:
            self._effects = {}
            modules = (self._module(name) for package in self._folders for name in self._names(package))
            for module in filter(None, modules):
                for statement in module.acting:
                    act = (module.name, f"statement {digest(module.content(statement).text)}")
                    self._statements[act] = statement
                    for subject in self._subjects(module.name, statement):
                        self._effects.setdefault(subject, set()).add(act)
                for definition in module.decorated:
                    for decorator in definition.decorator_list:
                        for subject in self._subjects(module.name, decorator, through=True):
                            self._effects.setdefault(subject, set()).add((module.name, definition.name))
        return self._effects.get(name, set())

    def _names(self, package: str) -> list[str]:
        """The modules of a package."""
        folder = self._folders[package]
        files = sorted((folder / package).rglob("*.py"))
        parts = (file.relative_to(folder).with_suffix("").parts for file in files)
        return [package, *(".".join(part) for part in parts if part[-1] != "__init__")]

    def _subjects(self, module: str, tree: ast.AST, through: bool = False) -> set[Name]:
        """The followed names that a piece of code mentions, and those that the functions among them mention."""
        found: set[Name] = set()
        for link in set(chains(tree)):
            target = self._resolve(module, link, {})
            if target is None or self._module(target[0]) is None or self._is_registry(target):
                continue
            found.add(target)
            source = self._module(target[0])
            for statement in source.bound.get(target[1], ()) if source is not None and through else ():
                if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                    found |= self._subjects(target[0], statement)
        return found

    def _is_registry(self, name: Name) -> bool:
        module = self._module(name[0])
        values = (getattr(statement, "value", None) for statement in module.bound.get(name[1], ())) if module else ()
        return any(
            isinstance(value, ast.Call) and self._resolve(name[0], chain(value.func), {}) == REGISTRY
            for value in values
        )  # fmt: skip


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# More than the modules of the benchmark and of a plug-in in a large package: closures ask for all of them in turn.
@lru_cache(maxsize=2048)
def _module(name: str, text: str, package: bool) -> Module:
    """A parsed module, the same for every closure that finds this text."""
    return Module(name, text, package)


def _left_out(name: Name) -> bool:
    package, _, last = name[0].rpartition(".")
    if package.partition(".")[0] == "tasks" and last in SHOWING:
        return True
    return f"{'.'.join(name)}.".startswith(tuple(f"{left}." for left in LEFT_OUT))
